//! The plan of a pool.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::call::{Call, CallOptions};
use super::worker::{AHEAD, Share, Theft, Worker};

/// An item that so many workers died before, one after the other, is what they died of: it cannot even be read.
const DEATHS_MAX: u32 = 3;

/// What a pool has to do, and who does what of it.
///
/// A *call* is a row of items, numbered from 0. A worker is given *shares* of them, each in one of its
/// [`SLOTS`](super::SLOTS), and works them off in the order in which they were given. What nobody has begun can be taken
/// back: when a worker has nothing to do, and nothing is left to be given, it gets a part of what another one still has
/// before it.
#[derive(Debug, Default)]
pub struct Plan {
    workers: BTreeMap<u32, Worker>,
    calls: FxHashMap<u64, Call>,
    /// Calls with items that nobody has, in the order in which they came.
    waiting: VecDeque<u64>,
}

/// A share that is given to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who gets it.
    pub worker: u32,
    /// In which of its slots.
    pub slot: usize,
    /// Tells the shares of a slot apart.
    pub number: u16,
    /// Whose items they are.
    pub call: u64,
    /// Which.
    pub items: Range<u64>,
}

/// Items that are done, or lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Whose they are.
    pub call: u64,
    /// Which.
    pub items: Range<u64>,
}

impl Plan {
    /// A plan without workers or calls.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a worker, by a number that no other one had, which may be given `shares_max` shares.
    pub fn add_worker(&mut self, worker: u32, shares_max: Option<u32>) {
        self.workers.insert(worker, Worker::new(shares_max));
    }

    /// Adds a call, by a number that no other one has.
    pub fn add_call(&mut self, call: u64, items: u64, options: CallOptions) {
        self.calls.insert(call, Call { options, ..Call::default() });
        self.extend(call, items);
    }

    /// Adds items to a call.
    pub fn extend(&mut self, call: u64, items: u64) {
        let Some(known) = self.calls.get_mut(&call) else { return };
        let added = known.items..known.items + items;
        if added.is_empty() {
            return;
        }
        known.items = added.end;
        match known.pending.back_mut() {
            Some(last) if last.end == added.start => last.end = added.end,
            Some(_) => known.pending.push_back(added),
            None => {
                known.pending.push_back(added);
                self.waiting.push_back(call);
            }
        }
    }

    /// Forgets a call, of which nothing is to be begun any more.
    pub fn forget(&mut self, call: u64) {
        self.calls.remove(&call);
        self.waiting.retain(|other| *other != call);
    }

    /// How many calls there are.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Gives a worker a share, if there is something to be given and somebody to take it.
    pub fn order(&mut self, now: Duration) -> Option<Order> {
        let id = *self.waiting.front()?;
        let ready = self.workers.iter().filter(|(_, worker)| worker.may_have_more(now));
        let (&worker_id, worker) = ready.min_by_key(|(_, worker)| (worker.load, worker.order.len()))?;
        let slot = worker.slots.iter().position(Option::is_none)?;
        let workers = self.workers.len();
        let call = self.calls.get_mut(&id)?;
        let items = call.next_items(workers)?;
        if call.pending.is_empty() {
            self.waiting.pop_front();
        }
        let count = (items.end - items.start) as u32;
        // What is not known may take long: nothing goes behind it.
        let estimate = call.pace.time_of(count).unwrap_or(AHEAD);
        let worker = self.workers.get_mut(&worker_id)?;
        let number = worker.next_number;
        worker.next_number = number.wrapping_add(1);
        worker.shares_left = worker.shares_left.map(|left| left - 1);
        worker.load += estimate;
        if worker.order.is_empty() {
            worker.heard_at = now;
        }
        worker.order.push_back(slot);
        let start = items.start;
        let share =
            Share { number, call: id, start, done: 0, end: count, estimate, bytes: 0, tried_at: None };
        worker.slots[slot] = Some(share);
        Some(Order { worker: worker_id, slot, number, call: id, items })
    }

