//! A child's side of its connection: introduces it, renews, fetches, sends. Runs on its own thread and never waits for
//! the slot.

mod refusals;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft_ipc::shared::StopReason;
use lineshaft_wire::message::{
    AttachChild, ChildAttached, Credit, Finished, Leases, Message, Renew, Stop, StopReason as WireReason,
};
use lineshaft_wire::{Fence, JobId};
use rustix::process::{Signal, getpid, kill_process};

use super::checkpoint::Pending;
use super::job::jobs_of;
use super::ledger::{Entry, Ledger, entries};
use super::queue::Shared;
use super::words::Words;
use crate::client::connection::Incoming;
use crate::worker::Kind;
use crate::worker::link::{Happened, Link};

/// Time within which the server has to accept the child.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long ends wait for company.
const GATHER: Duration = Duration::from_millis(1);
/// Least time between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// When nothing else is due.
const IDLE: Duration = Duration::from_secs(3_600);

/// The part of a lease after which a child that could not renew stops what it runs.
pub(crate) const LEASE_USED_MAX: f64 = 0.8;
/// Renewals of a lease in its time. So many that a connection which is cut for half of it costs no attempt, though the
/// last renewal was a while ago and the next connection takes a moment.
const RENEWALS: u32 = 5;

pub(super) struct Session {
    shared: Arc<Shared>,
    link: Link,
    introduction: AttachChild,
    ledger: Ledger,
    words: Words,
    /// To be sent again at this time.
    refused: Vec<(Instant, Entry)>,
    last_request: u64,
    phase: Phase,
    lease: Duration,
    next_renewal: Instant,
    /// The renewal on its way: its request, and when it left.
    renewing: Option<(u64, Instant)>,
    /// Credit given and not used.
    outstanding: u32,
    drained: bool,
    /// No credit was given over this connection yet.
    fresh: bool,
    progress_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Away,
    Attaching { request: u64, since: Instant },
    Attached,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, link: Link, introduction: AttachChild, words: Words) -> Self {
        let now = Instant::now();
        Self {
            shared,
            link,
            introduction,
            ledger: Ledger::default(),
            words,
            refused: Vec::new(),
            last_request: 1,
            phase: Phase::Away,
            lease: Duration::ZERO,
            next_renewal: now,
            renewing: None,
            outstanding: 0,
            drained: false,
            fresh: true,
            progress_at: now,
        }
    }

    /// Serves until the process ends.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let due = tokio::time::sleep_until(self.due().into());
            tokio::select! {
                happened = self.link.next() => self.happened(happened),
                () = shared.wake.notified() => {}
                () = due => {}
            }
            self.work(Instant::now());
        }
    }

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Connected => self.introduce(),
            Happened::Message(incoming) => {
                self.receive(*incoming);
                while let Some(incoming) = self.link.take() {
                    self.receive(incoming);
                }
            }
            Happened::Lost(error) => {
                tracing::debug!(%error, "a child lost its connection");
                self.away();
            }
        }
    }

    /// Attaches anew, so that both sides agree on what is held.
    fn reset(&mut self, error: crate::Error) {
        self.link.reset(error);
        self.away();
    }

    fn away(&mut self) {
        self.phase = Phase::Away;
        self.renewing = None;
        self.outstanding = 0;
        self.drained = false;
    }

    fn send(&mut self, request: u64, message: &Message) {
        if let Some(connection) = self.link.connection()
            && let Err(error) = connection.queue(request, message, &[])
        {
            tracing::error!(%error, "a worker's message cannot be sent");
        }
    }

    fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    fn introduce(&mut self) {
        let mut state = self.shared.state();
        state.lapsed = false;
        let mut held: Vec<_> = state.held().chain(self.ledger.held()).collect();
        drop(state);
        held.extend(self.refused.iter().flat_map(|(_, entry)| entry.fences()));
        held.sort_unstable_by_key(|(_, fence)| *fence);
        held.dedup();
        let request = self.next_request();
        let message = AttachChild { held, attach: request, ..self.introduction.clone() };
        self.send(request, &message.into());
        self.phase = Phase::Attaching { request, since: Instant::now() };
    }

    // ---- What comes.

    fn receive(&mut self, incoming: Incoming) {
        let Incoming { request_id, message, payload } = incoming;
        match message {
            Message::ChildAttached(attached) => self.attached(&attached),
            Message::Leases(leases) => self.leased(&leases, payload),
            Message::Finished(finished) => {
                self.confirmed(request_id, finished);
            }
            Message::Done(_) => self.renewed(request_id),
            Message::Stop(stop) => self.stop(stop),
            Message::Refused(refused) => self.refuse(request_id, &refused),
            other => tracing::warn!(name = other.name(), "a message that a child does not expect"),
        }
    }

    fn attached(&mut self, attached: &ChildAttached) {
        let Phase::Attaching { since, .. } = self.phase else { return };
        self.phase = Phase::Attached;
        self.link.settled();
        self.lease = Duration::from_millis(attached.lease_ms);
        self.next_renewal = since + self.lease / RENEWALS;
        self.leased_from(since);
        self.forget(&attached.stale);
        for entry in self.ledger.take_all() {
            self.submit(entry);
        }
        self.fresh = true;
        self.shared.state().paused = false;
    }

    /// Leases that are somebody else's: what waits is dropped, what runs is stopped, nothing is reported.
    fn forget(&mut self, stale: &[Fence]) {
        if stale.is_empty() {
            return;
        }
        let stale: BTreeSet<Fence> = stale.iter().copied().collect();
        let mut late = self.ledger.ended(&stale);
        let (mut gone, bytes) = self.ledger.forget(&stale);
        let (unsent, unsent_bytes) = self.shared.state().forget(&stale);
        late.extend(unsent.iter().map(|(job, _)| *job));
        gone.extend(unsent);
        late.into_iter().for_each(|job| self.came_late(job));
        self.shared.settled(&gone, bytes + unsent_bytes);
        self.interrupt(&stale, StopReason::LeaseLost);
    }

    fn leased(&mut self, leases: &Leases, payload: bytes::Bytes) {
        let Some(jobs) = jobs_of(leases, payload) else {
            let wrong = crate::Error::Protocol("the lengths of leases do not fit their payload".to_owned());
            return self.reset(wrong);
        };
        self.outstanding = self.outstanding.saturating_sub(jobs.len() as u32);
        self.shared.push(jobs);
    }

    fn confirmed(&mut self, request: u64, finished: Finished) {
        let Some((sent_at, entry)) = self.ledger.take(request) else { return };
        if let Entry::Checkpoint(pending) = entry {
            return self.checkpointed(pending, finished);
        }
        if matches!(entry, Entry::Ends(_)) {
            finished.refused.iter().for_each(|(job, _)| self.came_late(*job));
        }
        let (_, bytes) = entry.weight();
        if matches!(entry, Entry::Ends(_)) {
            self.shared.state().pace.record_trip(sent_at.elapsed());
        }
        self.shared.settled(&entry.fences(), bytes);
    }

    /// To the server its attempt is lost, and the job somebody else's or to be run again.
    fn came_late(&mut self, job: JobId) {
        tracing::warn!(%job, "the end of an attempt came too late");
        self.words.say(&format!(
            "the end of an attempt of job {job} came too late and does not count: it had lost its lease"
        ));
    }

    /// The attempt is asked to stop before its body hears that the checkpoint does not stand.
    fn checkpointed(&mut self, mut pending: Pending, finished: Finished) {
        if finished.refused.is_empty() {
            self.shared.state().note_checkpoint(&pending);
        } else {
            tracing::warn!(job = %pending.job, fence = %pending.fence, "a checkpoint came too late: the lease is somebody else's");
            self.forget(&[pending.fence]);
        }
        pending.answer(Ok(finished));
    }

    fn renewed(&mut self, request: u64) {
        if let Some((_, sent_at)) = self.renewing.take_if(|(renewal, _)| *renewal == request) {
            self.leased_from(sent_at);
        }
    }

    /// Every lease lives for a whole lease from `instant` on. The beat tells the supervisor.
    fn leased_from(&self, instant: Instant) {
        self.shared.state().leased_until = Some(instant + self.lease.mul_f64(LEASE_USED_MAX));
        self.shared.page.beat();
    }

    fn stop(&mut self, stop: Stop) {
        let unbegun = self.shared.state().take_waiting_one(stop.fence);
        match (unbegun, stop.reason) {
            (Some(job), WireReason::Cancelled) => {
                self.shared.state().unsettled += 1;
                self.submit(Entry::Release(vec![(job.id, job.fence)]));
            }
            (Some(_), WireReason::Stale) => {}
            (None, WireReason::Cancelled) => {
                self.interrupt(&BTreeSet::from([stop.fence]), StopReason::Cancelled);
            }
            (None, WireReason::Stale) => self.forget(&[stop.fence]),
        }
    }

    /// Asks attempts to stop. The only slot of a process hears of it by the signal that its supervisor sends too.
    fn interrupt(&self, fences: &BTreeSet<Fence>, reason: StopReason) {
        if !self.shared.request_stops(fences, reason) {
            return;
        }
        self.shared.tell_stops();
        if self.shared.kind == Kind::Process
            && let Err(error) = kill_process(getpid(), Signal::USR1)
        {
            tracing::error!(%error, "cannot signal the own process");
        }
    }

    // ---- What is due.

    /// When [`Self::work`] has something to do although nothing happens.
    fn due(&self) -> Instant {
        let now = Instant::now();
        let soon = match self.phase {
            Phase::Away => return now + IDLE,
            Phase::Attaching { since, .. } => return since + ATTACH_TIMEOUT,
            Phase::Attached => self.next_renewal,
        };
        let state = self.shared.state();
        let late = state.leased_until.filter(|_| self.phase == Phase::Attached);
        let gathered = state.ends_since.map(|since| since + GATHER);
        let progress = (!state.progress.is_empty()).then_some(self.progress_at);
        let long = if state.paused { None } else { state.long_at() };
        let again = self.refused.iter().map(|(at, _)| *at).min();
        [late, gathered, progress, long, again].into_iter().flatten().fold(soon, Instant::min)
    }

    fn work(&mut self, now: Instant) {
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

    fn submit(&mut self, entry: Entry) {
        let request = self.next_request();
        let (message, payload) = entry.message();
        if let (Phase::Attached, Some(connection)) = (self.phase, self.link.connection())
            && let Err(error) = connection.queue(request, &message, &payload)
        {
            tracing::error!(%error, "the end of attempts cannot be sent");
            return self.send_less(entry, &error.to_string());
        }
        self.ledger.sent(request, entry);
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
