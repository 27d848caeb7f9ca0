//! A worker of a plan, with the shares that it has.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// Most shares that a worker has at a time.
pub const SLOTS: usize = 64;
/// So much work a worker has before it, so that it need not wait for the next share.
pub(super) const AHEAD: Duration = Duration::from_millis(20);
/// And so many bytes, unless one share has more.
const BYTES_AHEAD: usize = 16_000_000;
/// After so long it is tried again to take back something, where nothing was.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// A share of which something may be taken back: [`Plan::taken_back`](super::Plan::taken_back) wants to know what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theft {
    /// Who has it.
    pub worker: u32,
    /// In which of its slots.
    pub slot: usize,
    /// Its number.
    pub number: u16,
    /// Whether all that is not begun is wanted; or half of it, if something is.
    pub is_whole: bool,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) slots: Vec<Option<Share>>,
    /// The slots with shares, in the order in which they are worked off.
    pub(super) order: VecDeque<usize>,
    pub(super) next_number: u16,
    /// How many shares it may still be given.
    pub(super) shares_left: Option<u32>,
    /// How long what it has will take.
    pub(super) load: Duration,
    /// How many bytes that is.
    pub(super) bytes: usize,
    /// When it was last heard of, or got something to do.
    pub(super) heard_at: Duration,
}

/// What is in a slot: items of `call` from `start` on. Of them, as far as is known, `done` are done and `end` are its own.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) number: u16,
    pub(super) call: u64,
    pub(super) start: u64,
    pub(super) done: u32,
    pub(super) end: u32,
    pub(super) estimate: Duration,
    pub(super) bytes: usize,
    /// When nothing was there that could be taken back.
    pub(super) tried_at: Option<Duration>,
}

impl Theft {
    /// How much is left to its worker, where it has claimed so many and so many are left: see
    /// [`Claims::take_back`](lineshaft_ipc::claims::Claims::take_back).
    pub fn keep(&self, claimed: u32, rest: u32) -> u32 {
        match (self.is_whole, claimed) {
            (true, _) => 0,
            // It has just been given, and is about to be begun.
            (false, 0) => rest,
            (false, _) => rest / 2,
        }
    }
}

impl Share {
    /// Whether something may be left that its worker has not begun, if it stands at this place. Of the first one a single
    /// item is begun, or just about to be.
    pub(super) fn may_be_divided(&self, place: usize) -> bool {
        self.done < self.end && (place > 0 || self.end - self.done > 1)
    }

    pub(super) fn may_be_tried(&self, now: Duration) -> bool {
        self.tried_at.is_none_or(|tried| now.saturating_sub(tried) >= TRY_AGAIN)
    }

    pub(super) fn items(&self, range: Range<u32>) -> Range<u64> {
        self.start + u64::from(range.start)..self.start + u64::from(range.end)
    }
}

impl Worker {
    pub(super) fn new(shares_max: Option<u32>) -> Self {
        Self {
            slots: std::iter::repeat_with(|| None).take(SLOTS).collect(),
            order: VecDeque::new(),
            next_number: 0,
            shares_left: shares_max,
            load: Duration::ZERO,
            bytes: 0,
            heard_at: Duration::ZERO,
        }
    }

    pub(super) fn may_have_more(&self, now: Duration) -> bool {
        let is_silent = !self.order.is_empty() && now.saturating_sub(self.heard_at) > AHEAD;
        let has_enough = self.load >= AHEAD || self.bytes >= BYTES_AHEAD || self.order.len() == SLOTS;
        self.shares_left != Some(0) && !has_enough && !is_silent
    }

    pub(super) fn is_idle(&self) -> bool {
        self.order.is_empty() && self.shares_left != Some(0)
    }

    pub(super) fn share(&mut self, slot: usize) -> Option<&mut Share> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The slot is free for another share.
    pub(super) fn free(&mut self, slot: usize) -> Option<Share> {
        let share = self.slots.get_mut(slot)?.take()?;
        self.order.retain(|other| *other != slot);
        self.load = self.load.saturating_sub(share.estimate);
        self.bytes -= share.bytes;
        Some(share)
    }
}