    /// So many bytes a share has on its way to its worker.
    pub fn note_bytes(&mut self, worker: u32, slot: usize, bytes: usize) {
        let Some(worker) = self.workers.get_mut(&worker) else { return };
        let Some(share) = worker.share(slot) else { return };
        share.bytes = bytes;
        let (id, items) = (share.call, share.end);
        worker.bytes += bytes;
        if let Some(call) = self.calls.get_mut(&id) {
            call.pace.note_bytes(items, bytes);
        }
    }

    /// From whom something may be taken back, if somebody has nothing to do and nothing is left to be given.
    pub fn theft(&self, now: Duration) -> Option<Theft> {
        if !self.waiting.is_empty() || !self.workers.values().any(Worker::is_idle) {
            return None;
        }
        let shares = self.workers.iter().flat_map(|(id, worker)| {
            worker.order.iter().enumerate().filter_map(move |(place, slot)| {
                let share = worker.slots[*slot].as_ref()?;
                let theft = Theft { worker: *id, slot: *slot, number: share.number, is_whole: place > 0 };
                (share.may_be_divided(place) && share.may_be_tried(now)).then_some((theft, share))
            })
        });
        // What stands behind something else goes first, and then what takes longest.
        shares.max_by_key(|(theft, share)| (theft.is_whole, self.time_left(share))).map(|(theft, _)| theft)
    }

    fn time_left(&self, share: &Share) -> Duration {
        let left = share.end - share.done;
        let known = self.calls.get(&share.call).and_then(|call| call.pace.time_of(left));
        known.unwrap_or(AHEAD * left)
    }

    /// The shares that somebody has of a call.
    pub fn shares_of(&self, call: u64) -> Vec<Theft> {
        let mut found = Vec::new();
        for (id, worker) in &self.workers {
            for slot in &worker.order {
                if let Some(share) = worker.slots[*slot].as_ref().filter(|share| share.call == call) {
                    found.push(Theft { worker: *id, slot: *slot, number: share.number, is_whole: true });
                }
            }
        }
        found
    }

    /// Of a share this range, counted within it, was taken back: its worker does not begin it. It is given to somebody
    /// else, unless it `is_cancelled`. Which items those are.
    pub fn taken_back(
        &mut self,
        theft: Theft,
        range: Range<u32>,
        is_cancelled: bool,
        now: Duration,
    ) -> Option<Done> {
        let share = self.workers.get_mut(&theft.worker)?.share(theft.slot)?;
        if share.number != theft.number || range.is_empty() {
            share.tried_at = Some(now);
            return None;
        }
        share.end = range.start;
        let taken = Done { call: share.call, items: share.items(range) };
        if !is_cancelled {
            self.give_back(taken.call, taken.items.clone());
        }
        Some(taken)
    }

    /// Takes all that nobody has out of a call.
    pub fn cancel_pending(&mut self, call: u64) -> Vec<Range<u64>> {
        self.waiting.retain(|other| *other != call);
        self.calls.get_mut(&call).map(|call| call.pending.drain(..).collect()).unwrap_or_default()
    }

    /// A worker has done the next `count` items of a share, which took so long; `is_last` if it is through with the share.
    /// Which items those are; `None` of what is not known any more.
    pub fn done(
        &mut self,
        worker: u32,
        slot: usize,
        count: u32,
        elapsed: Duration,
        is_last: bool,
        now: Duration,
    ) -> Option<Done> {
        let worker = self.workers.get_mut(&worker)?;
        worker.heard_at = now;
        let share = worker.share(slot)?;
        let count = count.min(share.end - share.done);
        let done = Done { call: share.call, items: share.items(share.done..share.done + count) };
        share.done += count;
        let rest = is_last.then(|| worker.free(slot)).flatten();
        if let Some(call) = self.calls.get_mut(&done.call) {
            call.pace.note_time(count, elapsed);
        }
        if let Some(share) = rest.filter(|share| share.done < share.end) {
            self.give_back(share.call, share.items(share.done..share.end));
        }
        Some(done)
    }

