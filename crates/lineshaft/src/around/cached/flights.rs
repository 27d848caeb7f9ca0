//! Computing what is missing once, however many ask for it.
//!
//! The first to ask computes, the others wait. Who would wait for itself, alone or by way of others, computes on its own:
//! it does what it would do without a cache. That is seen where a computing asks from within itself, in its thread or its
//! future, and not through threads and tasks that it starts.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

thread_local! {
    /// What is being computed here, the outermost first.
    static COURSE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Which computing waits for which. None is in it for longer than somebody waits.
static WAITS: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// What is being computed, by hash.
pub(super) struct Flights<K, V>(FxHashMap<u32, Vec<Pending<K, V>>>);

/// Who computes what.
pub(super) struct Pending<K, V> {
    pub(super) key: K,
    pub(super) tags: Vec<String>,
    pub(super) flight: Arc<Flight<V>>,
}

impl<K, V> Flights<K, V> {
    pub(super) fn new() -> Self {
        Self(FxHashMap::default())
    }

    /// Who computes what `is_it`.
    pub(super) fn get(&self, hash: u32, is_it: impl Fn(&K) -> bool) -> Option<Arc<Flight<V>>> {
        let pending = self.0.get(&hash)?.iter().find(|pending| is_it(&pending.key))?;
        Some(Arc::clone(&pending.flight))
    }

    /// Somebody begins to.
    pub(super) fn begin(&mut self, hash: u32, key: K, tags: Vec<String>) -> Arc<Flight<V>> {
        let flight = Arc::new(Flight::new());
        let pending = Pending { key, tags, flight: Arc::clone(&flight) };
        self.0.entry(hash).or_default().push(pending);
        flight
    }

    /// Takes out what `is_it`: who asks for it from now on does not wait for who computes it.
    pub(super) fn take(&mut self, hash: u32, is_it: impl Fn(&K) -> bool) -> Option<Pending<K, V>> {
        self.take_where(hash, |pending| is_it(&pending.key))
    }

    /// Takes out `flight`, if it has not been forgotten.
    pub(super) fn end(&mut self, hash: u32, flight: &Arc<Flight<V>>) -> Option<Pending<K, V>> {
        self.take_where(hash, |pending| Arc::ptr_eq(&pending.flight, flight))
    }

    /// Takes out all that `is_it`.
    pub(super) fn forget(&mut self, is_it: impl Fn(&Pending<K, V>) -> bool) {
        self.0.retain(|_, of_hash| {
            of_hash.retain(|pending| !is_it(pending));
            !of_hash.is_empty()
        });
    }

    fn take_where(&mut self, hash: u32, is_it: impl Fn(&Pending<K, V>) -> bool) -> Option<Pending<K, V>> {
        let of_hash = self.0.get_mut(&hash)?;
        let place = of_hash.iter().position(is_it)?;
        let pending = of_hash.swap_remove(place);
        if of_hash.is_empty() {
            self.0.remove(&hash);
        }
        Some(pending)
    }
}

/// One computing of one key.
pub(super) struct Flight<V> {
    pub(super) id: u64,
    end: Mutex<Option<End<V>>>,
    /// For threads.
    ended: Condvar,
    /// For futures.
    told: Notify,
}

/// How it ended.
pub(super) enum End<V> {
    /// With a value.
    Value(Arc<V>),
    /// It panicked, or its future was dropped: somebody else computes.
    Left,
}

impl<V> Clone for End<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(value) => Self::Value(Arc::clone(value)),
            Self::Left => Self::Left,
        }
    }
}

impl<V> Flight<V> {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, end: Mutex::new(None), ended: Condvar::new(), told: Notify::new() }
    }

    pub(super) fn land(&self, end: End<V>) {
        *self.lock() = Some(end);
        self.ended.notify_all();
        self.told.notify_waiters();
    }

    /// Waits in this thread until it is over; `None` if that would be for ever.
    pub(super) fn wait(&self) -> Option<End<V>> {
        let _waiting = Waiting::begin(self.id)?;
        let mut end = self.lock();
        loop {
            if let Some(end) = &*end {
                return Some(end.clone());
            }
            end = self.ended.wait(end).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`Self::wait`], and others run meanwhile.
    pub(super) async fn wait_async(&self) -> Option<End<V>> {
        let _waiting = Waiting::begin(self.id)?;
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            // From here on nothing is missed.
            told.as_mut().enable();
            if let Some(end) = self.lock().clone() {
                return Some(end);
            }
            told.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<End<V>>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a part of the computing `id`.
pub(super) fn in_course<R>(id: u64, part: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            COURSE.with_borrow_mut(Vec::pop);
        }
    }
    COURSE.with_borrow_mut(|course| course.push(id));
    let _leave = Leave;
    part()
}

/// All that is being computed here waits for something else.
struct Waiting {
    course: Vec<u64>,
    flight: u64,
}

impl Waiting {
    /// `None` if what is waited for waits for something here.
    fn begin(flight: u64) -> Option<Self> {
        let course = COURSE.with_borrow(Vec::clone);
        if course.is_empty() {
            return Some(Self { course, flight });
        }
        let mut waits = waits();
        let (mut reached, mut next) = (vec![flight], 0);
        while let Some(&at) = reached.get(next) {
            if course.contains(&at) {
                return None;
            }
            for &(_, target) in waits.iter().filter(|(waiter, _)| *waiter == at) {
                if !reached.contains(&target) {
                    reached.push(target);
                }
            }
            next += 1;
        }
        waits.extend(course.iter().map(|waiter| (*waiter, flight)));
        Some(Self { course, flight })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.course.is_empty() {
            return;
        }
        let mut waits = waits();
        for waiter in &self.course {
            if let Some(place) = waits.iter().position(|wait| *wait == (*waiter, self.flight)) {
                waits.swap_remove(place);
            }
        }
    }
}

fn waits() -> MutexGuard<'static, Vec<(u64, u64)>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}
