//! A job's place in memory: 56 bytes, and 32 more in pages where jobs wait for times.
//!
//! Both are plain bytes without a pointer: a page of them is copied as it is, and may lie outside memory.

use bytemuck::{Pod, Zeroable};
use lineshaft_wire::JobState;
use lineshaft_wire::message::Rules;

use crate::change::{Place, RunAt};

/// [`Life::state`] of a free place.
const FREE: u8 = 0;

/// One job, or a free place that remembers its generation.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Slot {
    pub(crate) created_ms: u64,
    /// Place in line: lower goes first among jobs of one priority. For a finished job its finish number, for a free
    /// place how many jobs were archived when it became free: the lowest is used next.
    pub(crate) order: u64,
    pub(crate) arguments: Place,
    pub(crate) generation: u32,
    pub(crate) task: u32,
    pub(crate) queue: u32,
    pub(crate) rules: u32,
    /// Attempts that errored or timed out.
    pub(crate) failures: u16,
    pub(crate) crashes: u8,
    pub(crate) priority: u8,
    pub(crate) life: Life,
}

/// The state of a job as plain bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Life {
    /// 0 if the place is free, else one more than the state.
    state: u8,
    is_cancelling: u8,
    _spare: [u8; 2],
}

impl Slot {
    pub(crate) fn free(generation: u32) -> Self {
        Self {
            created_ms: 0,
            order: 0,
            arguments: Place::EMPTY,
            generation,
            task: 0,
            queue: 0,
            rules: 0,
            failures: 0,
            crashes: 0,
            priority: 0,
            life: Life { state: FREE, is_cancelling: 0, _spare: [0; 2] },
        }
    }

    /// None if the place is free.
    #[inline]
    pub(crate) fn state(&self) -> Option<JobState> {
        JobState::ALL.get(usize::from(self.life.state).wrapping_sub(1)).copied()
    }

    pub(crate) const fn set_state(&mut self, state: JobState) {
        self.life.state = state as u8 + 1;
    }

    pub(crate) const fn is_cancelling(&self) -> bool {
        self.life.is_cancelling != 0
    }

    pub(crate) const fn set_cancelling(&mut self, cancelling: bool) {
        self.life.is_cancelling = cancelling as u8;
    }

    #[inline]
    pub(crate) const fn is_free(&self) -> bool {
        self.life.state == FREE
    }

    #[inline]
    pub(crate) fn job_state(&self) -> JobState {
        self.state().unwrap_or_else(|| unreachable!("a free slot has no state"))
    }

    /// Whether another attempt follows if the next one, or the one that runs, errors or times out.
    pub(crate) fn has_retry(&self, rules: &Rules) -> bool {
        !rules.at_most_once && u32::from(self.failures) + 1 < rules.max_attempts
    }
}

/// The times that a job waits for; most have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Times {
    run_at_ms: u64,
    expires_ms: u64,
    deadline_ms: u64,
    /// Which of them there are, and on which clock the first one is.
    given: u64,
}

const WALL: u64 = 1;
const LOGICAL: u64 = 2;
const EXPIRES: u64 = 4;
const DEADLINE: u64 = 8;
/// The first of them has come: it says when.
const READY: u64 = 16;

impl Times {
    pub(crate) const NONE: Self = Self { run_at_ms: 0, expires_ms: 0, deadline_ms: 0, given: 0 };

    pub(crate) fn new(run_at: Option<RunAt>, expires_ms: Option<u64>, deadline_ms: Option<u64>) -> Self {
        let mut times = Self::NONE;
        times.set_run_at(run_at);
        if let Some(at) = expires_ms {
            (times.expires_ms, times.given) = (at, times.given | EXPIRES);
        }
        if let Some(at) = deadline_ms {
            (times.deadline_ms, times.given) = (at, times.given | DEADLINE);
        }
        times
    }

    pub(crate) fn run_at(&self) -> Option<RunAt> {
        match self.given & (WALL | LOGICAL) {
            WALL => Some(RunAt::Wall(self.run_at_ms)),
            LOGICAL => Some(RunAt::Logical(self.run_at_ms)),
            _ => None,
        }
    }

    pub(crate) fn set_run_at(&mut self, run_at: Option<RunAt>) {
        let (at, clock) = match run_at {
            Some(RunAt::Wall(at)) => (at, WALL),
            Some(RunAt::Logical(at)) => (at, LOGICAL),
            None => (0, 0),
        };
        (self.run_at_ms, self.given) = (at, self.given & !(WALL | LOGICAL | READY) | clock);
    }

    /// The time that it waited for has come, at `at_ms`, Unix milliseconds.
    pub(crate) fn set_ready(&mut self, at_ms: u64) {
        (self.run_at_ms, self.given) = (at_ms, self.given & !(WALL | LOGICAL) | READY);
    }

    /// When the time came that it waited for, Unix milliseconds.
    pub(crate) fn ready_ms(&self) -> Option<u64> {
        (self.given & READY > 0).then_some(self.run_at_ms)
    }

    /// When it must have begun, Unix milliseconds.
    pub(crate) fn expires_ms(&self) -> Option<u64> {
        (self.given & EXPIRES > 0).then_some(self.expires_ms)
    }

    /// When it must have ended, Unix milliseconds.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        (self.given & DEADLINE > 0).then_some(self.deadline_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_takes_56_bytes_and_its_times_32() {
        assert_eq!((size_of::<Slot>(), size_of::<Times>()), (56, 32));
    }

    #[test]
    fn a_slot_says_its_state() {
        let mut slot = Slot::free(7);
        assert!(slot.is_free() && slot.state().is_none());
        for state in JobState::ALL {
            slot.set_state(state);
            assert_eq!((slot.is_free(), slot.state(), slot.job_state()), (false, Some(state), state));
        }
    }

    #[test]
    fn times_come_back_one_by_one() {
        let mut times = Times::new(Some(RunAt::Logical(7)), None, Some(0));
        assert_eq!(
            (times.run_at(), times.expires_ms(), times.deadline_ms()),
            (Some(RunAt::Logical(7)), None, Some(0))
        );
        times.set_run_at(Some(RunAt::Wall(u64::MAX)));
        assert_eq!(times.run_at(), Some(RunAt::Wall(u64::MAX)));
        times.set_run_at(None);
        assert_eq!(times, Times::new(None, None, Some(0)));
        times.set_ready(9);
        assert_eq!((times.run_at(), times.ready_ms(), times.deadline_ms()), (None, Some(9), Some(0)));
        times.set_run_at(Some(RunAt::Wall(5)));
        assert_eq!((times.run_at(), times.ready_ms()), (Some(RunAt::Wall(5)), None));
    }
}
