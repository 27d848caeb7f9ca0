//! A hierarchical timer wheel over the whole of `u64` milliseconds.
//!
//! Eleven levels of 64 slots: a slot of level `n` spans 64^n ms. A timer waits in the level of the highest bit in
//! which its time differs from the present, and moves down when the present enters its slot. So setting and cancelling
//! touch one list, a timer moves at most ten times in its life, and nothing ever looks at all timers.
//!
//! A binary heap was the alternative: its cancelled timers stay until they come up, and each step costs log n cache
//! misses.

use std::fmt;
use std::num::NonZeroU32;

use crate::timer_slab::{NONE, TimerSlab};

const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = u64::BITS.div_ceil(LEVEL_BITS) as usize;

/// Names one timer of one wheel for [`TimerWheel::cancel`]. Eight bytes, also inside an `Option`.
///
/// An id of a timer that came out or was cancelled stays dead: its place may be reused, its generation is not, short
/// of 2^32 timers set in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: NonZeroU32,
}

/// Timers carrying small items, which come out in the order of their time and then of their setting.
///
/// Time is a number of milliseconds that only the caller moves. A timer of `u32` takes 24 bytes, and memory follows
/// the number of live timers in pages of 8,192: a cancelled timer's place is reused at once, and after a peak empty
/// pages are given back. Fewer than `u32::MAX` timers.
#[derive(Clone)]
pub struct TimerWheel<T> {
    present_ms: u64,
    lists: Box<[[List; SLOTS]; LEVELS]>,
    /// Per level, one bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    timers: TimerSlab<T>,
}

/// The timers of one slot, oldest first.
#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

impl List {
    const EMPTY: Self = Self { head: NONE, tail: NONE };
}

#[derive(Clone, Copy)]
struct Position {
    level: usize,
    slot: usize,
}