    /// A share was not sent, and its slot is free. Its items are given one by one from here on, if they `stay`; or nobody
    /// does them.
    pub fn refused(&mut self, worker: u32, slot: usize, stay: bool) {
        let share = self.workers.get_mut(&worker).and_then(|worker| worker.free(slot));
        let Some(share) = share.filter(|_| stay) else { return };
        if let Some(call) = self.calls.get_mut(&share.call) {
            call.options.share_items = Some(1);
        }
        self.give_back(share.call, share.items(share.done..share.end));
    }

    /// A worker is dead. Of each of its shares, by slot and number, `claimed` says how many items it had begun. Those that
    /// were not done are lost, but for the ones that may be tried again; what it had not begun is given to others, unless it
    /// died of that too.
    pub fn died(&mut self, worker: u32, claimed: impl Fn(usize, u16) -> u32) -> Vec<Done> {
        let Some(mut worker) = self.workers.remove(&worker) else { return Vec::new() };
        let mut lost = Vec::new();
        let first = worker.order.front().copied();
        // The first shares are given back last, and so stand in front.
        for slot in worker.order.into_iter().rev() {
            let Some(share) = worker.slots[slot].take() else { continue };
            let mut begun = claimed(slot, share.number).clamp(share.done, share.end);
            if Some(slot) == first && begun == share.done && begun < share.end {
                begun += u32::from(self.is_deadly(share.call, share.start + u64::from(begun)));
            }
            self.give_back(share.call, share.items(begun..share.end));
            for item in share.items(share.done..begun).rev() {
                if self.may_try_again(share.call, item) {
                    self.give_back(share.call, item..item + 1);
                } else {
                    lost.push(Done { call: share.call, items: item..item + 1 });
                }
            }
        }
        lost.reverse();
        lost
    }

    /// Whether a worker that died before it began this item died of it; those that could do so too are given one by one.
    fn is_deadly(&mut self, call: u64, item: u64) -> bool {
        let Some(call) = self.calls.get_mut(&call) else { return false };
        let deaths = call.deaths.entry(item).or_default();
        *deaths += 1;
        if *deaths + 1 == DEATHS_MAX {
            call.options.share_items = Some(1);
        }
        *deaths >= DEATHS_MAX
    }

    fn may_try_again(&mut self, call: u64, item: u64) -> bool {
        let Some(call) = self.calls.get_mut(&call) else { return false };
        let tries = call.tries.entry(item).or_default();
        *tries += 1;
        *tries <= call.options.retries
    }

    /// Workers that may not be given anything more, and are through with what they had.
    pub fn retired(&self) -> Vec<u32> {
        let is_retired = |worker: &Worker| worker.order.is_empty() && worker.shares_left == Some(0);
        self.workers.iter().filter(|(_, worker)| is_retired(worker)).map(|(id, _)| *id).collect()
    }

    /// Whether somebody has nothing to do while others may have too much: then a [theft](Self::theft) is worth another try.
    pub fn is_uneven(&self) -> bool {
        let has_more = |worker: &Worker| {
            let shares = worker.order.iter().map(|slot| worker.slots[*slot].as_ref());
            shares.enumerate().any(|(place, share)| share.is_some_and(|share| share.may_be_divided(place)))
        };
        self.workers.values().any(Worker::is_idle) && self.workers.values().any(has_more)
    }

    /// Whether all items have been given to workers.
    pub fn is_all_given(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no worker has anything to do, and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.workers.values().all(|worker| worker.order.is_empty())
    }

    /// Items stand in front again.
    fn give_back(&mut self, id: u64, items: Range<u64>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if items.is_empty() {
            return;
        }
        match call.pending.front_mut() {
            Some(first) if first.start == items.end => first.start = items.start,
            Some(_) => call.pending.push_front(items),
            None => {
                call.pending.push_front(items);
                self.waiting.push_front(id);
            }
        }
    }
}
