//! How attempts end, and what becomes of their jobs.

use std::sync::Arc;

use bytes::Bytes;
use lineshaft_jobs::Payloads;
use lineshaft_wire::message::{End, Finish, METADATA_BYTES_MAX, OtherEnd, RefusalCode, UniqueWhile};
use lineshaft_wire::{ErrorRecord, Fence, JobId, JobState, Measures, Outcome};

use super::job::{ATTEMPTS_SHOWN, Attempt, Parked, Payload, When, cut};
use super::{Happened, Model, Told};

const HUNDRED_YEARS_MS: u64 = 100 * 366 * 24 * 3_600_000;

/// What an attempt left behind.
struct Remains {
    outcome: Outcome,
    started_ms: u64,
    finished_ms: u64,
    error: Option<ErrorRecord>,
    output: Payload,
    measures: Measures,
}

impl Model {
    pub(super) fn finish(
        &mut self,
        child: u32,
        finish: &Finish,
        payloads: &Payloads,
    ) -> Result<Told, RefusalCode> {
        let succeeded =
            finish.succeeded.iter().flat_map(|end| [end.result_length, u64::from(end.output_length)]);
        let lengths: Vec<u64> =
            succeeded.chain(finish.others.iter().map(|end| u64::from(end.output_length))).collect();
        let announced = lengths.iter().fold(0u64, |sum, length| sum.saturating_add(*length));
        if announced != payloads.bytes.len() as u64 {
            return Err(RefusalCode::BadRequest);
        }
        let mut payloads = cut(payloads, &lengths, self.lsn).into_iter();
        let mut next = || payloads.next().expect("one payload per length");
        let mut refused = Vec::new();
        for (number, end) in finish.succeeded.iter().enumerate() {
            let measures = finish.measures.get(number).copied().unwrap_or_default();
            let (result, output) = (next(), next());
            let (started_ms, finished_ms) = (end.started_at, end.finished_at.max(end.started_at));
            let (outcome, error) = (Outcome::Succeeded, None);
            let remains = Remains { outcome, started_ms, finished_ms, error, output, measures };
            match self.held_by(child, end.job, end.fence) {
                Some(at) => self.succeed(at, result, remains),
                None => self.refuse(end.job, end.fence, false, &mut refused),
            }
        }
        let mut ended = Vec::new();
        for end in &finish.others {
            let output = next();
            let says_lost = matches!(end.end, End::Lost { .. });
            let is_parked = matches!(end.end, End::Parked { .. } | End::PutOff { .. });
            match self.held_by(child, end.job, end.fence) {
                Some(at) => {
                    self.end_otherwise(at, end, output);
                    ended.push(end.fence);
                }
                // Handing back is never refused, nor what the same message says of the same lease.
                None if is_parked || ended.contains(&end.fence) => {}
                None => self.refuse(end.job, end.fence, says_lost, &mut refused),
            }
        }
        Ok(Told::Finished { refused })
    }

    pub(super) fn held_by(&self, child: u32, job: JobId, fence: Fence) -> Option<usize> {
        self.position(job).filter(|at| self.jobs[*at].holds(child, fence))
    }

    /// An end that was counted already is no refusal; one of an attempt that was given up for lost is.
    fn refuse(&self, job: JobId, fence: Fence, says_lost: bool, refused: &mut Vec<(JobId, Fence)>) {
        let known = self.position(job).map(|at| &self.jobs[at]);
        let is_told =
            |attempt: &Attempt| attempt.fence == fence && (says_lost || attempt.outcome != Outcome::Lost);
        if !known.is_some_and(|job| job.shown().iter().any(is_told)) {
            refused.push((job, fence));
        }
    }

    fn succeed(&mut self, at: usize, result: Payload, remains: Remains) {
        self.end_attempt(at, remains);
        if let Some((.., result_bytes)) = self.ended.last_mut() {
            *result_bytes = result.bytes.len();
        }
        self.jobs[at].result = result;
        self.jobs[at].checkpoint = None;
        self.end(at, JobState::Completed, None);
    }

