//! The results of a map, as they come or in order.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Error;
use super::crew::Crew;
use super::feed::Feed;
use super::sink::{Outcome, Sink};

/// So many items are read ahead of what was taken, at most; at first so many for each worker, and more where workers have
/// nothing left.
pub(super) const ITEMS_AHEAD_MAX: u64 = 1 << 20;
const ITEMS_AHEAD: u64 = 16;
/// And about so many bytes, unless that were too few items to keep the workers busy.
const BYTES_AHEAD: u64 = 64 << 20;
/// So often it is looked whether workers have nothing left.
const LOOK: Duration = Duration::from_millis(5);

/// A map on its way: its items are read as they are needed, on the thread that takes the results.
pub(super) struct Stream<'p, R> {
    crew: &'p Crew,
    call: u64,
    workers: u64,
    sink: Arc<Sink>,
    feed: Feed<'p, R>,
    /// How many items may be under way.
    ahead: u64,
    taken: u64,
    order: Order,
    current: Option<Outcome>,
    is_over: bool,
}

/// What came and was not looked at.
enum Order {
    AsCompleted(VecDeque<Outcome>),
    /// By the first item.
    AsGiven(BTreeMap<u64, Outcome>),
}

impl<'p, R: DeserializeOwned> Stream<'p, R> {
    pub(super) fn start(
        crew: &'p Crew,
        workers: usize,
        feed: Feed<'p, R>,
        is_ordered: bool,
    ) -> Result<Self, Error> {
        let sink = Arc::<Sink>::default();
        let call = crew.add(Arc::clone(&sink))?;
        let order =
            if is_ordered { Order::AsGiven(BTreeMap::new()) } else { Order::AsCompleted(VecDeque::new()) };
        let (workers, taken, is_over) = (workers as u64, 0, false);
        let ahead = ITEMS_AHEAD * workers;
        Ok(Self { crew, call, workers, sink, feed, ahead, taken, order, current: None, is_over })
    }

    /// Reads as far ahead as it may: whoever takes the results takes all of them at once.
    pub(super) fn take_all(&mut self) {
        self.ahead = ITEMS_AHEAD_MAX;
    }

    /// The next item, and what it gave.
    pub(super) fn next(&mut self) -> Option<(u64, Result<R, Error>)> {
        loop {
            if let Some(next) = self.current.as_mut().and_then(Outcome::next) {
                self.taken += 1;
                self.top_up();
                return Some(next);
            }
            self.current = None;
            if self.is_over {
                return None;
            }
            self.top_up();
            self.receive();
            if let Some(error) = self.advance() {
                self.is_over = true;
                return Some((self.taken, Err(error)));
            }
            if self.current.is_some() {
                continue;
            }
            if self.feed.is_over && self.taken == self.feed.came {
                self.is_over = true;
                return self.feed.error.take().map(|error| (self.taken, Err(error)));
            }
            self.wait();
        }
    }

    fn under_way(&self) -> u64 {
        self.feed.came - self.taken
    }

    /// Reads items while too few are under way, but does not let results wait for them.
    fn top_up(&mut self) {
        if self.feed.is_over || self.under_way() > self.ahead / 2 {
            return;
        }
        while !self.feed.is_over && self.under_way() < self.ahead && self.has_room() {
            let chunk = self.feed.next_chunk(self.ahead - self.under_way());
            self.crew.extend(self.call, chunk, self.feed.is_over);
            if !self.sink.is_empty() {
                return;
            }
        }
    }

    fn has_room(&self) -> bool {
        let bytes = u128::from(self.feed.bytes) * u128::from(self.under_way());
        bytes <= u128::from(BYTES_AHEAD) * u128::from(self.feed.came) || self.under_way() < 2 * self.workers
    }

    fn receive(&mut self) {
        let arrived = self.sink.take();
        match &mut self.order {
            Order::AsCompleted(waiting) => waiting.extend(arrived),
            Order::AsGiven(early) => early.extend(arrived.into_iter().map(|it| (it.order(), it))),
        }
    }

    /// What is next is looked at, if it is there; or why there is nothing more.
    fn advance(&mut self) -> Option<Error> {
        let taken = self.taken;
        let outcome = match &mut self.order {
            Order::AsCompleted(waiting) => waiting.pop_front(),
            Order::AsGiven(early) => {
                if early.keys().next() == Some(&taken) {
                    early.pop_first()
                } else {
                    // Nothing comes before it any more.
                    early.remove_entry(&u64::MAX)
                }
                .map(|(_, outcome)| outcome)
            }
        }?;
        let end = outcome.as_end().cloned();
        self.current = end.is_none().then_some(outcome);
        end
    }

    fn wait(&mut self) {
        let is_short = !self.feed.is_over && self.under_way() >= self.ahead;
        if is_short && self.ahead < ITEMS_AHEAD_MAX && self.crew.is_hungry() {
            self.ahead *= 2;
            return;
        }
        self.sink.wait((!self.feed.is_over).then_some(LOOK));
    }
}

/// Whoever does not take all gives the rest up.
impl<R> Drop for Stream<'_, R> {
    fn drop(&mut self) {
        if !self.is_over {
            self.crew.abandon(self.call);
        }
    }
}

/// Results in the order of their items, made by [`Pool::imap`](super::Pool::imap). Dropped, it takes back what is not begun.
#[must_use = "dropped, it gives up what is not begun"]
pub struct Results<'p, R>(pub(super) Stream<'p, R>);

impl<R: DeserializeOwned> Iterator for Results<'_, R> {
    type Item = Result<R, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(_, result)| result)
    }
}

/// Results as they come, each with the place of its item, made by
/// [`Pool::imap_unordered`](super::Pool::imap_unordered). Dropped, it takes back what is not begun.
#[must_use = "dropped, it gives up what is not begun"]
pub struct Unordered<'p, R>(pub(super) Stream<'p, R>);

impl<R: DeserializeOwned> Iterator for Unordered<'_, R> {
    type Item = (usize, Result<R, Error>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(item, result)| (item as usize, result))
    }
}

impl<R> fmt::Debug for Results<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("taken", &self.0.taken).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Unordered<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unordered").field("taken", &self.0.taken).finish_non_exhaustive()
    }
}
