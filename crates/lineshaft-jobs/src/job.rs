//! All that is durable of one job, to look at.

use std::ops::Deref;

use crate::change::Place;
use crate::extra::{Attempt, Checkpoint, Extra, Failure, Parked};
use crate::slot::{Slot, Times};
use lineshaft_wire::JobState;

/// Reason of a job that was not begun in time.
pub(crate) const EXPIRED: &str = "expired";
/// Reason of a job that did not end in time.
pub(crate) const DEADLINE: &str = "deadline";

/// A slot and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) times: &'a Times,
    pub(crate) extra: Option<&'a Extra>,
}

impl Deref for Job<'_> {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        self.slot
    }
}

impl<'a> Job<'a> {
    pub(crate) fn failure(self) -> Option<Failure> {
        self.extra?.failure.as_deref().copied()
    }

    /// Attempts that ended, the newest 32.
    pub(crate) fn history(self) -> &'a [Attempt] {
        self.extra.map_or(&[], |extra| &extra.history)
    }

    /// Number of the newest attempt that ended, 0 if none did.
    pub(crate) fn attempts(self) -> u32 {
        self.last_attempt().map_or(0, |attempt| attempt.number)
    }

    pub(crate) fn last_attempt(self) -> Option<&'a Attempt> {
        self.history().last()
    }

    /// When the job is discarded unless it runs or has ended by then, Unix milliseconds, and why.
    pub(crate) fn limit(self) -> Option<(u64, &'static str)> {
        let expires = self.times.expires_ms().filter(|_| self.history().is_empty()).map(|at| (at, EXPIRED));
        let deadline = self.times.deadline_ms().map(|at| (at, DEADLINE));
        expires.into_iter().chain(deadline).min_by_key(|(at, _)| *at)
    }

    /// Why the job is out of its lane, if it is.
    pub(crate) fn parked(self) -> Option<&'a Parked> {
        let is_available = self.slot.state() == Some(JobState::Available);
        self.extra?.parked.as_deref().filter(|_| is_available)
    }

    pub(crate) fn checkpoint(self) -> Option<Checkpoint> {
        self.extra?.checkpoint.as_deref().copied()
    }

    pub(crate) fn tags(self) -> &'a [u32] {
        self.extra.map_or(&[], |extra| &extra.tags)
    }

    pub(crate) fn result(self) -> Place {
        self.extra.map_or(Place::EMPTY, |extra| extra.result)
    }

    /// Every stored payload of the job.
    pub(crate) fn places(self) -> impl Iterator<Item = Place> + 'a {
        let attempts = self.history().iter().flat_map(|attempt| [attempt.error, attempt.output]);
        let checkpoint = self.checkpoint().map(|checkpoint| checkpoint.value);
        attempts.chain([self.result(), self.slot.arguments]).chain(checkpoint)
    }
}