    fn end_otherwise(&mut self, at: usize, end: &OtherEnd, output: Payload) {
        if let End::Parked { missing } = &end.end {
            return self.park(at, missing);
        }
        if let End::PutOff { delay_ms, reason } = &end.end {
            return self.put_off(at, *delay_ms, reason);
        }
        let (outcome, error) = match &end.end {
            End::Errored { error, .. } | End::Rejected { error, .. } => (Outcome::Errored, Some(error)),
            End::TimedOut { error } => (Outcome::TimedOut, Some(error)),
            End::Crashed { error } => (Outcome::Crashed, Some(error)),
            End::Lost { error } => (Outcome::Lost, Some(error)),
            End::Released => (Outcome::Released, None),
            End::Cancelled if !self.jobs[at].cancelling => (Outcome::Released, None),
            End::Snoozed { .. } => (Outcome::Snoozed, None),
            End::CancelledItself { .. } | End::Cancelled => (Outcome::Cancelled, None),
            End::Parked { .. } | End::PutOff { .. } => unreachable!("it never began"),
        };
        let (started_ms, finished_ms) = (end.started_at, end.finished_at);
        let cut_short = self.ends_at_deadline(at);
        let (error, measures) = (error.cloned(), end.measures);
        self.end_attempt(at, Remains { outcome, started_ms, finished_ms, error, output, measures });
        let cancelling = self.jobs[at].cancelling;
        match &end.end {
            End::Rejected { reason, .. } => self.end(at, JobState::Discarded, Some(clip(reason))),
            End::CancelledItself { reason } => self.end(at, JobState::Cancelled, Some(clip(reason))),
            _ if cancelling => self.end(at, JobState::Cancelled, Some("cancelled".into())),
            End::TimedOut { .. } if cut_short => self.end(at, JobState::Discarded, Some("deadline".into())),
            End::Released | End::Lost { .. } | End::Cancelled if self.jobs[at].rules.at_most_once => {
                self.end(at, JobState::Discarded, Some("maybe_ran".into()));
            }
            End::Parked { .. } | End::PutOff { .. } => unreachable!("it never began"),
            End::Cancelled | End::Released | End::Lost { .. } => self.go_on(at, |model| model.go_again(at)),
            End::Snoozed { delay_ms } => {
                let until = self.logical_ms + (*delay_ms).min(HUNDRED_YEARS_MS);
                self.go_on(at, |model| model.wait(at, JobState::Scheduled, When::Logical(until)));
            }
            End::Crashed { .. } => self.after_crash(at),
            End::Errored { error, retry_after_ms } => self.after_failure(at, &error.types, *retry_after_ms),
            End::TimedOut { .. } => self.after_failure(at, &[], None),
        }
    }

    /// The job's worker does not know what it names: it waits, behind all others, for one that does.
    fn park(&mut self, at: usize, missing: &Arc<str>) {
        if self.jobs[at].cancelling {
            return self.hand_back(&[at]);
        }
        let lease = self.jobs[at].lease.take().expect("only leased jobs are parked");
        let child = self.child(lease.child).expect("a child with leases is known");
        let (nonce, name) = (child.worker, child.name.to_string());
        let mut nonces = self.jobs[at].parked.take().map_or_else(Vec::new, |parked| parked.nonces);
        nonces.retain(|tried| *tried != nonce && self.children.iter().any(|child| child.worker == *tried));
        nonces.push(nonce);
        let worker = name.split('/').next().unwrap_or_default().to_owned();
        self.jobs[at].parked = Some(Parked { missing: clip(missing), worker, nonces });
        self.stand_in_line(at);
        self.go_again(at);
        self.keep_out_again(at);
    }

    /// The job's worker lacks something for now: it waits, as if it had never been leased.
    fn put_off(&mut self, at: usize, delay_ms: u64, reason: &Arc<str>) {
        if self.jobs[at].cancelling {
            return self.hand_back(&[at]);
        }
        let job = &mut self.jobs[at];
        (job.lease, job.parked, job.put_off) = (None, None, Some(clip(reason)));
        let until = self.logical_ms + delay_ms.min(HUNDRED_YEARS_MS);
        self.wait(at, JobState::Scheduled, When::Logical(until));
        self.keep_out_again(at);
    }

    /// Whether the running attempt is stopped by the job's deadline, before its own timeout.
    fn ends_at_deadline(&self, at: usize) -> bool {
        let job = &self.jobs[at];
        let leased_ms = job.lease.expect("only leased jobs are run").leased_ms;
        match (job.deadline_ms, job.rules.timeout_ms) {
            (Some(deadline), Some(timeout)) => deadline < leased_ms + timeout,
            (deadline, _) => deadline.is_some(),
        }
    }