impl<T: Copy> TimerWheel<T> {
    /// An empty wheel whose present is `start_ms`.
    pub fn new(start_ms: u64) -> Self {
        Self {
            present_ms: start_ms,
            lists: Box::new([[List::EMPTY; SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            timers: TimerSlab::new(),
        }
    }

    /// Sets a timer for `at_ms`. A time before the present counts as the present: it is due at once, after those
    /// already due then.
    ///
    /// O(1). Panics at `u32::MAX` timers; callers cap theirs far below.
    pub fn insert(&mut self, at_ms: u64, item: T) -> TimerId {
        let at_ms = at_ms.max(self.present_ms);
        let (index, generation) = self.timers.insert(at_ms, item);
        self.link(index, at_ms);
        TimerId { index, generation }
    }

    /// Takes a timer out; false if it came out or was cancelled before. O(1).
    pub fn cancel(&mut self, id: TimerId) -> bool {
        let live = self.timers.find(id.index, id.generation).is_some();
        if live {
            self.unlink(id.index);
            self.timers.remove(id.index);
        }
        live
    }

    /// The time and item of a timer that still waits.
    pub fn get(&self, id: TimerId) -> Option<(u64, T)> {
        self.timers.find(id.index, id.generation).map(|timer| (timer.at_ms, timer.item))
    }

    /// Appends to `due` at most `limit` items whose time is at or before `now_ms`, in the order of time and then of
    /// setting, and returns how many. When that is `limit` there may be more: call again.
    ///
    /// The present becomes `now_ms`, or stays at the time of the last item when the limit was met. Time does not go
    /// back: an earlier `now_ms` counts as the present.
    ///
    /// Cost: constant per item and per passed slot that held timers, plus the moves of the timers in those slots: at
    /// most ten per timer in its whole life, but all of one slot in one call (a million took 17 ms).
    pub fn expired(&mut self, now_ms: u64, limit: usize, due: &mut Vec<T>) -> usize {
        let now_ms = now_ms.max(self.present_ms);
        let mut count = 0;
        while count < limit {
            let Some(position) = self.first().filter(|&position| self.start_ms(position) <= now_ms) else {
                self.present_ms = now_ms;
                break;
            };
            self.present_ms = self.start_ms(position);
            if position.level == 0 {
                due.push(self.pop(position));
                count += 1;
            } else {
                self.cascade(position);
            }
        }
        count
    }

    /// When to call [`Self::expired`] next, or `None` if no timer is set.
    ///
    /// Exact for a timer in the present's own block of 64 ms, otherwise a lower bound: the start of the first slot in
    /// use. Calling `expired` then always makes progress, so a caller that sleeps until `next_at` wakes at most eleven
    /// times for one timer (about three for one 15 s away), and never late. O(1).
    pub fn next_at(&self) -> Option<u64> {
        self.first().map(|position| self.start_ms(position))
    }

    /// The time this wheel has come to.
    pub fn present_ms(&self) -> u64 {
        self.present_ms
    }

    /// Number of timers that wait.
    pub fn len(&self) -> u32 {
        self.timers.len()
    }

    /// Whether no timer waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of timers that memory is held for, waiting or not. O(pages).
    pub fn reserved(&self) -> usize {
        self.timers.reserved()
    }

    /// The slot whose timers are next. A lower level always comes first: its slots lie inside the present slot of the
    /// level above, and slots in the past are empty.
    fn first(&self) -> Option<Position> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        Some(Position { level, slot: self.occupied[level].trailing_zeros() as usize })
    }

    fn start_ms(&self, position: Position) -> u64 {
        let shift = LEVEL_BITS * position.level as u32;
        let above = u64::MAX.checked_shl(shift + LEVEL_BITS).unwrap_or(0);
        (self.present_ms & above) | ((position.slot as u64) << shift)
    }

    /// Where a timer of `at_ms` is. Holds at any moment for every timer, since each moves as soon as the present
    /// enters its slot; so a timer need not remember its place.
    fn position(&self, at_ms: u64) -> Position {
        let differing = (self.present_ms ^ at_ms) | (SLOTS as u64 - 1);
        let level = differing.ilog2() / LEVEL_BITS;
        let slot = (at_ms >> (LEVEL_BITS * level)) as usize % SLOTS;
        Position { level: level as usize, slot }
    }

    fn link(&mut self, index: u32, at_ms: u64) {
        let position = self.position(at_ms);
        let list = &mut self.lists[position.level][position.slot];
        let previous = std::mem::replace(&mut list.tail, index);
        if previous == NONE {
            list.head = index;
            self.occupied[position.level] |= 1 << position.slot;
        } else {
            self.timers.get_mut(previous).next = index;
        }
        let timer = self.timers.get_mut(index);
        (timer.previous, timer.next) = (previous, NONE);
    }

    fn unlink(&mut self, index: u32) {
        let timer = *self.timers.get(index);
        let position = self.position(timer.at_ms);
        let list = &mut self.lists[position.level][position.slot];
        match timer.previous {
            NONE => list.head = timer.next,
            previous => self.timers.get_mut(previous).next = timer.next,
        }
        match timer.next {
            NONE => list.tail = timer.previous,
            next => self.timers.get_mut(next).previous = timer.previous,
        }
        if list.head == NONE {
            self.occupied[position.level] &= !(1 << position.slot);
        }
    }

    fn pop(&mut self, position: Position) -> T {
        let index = self.lists[position.level][position.slot].head;
        let item = self.timers.get(index).item;
        self.unlink(index);
        self.timers.remove(index);
        item
    }

    /// Moves the timers of a slot that the present has entered down, keeping their order.
    fn cascade(&mut self, position: Position) {
        let list = std::mem::replace(&mut self.lists[position.level][position.slot], List::EMPTY);
        self.occupied[position.level] &= !(1 << position.slot);
        let mut index = list.head;
        while index != NONE {
            let timer = self.timers.get(index);
            let (at_ms, next) = (timer.at_ms, timer.next);
            self.link(index, at_ms);
            index = next;
        }
    }
}

/// A wheel that starts at 0.
impl<T: Copy> Default for TimerWheel<T> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<T: Copy> fmt::Debug for TimerWheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerWheel")
            .field("present_ms", &self.present_ms)
            .field("len", &self.len())
            .field("next_at", &self.next_at())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut TimerWheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.expired(now_ms, usize::MAX, &mut due);
        due
    }

