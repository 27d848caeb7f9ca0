//! The way of a call: to what is kept, to who computes it, or to computing it.

use std::future::poll_fn;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;

use super::flights::{End, Flight, in_course};
use super::{Cached, Kept, Key, State};

/// Leave to compute what nobody computes. If it is dropped without a result, the next who asks has it.
pub struct Ticket<'c, K, V> {
    cached: &'c Cached<K, V>,
    hash: u32,
    /// `None` for who computes on its own.
    flight: Option<Arc<Flight<V>>>,
}

/// What a call finds.
enum Turn<V> {
    Found(Arc<V>),
    Compute(Arc<Flight<V>>),
    Wait(Arc<Flight<V>>),
}

impl<K, V> Cached<K, V> {
    /// What is kept for a call or computed by somebody else, or else a ticket; waits in this thread. `query` has the hash
    /// of its key, `is_it` compares with others, `own` makes it, and `tags` are those of its result.
    #[doc(hidden)]
    pub fn ticket(
        &self,
        query: &(impl Hash + ?Sized),
        is_it: impl Fn(&K) -> bool,
        own: impl Fn() -> K,
        tags: impl Fn() -> Vec<String>,
    ) -> Result<V, Ticket<'_, K, V>>
    where
        K: Key,
        V: Kept,
    {
        let hash = self.hash(query);
        let mut is_first = true;
        loop {
            let end = match self.turn(hash, &is_it, &own, &tags, is_first) {
                Turn::Found(value) => Some(End::Value(value)),
                Turn::Compute(flight) => return Err(Ticket { cached: self, hash, flight: Some(flight) }),
                Turn::Wait(flight) => flight.wait(),
            };
            match end {
                Some(End::Value(value)) => return Ok(V::clone(&value)),
                Some(End::Left) => is_first = false,
                None => return Err(Ticket { cached: self, hash, flight: None }),
            }
        }
    }

    /// As [`Self::ticket`], for futures: others run while it waits.
    #[doc(hidden)]
    pub async fn ticket_async(
        &self,
        query: &(impl Hash + ?Sized),
        is_it: impl Fn(&K) -> bool,
        own: impl Fn() -> K,
        tags: impl Fn() -> Vec<String>,
    ) -> Result<V, Ticket<'_, K, V>>
    where
        K: Key,
        V: Kept,
    {
        let hash = self.hash(query);
        let mut is_first = true;
        loop {
            let end = match self.turn(hash, &is_it, &own, &tags, is_first) {
                Turn::Found(value) => Some(End::Value(value)),
                Turn::Compute(flight) => return Err(Ticket { cached: self, hash, flight: Some(flight) }),
                Turn::Wait(flight) => flight.wait_async().await,
            };
            match end {
                Some(End::Value(value)) => return Ok(V::clone(&value)),
                Some(End::Left) => is_first = false,
                None => return Err(Ticket { cached: self, hash, flight: None }),
            }
        }
    }

    fn turn(
        &self,
        hash: u32,
        is_it: &impl Fn(&K) -> bool,
        own: &impl Fn() -> K,
        tags: &impl Fn() -> Vec<String>,
        counts: bool,
    ) -> Turn<V> {
        let mut state = self.lock();
        let turn = state.look_up(hash, is_it, counts);
        state.unlock();
        turn.unwrap_or_else(|| {
            // Made without the lock, since it is the user's; somebody else may come meanwhile.
            let (key, tags) = (own(), tags());
            let mut state = self.lock();
            let turn = state.look_up(hash, is_it, false);
            let turn = turn.unwrap_or_else(|| Turn::Compute(state.flights.begin(hash, key, tags)));
            state.unlock();
            turn
        })
    }
}

impl<K, V> State<K, V> {
    /// What is kept, or who computes it.
    fn look_up(&mut self, hash: u32, is_it: &impl Fn(&K) -> bool, counts: bool) -> Option<Turn<V>> {
        if let Some(value) = self.find(hash, is_it, counts) {
            return Some(Turn::Found(value));
        }
        if counts {
            self.residents.count_miss();
        }
        self.flights.get(hash, is_it).map(Turn::Wait)
    }
}

impl<K, V> Ticket<'_, K, V> {
    /// Computes, keeps what comes of it, and gives it to all who wait. An error is kept as long as errors are.
    pub fn compute(self, body: impl FnOnce() -> V, is_error: impl FnOnce(&V) -> bool) -> V
    where
        K: Key,
        V: Kept,
    {
        let value = match &self.flight {
            Some(flight) => in_course(flight.id, body),
            None => body(),
        };
        let is_error = is_error(&value);
        self.land(value, is_error)
    }

    /// As [`Self::compute`], by a future.
    pub async fn compute_async(self, body: impl Future<Output = V>, is_error: impl FnOnce(&V) -> bool) -> V
    where
        K: Key,
        V: Kept,
    {
        let id = self.flight.as_ref().map(|flight| flight.id);
        let mut body = pin!(body);
        let value = match id {
            Some(id) => poll_fn(|context| in_course(id, || body.as_mut().poll(context))).await,
            None => body.await,
        };
        let is_error = is_error(&value);
        self.land(value, is_error)
    }

    fn land(mut self, value: V, is_error: bool) -> V
    where
        K: Key,
        V: Kept,
    {
        let Some(flight) = self.flight.take() else { return value };
        let value = Arc::new(value);
        let negative = self.cached.settings.negative();
        let mut state = self.cached.lock();
        // It is not there if it was invalidated after it began.
        let pending = state.flights.end(self.hash, &flight);
        let pending = if is_error && negative.is_none() { None } else { pending };
        if let Some(pending) = pending {
            let life = negative.filter(|_| is_error);
            state.store(self.hash, pending.key, Arc::clone(&value), &pending.tags, life);
        }
        state.unlock();
        flight.land(End::Value(Arc::clone(&value)));
        drop(flight);
        Arc::try_unwrap(value).unwrap_or_else(|value| V::clone(&value))
    }
}

impl<K, V> Drop for Ticket<'_, K, V> {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        let mut state = self.cached.lock();
        let pending = state.flights.end(self.hash, &flight);
        state.unlock();
        drop(pending);
        flight.land(End::Left);
    }
}