    /// The job is tried again, unless its deadline has passed.
    fn go_on(&mut self, at: usize, again: impl FnOnce(&mut Self)) {
        if self.jobs[at].deadline_ms.is_some_and(|deadline| deadline <= self.wall_ms) {
            self.end(at, JobState::Discarded, Some("deadline".into()));
        } else {
            again(self);
        }
    }

    fn end_attempt(&mut self, at: usize, remains: Remains) {
        let lease = self.jobs[at].lease.take().expect("only leased jobs are run");
        (self.jobs[at].parked, self.jobs[at].put_off) = (None, None);
        let worker = self.child(lease.child).map(|child| Arc::clone(&child.name)).unwrap_or_default();
        let Remains { outcome, started_ms, finished_ms, error, output, measures } = remains;
        let lsn = Some(self.lsn);
        let job = &mut self.jobs[at];
        job.failures += u32::from(matches!(outcome, Outcome::Errored | Outcome::TimedOut));
        job.crashes += u32::from(outcome == Outcome::Crashed);
        let number = job.attempts.len() as u32 + 1;
        let fence = lease.fence;
        let before = job.attempts.last().map_or(0, |attempt| attempt.finished_ms);
        let waited_ms = started_ms.saturating_sub(job.created_ms.max(job.ready_ms).max(before));
        let attempt = Attempt {
            number,
            fence,
            outcome,
            worker,
            started_ms,
            finished_ms,
            error,
            lsn,
            output,
            waited_ms,
            measures,
        };
        self.ended.push((Arc::clone(&job.task), attempt.clone(), job.arguments.bytes.len(), 0));
        job.attempts.push(attempt);
        if job.attempts.len() > ATTEMPTS_SHOWN {
            let hidden = &job.attempts[job.attempts.len() - ATTEMPTS_SHOWN - 1];
            self.happened.extend(hidden.output.blob.map(Happened::BlobFreed));
        }
    }

    fn after_crash(&mut self, at: usize) {
        let job = &self.jobs[at];
        if job.rules.at_most_once {
            self.end(at, JobState::Discarded, Some("maybe_ran".into()));
        } else if job.crashes >= job.rules.max_crashes {
            self.end(at, JobState::Discarded, Some("crashes".into()));
        } else {
            self.go_on(at, |model| model.go_again(at));
        }
    }

    fn after_failure(&mut self, at: usize, types: &[String], asked_ms: Option<u64>) {
        let job = &self.jobs[at];
        let rules = Arc::clone(&job.rules);
        let is_a = |classes: &[String]| types.iter().any(|class| classes.contains(class));
        let timed_out = job.attempts.last().is_some_and(|attempt| attempt.outcome == Outcome::TimedOut);
        let by_class = is_a(&rules.retry_never) || (!rules.retry_on.is_empty() && !is_a(&rules.retry_on));
        // Classes say nothing about a timeout, and a task that says when to try again has decided that it may be.
        let never = by_class && !timed_out && asked_ms.is_none();
        let reason = match () {
            () if rules.at_most_once => "at_most_once",
            () if never => "never_retried",
            () if job.failures >= rules.max_attempts => "max_attempts",
            () => {
                let most = backoff_most(rules.backoff_first_ms, job.failures, rules.backoff_max_ms);
                let (least, most) = asked_ms.map_or((0, most), |asked| (asked, asked));
                let at_logical = |delay: u64| self.logical_ms + delay.min(HUNDRED_YEARS_MS);
                let when = When::Between(at_logical(least), at_logical(most));
                return self.go_on(at, |model| model.wait(at, JobState::Retryable, when));
            }
        };
        self.end(at, JobState::Discarded, Some(reason.into()));
    }

    fn wait(&mut self, at: usize, state: JobState, until: When) {
        self.jobs[at].state = state;
        self.jobs[at].run_at = Some(until);
        self.stand_in_line(at);
    }

    /// Available again, in its old place.
    fn go_again(&mut self, at: usize) {
        self.jobs[at].state = JobState::Available;
    }

    pub(super) fn end(&mut self, at: usize, state: JobState, reason: Option<Arc<str>>) {
        self.finished += 1;
        if state == JobState::Completed {
            self.cache(at);
        }
        let job = &mut self.jobs[at];
        job.state = state;
        job.reason = reason;
        job.finish_number = self.finished;
        job.finalized_ms = Some(self.wall_ms);
        job.run_at = None;
        job.cancelling = false;
        job.keeps_out = false;
        if state == JobState::Discarded && job.rules.on_failure.is_some() {
            self.unhandled.push(job.id);
        }
        self.happened.push(Happened::Finished(job.id));
    }

