//! What comes from the server: leases, the word that an end has counted, requests to stop.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lineshaft_ipc::shared::StopReason;
use lineshaft_wire::message::{ChildAttached, Finished, Leases, Message, Stop, StopReason as WireReason};
use lineshaft_wire::{Fence, JobId};
use rustix::process::{Signal, getpid, kill_process};

use super::{LEASE_USED_MAX, Phase, RENEWALS, Session};
use crate::client::connection::Incoming;
use crate::worker::Kind;
use crate::worker::child::checkpoint::Pending;
use crate::worker::child::job::jobs_of;
use crate::worker::child::ledger::Entry;

impl Session {
    pub(super) fn receive(&mut self, incoming: Incoming) {
        let Incoming { request_id, message, payload } = incoming;
        match message {
            Message::ChildAttached(attached) => self.attached(&attached),
            Message::Leases(leases) => self.leased(&leases, payload),
            Message::Finished(finished) => {
                self.confirmed(request_id, finished);
            }
            Message::Done(_) if self.logs.front().is_some_and(|(request, _)| *request == request_id) => {
                self.logs_confirmed();
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
        // As ever, what was logged goes before the ends.
        self.shared.logs.attached();
        self.send_new_logs(Instant::now());
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

    fn logs_confirmed(&mut self) {
        if let Some((_, end)) = self.logs.pop_front() {
            self.shared.logs.confirmed(end);
        }
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
}
