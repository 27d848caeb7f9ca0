//! What a child says when it is time: that it lives, how its attempts ended and how far they are, what it hands back and
//! how much more it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft_wire::message::{Credit, Renew};

use super::{Phase, RENEWALS, Session};
use crate::worker::child::ledger::{Entry, entries};
use crate::worker::child::{held, logs};

/// Time within which the server has to accept the child.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long ends wait for company.
const GATHER: Duration = Duration::from_millis(1);
/// Least time between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// How long records wait for company, unless an attempt ends.
const LOGS_EVERY: Duration = Duration::from_millis(20);
/// When nothing else is due.
const IDLE: Duration = Duration::from_secs(3_600);

impl Session {
    /// When [`Self::work`] has something to do although nothing happens.
    pub(super) fn due(&self) -> Instant {
        let now = Instant::now();
        let soon = match self.phase {
            Phase::Away => return now + IDLE,
            Phase::Attaching { since, .. } => return since + ATTACH_TIMEOUT,
            Phase::Attached => self.next_renewal,
        };
        let mut state = self.shared.state();
        let look = state.look_due(now);
        let late = state.leased_until.filter(|_| self.phase == Phase::Attached);
        let gathered = state.ends_since.map(|since| since + GATHER);
        let progress = (!state.progress.is_empty()).then_some(self.progress_at);
        let logs = self.shared.logs.are_new().then_some(self.logs_at);
        let long = if state.paused { None } else { state.long_at() };
        let again = self.refused.iter().map(|(at, _)| *at).min();
        [late, gathered, progress, logs, long, again, look].into_iter().flatten().fold(soon, Instant::min)
    }

    pub(super) fn work(&mut self, now: Instant) {
        match self.phase {
            Phase::Away => {}
            Phase::Attaching { .. } | Phase::Attached if self.has_lapsed(now) => {
                self.reset(crate::Error::Timeout { request: "Renew", after: self.lease });
            }
            Phase::Attaching { since, .. } => {
                if now >= since + ATTACH_TIMEOUT {
                    self.reset(crate::Error::Timeout { request: "AttachChild", after: ATTACH_TIMEOUT });
                }
            }
            Phase::Attached => {
                self.renew(now);
                held::look_at(self.shared.state().slots.held_mut(), now);
                self.send_logs(now);
                self.flush(now);
                self.report_progress(now);
                self.hand_back(now);
                self.grant(now);
            }
        }
    }

    /// Leases were dropped, or renewals are not answered: perhaps nobody is at the other end any more.
    fn has_lapsed(&self, now: Instant) -> bool {
        let state = self.shared.state();
        state.lapsed || (self.phase == Phase::Attached && state.is_late(now))
    }

    /// The answer shows that the renewal was heard.
    fn renew(&mut self, now: Instant) {
        if now < self.next_renewal {
            return;
        }
        self.next_renewal = now + self.lease / RENEWALS;
        let request = self.next_request();
        self.send(request, &Renew {}.into());
        // An older one that is not answered yet counts for less; the connection will show whether it lives.
        self.renewing = Some((request, now));
    }

    fn flush(&mut self, now: Instant) {
        for (_, entry) in self.refused.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            self.submit(entry);
        }
        self.send_checkpoints();
        let mut state = self.shared.state();
        let oldest_is_due = state.ends_since.is_some_and(|since| now >= since + GATHER);
        if state.ends.is_empty() || !(oldest_is_due || state.is_worth_a_frame() || state.paused) {
            return;
        }
        let ends = state.take_ends();
        drop(state);
        // Whoever hears of the end finds what was logged before it.
        self.send_new_logs(now);
        for entry in entries(ends) {
            self.submit(entry);
        }
    }

    /// Before any end, so that the end of an attempt never overtakes its checkpoint.
    fn send_checkpoints(&mut self) {
        let pending = std::mem::take(&mut self.shared.state().checkpoints);
        for mut pending in pending {
            self.replace_postponed(&mut pending);
            self.submit(Entry::Checkpoint(pending));
        }
    }

    fn send_logs(&mut self, now: Instant) {
        if now >= self.logs_at && self.shared.logs.are_new() {
            self.send_new_logs(now);
        }
    }

    pub(super) fn send_new_logs(&mut self, now: Instant) {
        self.logs_at = now + LOGS_EVERY;
        let shared = Arc::clone(&self.shared);
        while let Some(waiting) = shared.logs.take(self.logs_sent) {
            let request = self.next_request();
            let (worker, child) = (self.introduction.worker, self.introduction.number);
            self.send(request, &logs::message(worker, child, &waiting).into());
            self.logs_sent = Some(waiting.end);
            self.logs.push_back((request, waiting.end));
        }
    }

    fn report_progress(&mut self, now: Instant) {
        if now < self.progress_at {
            return;
        }
        let progress = std::mem::take(&mut self.shared.state().progress);
        if progress.is_empty() {
            return;
        }
        self.progress_at = now + PROGRESS_EVERY;
        progress.into_values().for_each(|progress| self.send(0, &progress.into()));
    }

    /// What has not begun goes back while nothing moves for long, and when the worker drains.
    fn hand_back(&mut self, now: Instant) {
        let mut state = self.shared.state();
        let long = state.is_long(now);
        let draining = state.draining;
        let stop_credit = (long && !state.paused) || (draining && !self.drained);
        if long {
            state.pause();
        }
        let leases = if long || draining { state.take_waiting() } else { state.take_waiting_once() };
        drop(state);
        self.drained = draining;
        if stop_credit || !leases.is_empty() {
            self.outstanding = 0;
            self.send(0, &Credit { leases: 0, reset: true }.into());
        }
        if !leases.is_empty() {
            self.submit(Entry::Release(leases));
        }
    }

    fn grant(&mut self, now: Instant) {
        let mut state = self.shared.state();
        if state.draining || state.is_long(now) {
            return;
        }
        let reset = std::mem::take(&mut state.paused) | self.fresh;
        let missing = state.missing(self.outstanding);
        drop(state);
        if missing > 0 {
            self.fresh = false;
            self.outstanding += missing;
            self.send(0, &Credit { leases: missing, reset }.into());
        }
    }
}