    pub(super) fn release(&mut self, child: u32, leases: &[(JobId, Fence)]) -> Told {
        let mut jobs = Vec::new();
        for (job, fence) in leases {
            jobs.extend(self.held_by(child, *job, *fence).filter(|at| !jobs.contains(at)));
        }
        self.hand_back(&jobs);
        Told::Finished { refused: Vec::new() }
    }

    /// Jobs whose attempts never began: available again in their old places, or cancelled if someone asked for it.
    pub(super) fn hand_back(&mut self, jobs: &[usize]) {
        // All of them first: a cancelled one ends after the last has been handed back.
        for at in jobs {
            self.jobs[*at].lease = None;
            self.go_again(*at);
        }
        // Of two equals the last one handed back keeps the other out again.
        for at in jobs.iter().rev() {
            self.keep_out_again(*at);
        }
        for at in jobs {
            if self.jobs[*at].cancelling {
                self.end(*at, JobState::Cancelled, Some("cancelled".into()));
            }
        }
    }

    /// A job that waits for its first run again keeps others out, unless one came in meanwhile: then never again.
    fn keep_out_again(&mut self, at: usize) {
        let job = &self.jobs[at];
        let Some(unique) = job.unique.clone().filter(|unique| unique.while_ == UniqueWhile::Queued) else {
            return;
        };
        let taken = self.jobs.iter().any(|other| {
            other.keeps_out && other.unique.as_ref().is_some_and(|theirs| theirs.key == unique.key)
        });
        if job.attempts.is_empty() {
            self.jobs[at].keeps_out = !taken;
            self.jobs[at].unique = (!taken).then_some(unique);
        }
    }

    pub(super) fn child_ended(
        &mut self,
        (worker, number): (u64, u32),
        begun: &[OtherEnd],
        (newest, unbegun): (Option<Fence>, &[Fence]),
        outputs: &Bytes,
    ) -> Told {
        let Some(child) = self.find_child(worker, number) else { return Told::Done };
        let lengths: Vec<u64> = begun.iter().map(|end| u64::from(end.output_length)).collect();
        let outputs = cut(&outputs.clone().into(), &lengths, self.lsn);
        for (end, output) in begun.iter().zip(outputs) {
            if let Some(at) = self.held_by(child, end.job, end.fence) {
                self.end_otherwise(at, end, output);
            }
        }
        let mut never_began = Vec::new();
        for at in self.leases_of(child) {
            let fence = self.jobs[at].lease.expect("it is leased").fence;
            if newest.is_none_or(|newest| fence > newest) || unbegun.contains(&fence) {
                never_began.push(at);
            } else {
                self.lose(at);
            }
        }
        self.hand_back(&never_began);
        self.children.retain(|known| known.number != child);
        Told::Done
    }

    pub(super) fn child_vanished(&mut self, child: u32) -> Told {
        for at in self.leases_of(child) {
            self.lose(at);
        }
        self.children.retain(|known| known.number != child);
        Told::Done
    }

    /// Nobody knows how far the attempt came: it counts nothing, but a job that may run once only is over.
    pub(super) fn lose(&mut self, at: usize) {
        let started_ms = self.jobs[at].lease.expect("only leased jobs are lost").leased_ms;
        let finished_ms = self.wall_ms;
        let error = Some(ErrorRecord::default());
        let output = Payload::default();
        let (outcome, measures) = (Outcome::Lost, Measures::default());
        self.end_attempt(at, Remains { outcome, started_ms, finished_ms, error, output, measures });
        let job = &self.jobs[at];
        if job.cancelling {
            self.end(at, JobState::Cancelled, Some("cancelled".into()));
        } else if job.rules.at_most_once {
            self.end(at, JobState::Discarded, Some("maybe_ran".into()));
        } else {
            self.go_on(at, |model| model.go_again(at));
        }
    }
}

/// The longest backoff after this many failures: doubled with each, up to the limit.
fn backoff_most(first_ms: u64, failures: u32, limit_ms: u64) -> u64 {
    let mut most = u128::from(first_ms);
    for _ in 1..failures {
        most = (most * 2).min(u128::from(u64::MAX));
    }
    (most as u64).min(limit_ms)
}

/// At most 4 KiB of a text.
fn clip(text: &Arc<str>) -> Arc<str> {
    let mut text = text.to_string();
    while text.len() > METADATA_BYTES_MAX {
        text.pop();
    }
    text.into()
}
