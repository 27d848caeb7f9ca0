//! The workers of a pool: as many as are wanted, and others in the place of those that have ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Error;
use super::hand::Hand;

/// Workers in a row that end before they are ready.
const STARTS_MAX: u32 = 3;
/// So long who has nothing to do may take to leave, before SIGTERM.
const POLITE: Duration = Duration::from_millis(20);
/// So long all of them may take, before SIGKILL.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Staff {
    pub(super) hands: BTreeMap<u32, Hand>,
    wanted: usize,
    next_number: u32,
    failed_starts: u32,
    looked_at: Option<Instant>,
    /// Whether nobody is replaced any more.
    pub(super) is_leaving: bool,
}

impl Staff {
    pub(super) fn new(wanted: usize) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Numbers for the workers that are missing.
    pub(super) fn vacancies(&mut self) -> Vec<u32> {
        let missing = if self.is_leaving { 0 } else { self.wanted.saturating_sub(self.hands.len()) };
        let first = self.next_number;
        self.next_number += missing as u32;
        (first..self.next_number).collect()
    }

    /// A worker cannot be started. It is tried again, but not for ever: why nothing can be done any more.
    pub(super) fn note_failed_start(&mut self, error: &dyn std::fmt::Display) -> Option<Error> {
        self.failed_starts += 1;
        (self.failed_starts >= STARTS_MAX).then(|| Error::Broken(Arc::from(format!("the last one {error}"))))
    }

    /// A worker says that it is ready: itself, unless it is dead already.
    pub(super) fn welcome(&mut self, number: u32) -> Option<&mut Hand> {
        let hand = self.hands.get_mut(&number)?;
        hand.is_ready = true;
        self.failed_starts = 0;
        Some(hand)
    }

    /// Those that have ended, if it was not looked for so long.
    pub(super) fn look(&mut self, pause: Duration) -> Vec<u32> {
        if self.looked_at.is_some_and(|at| at.elapsed() < pause) {
            return Vec::new();
        }
        self.looked_at = Some(Instant::now());
        self.hands.iter_mut().filter_map(|(number, hand)| hand.has_ended().then_some(*number)).collect()
    }

    /// One that has ended: how, and why nothing can be done any more, if that is so.
    pub(super) fn bury(&mut self, number: u32) -> Option<(Error, Option<Error>)> {
        let hand = self.hands.remove(&number)?;
        let was_ready = hand.is_ready;
        let error = hand.bury();
        let reason = match &error {
            Error::WorkerDied { reason, .. } if !was_ready && !self.is_leaving => Arc::clone(reason),
            _ => return Some((error, None)),
        };
        let broken = self.note_failed_start(&reason);
        Some((error, broken))
    }

    /// All of them leave when they are through with what they have, and nobody comes.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        self.hands.values().for_each(Hand::leave);
    }

    /// Ends all of them: who has nothing to do is asked to leave, others by SIGTERM, and then SIGKILL.
    pub(super) fn end(&mut self) {
        self.leave();
        let began = Instant::now();
        let until = |after: Duration| (began + after).saturating_duration_since(Instant::now());
        self.hands.values().filter(|hand| !hand.wait(until(POLITE))).for_each(Hand::ask);
        for hand in self.hands.values() {
            hand.wait(until(GRACE));
        }
        self.hands.clear();
    }
}