    #[test]
    fn items_come_out_by_time_and_then_by_setting() {
        let mut wheel = TimerWheel::new(0);
        for (item, at_ms) in [5_000, 70, 5_000, 3, 70, 1 << 40].into_iter().enumerate() {
            wheel.insert(at_ms, item as u32);
        }
        assert_eq!(due(&mut wheel, 69), [3]);
        assert_eq!(due(&mut wheel, 1 << 41), [1, 4, 0, 2, 5]);
        assert_eq!((wheel.len(), wheel.next_at()), (0, None));
    }

    #[test]
    fn a_timer_set_late_keeps_behind_an_older_one_of_the_same_time() {
        let mut wheel = TimerWheel::new(0);
        wheel.insert(10_000, 1);
        due(&mut wheel, 9_999);
        wheel.insert(10_000, 2);
        assert_eq!(due(&mut wheel, 10_000), [1, 2]);
    }

    #[test]
    fn a_time_in_the_past_is_due_at_once() {
        let mut wheel = TimerWheel::new(1_000);
        let id = wheel.insert(5, 1);
        assert_eq!((wheel.get(id), wheel.next_at()), (Some((1_000, 1)), Some(1_000)));
        assert_eq!(due(&mut wheel, 0), [1]);
    }

    #[test]
    fn the_limit_leaves_the_rest_for_the_next_call() {
        let mut wheel = TimerWheel::new(0);
        (0..5u32).for_each(|item| _ = wheel.insert(100 + u64::from(item) / 3, item));
        let mut out = Vec::new();
        assert_eq!(wheel.expired(500, 0, &mut out), 0);
        assert_eq!((wheel.expired(500, 4, &mut out), wheel.present_ms()), (4, 101));
        assert_eq!((wheel.expired(500, 4, &mut out), wheel.present_ms()), (1, 500));
        assert_eq!(out, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_last_millisecond_is_reached() {
        let mut wheel = TimerWheel::new(0);
        wheel.insert(u64::MAX, 9);
        wheel.insert(u64::MAX - 1, 8);
        assert_eq!(due(&mut wheel, u64::MAX - 2), []);
        assert_eq!(due(&mut wheel, u64::MAX), [8, 9]);
        wheel.insert(u64::MAX, 7);
        assert_eq!(due(&mut wheel, u64::MAX), [7]);
    }

    #[test]
    fn a_cancelled_timer_never_comes_out_and_its_id_stays_dead() {
        let mut wheel = TimerWheel::new(0);
        let ids = [wheel.insert(50, 1), wheel.insert(50, 2), wheel.insert(50, 3)];
        assert_eq!((wheel.cancel(ids[1]), wheel.cancel(ids[1]), wheel.get(ids[1])), (true, false, None));
        wheel.insert(50, 4);
        assert!(!wheel.cancel(ids[1]), "the place is reused, the id is not");
        assert_eq!(due(&mut wheel, 50), [1, 3, 4]);
        assert!(!wheel.cancel(ids[0]), "came out before");
    }

    #[test]
    fn sleeping_until_next_at_is_never_late_and_wakes_rarely() {
        for at_ms in [1, 63, 64, 15_000, 86_400_000, 1 << 60, u64::MAX / 3] {
            let mut wheel = TimerWheel::new(7);
            wheel.insert(at_ms, 0);
            let mut wakes = 0;
            while let Some(next_ms) = wheel.next_at() {
                assert!(next_ms <= at_ms.max(7), "{next_ms} is late for {at_ms}");
                assert_eq!(due(&mut wheel, next_ms).len(), usize::from(next_ms == at_ms.max(7)));
                wakes += 1;
            }
            assert!(wakes <= LEVELS, "{wakes} wakes for {at_ms}");
        }
    }

    #[test]
    fn an_id_costs_eight_bytes_even_when_optional() {
        assert_eq!(size_of::<Option<TimerId>>(), 8);
    }
}
