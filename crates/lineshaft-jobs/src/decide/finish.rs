//! What becomes of a job when an attempt ends.

use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::message::{End, Finish, METADATA_BYTES_MAX, OtherEnd, Rules, Succeeded};
use lineshaft_wire::{ErrorRecord, Fence, JobId, Measures, Outcome};
use rustc_hash::FxHashSet;

use super::enqueue::{Cutter, DELAY_MS_MAX, bad};
use crate::account::Account;
use crate::change::{Change, Lease, Next, Stored, Success};
use crate::command::{Decision, Entry, Now, Payloads, Refusal, Reply};
use crate::extra::Attempt;
use crate::job::{DEADLINE, Job};
use crate::slot::Slot;
use crate::state::State;

impl State {
    pub(super) fn decide_finish(
        &self,
        child: u32,
        finish: &Finish,
        payloads: &Payloads,
        now: Now,
    ) -> Result<Decision, Refusal> {
        check_lengths(finish, payloads)?;
        let mut cutter = Cutter::new(payloads);
        let mut refused = Vec::new();
        let mut seen = FxHashSet::default();
        let mut ends = Vec::with_capacity(finish.succeeded.len());
        let mut accounts = Vec::with_capacity(finish.succeeded.len());
        let measures = finish.measures.iter().copied().chain(std::iter::repeat(Measures::default()));
        for (end, measures) in finish.succeeded.iter().zip(measures) {
            match self.own_lease(child, end.job, end.fence).filter(|(slot, _)| seen.insert(*slot)) {
                Some((slot, _)) => {
                    ends.push(success(slot, end, &mut cutter));
                    accounts.push((slot, self.account(slot, end.started_at, measures)));
                }
                None => {
                    cutter.skip(end.result_length);
                    cutter.skip(u64::from(end.output_length));
                    self.note_refused(child, (end.job, end.fence), false, &mut refused);
                }
            }
        }
        let mut entries = Vec::new();
        if !ends.is_empty() {
            let payload = std::mem::take(&mut cutter.parts);
            entries.push(Entry { change: Change::Succeeded { ends }, payload });
        }
        for end in &finish.others {
            match self.own_lease(child, end.job, end.fence).filter(|(slot, _)| seen.insert(*slot)) {
                Some((slot, _)) => {
                    let output = cutter.take(u64::from(end.output_length));
                    let bytes = std::mem::take(&mut cutter.parts).pop().unwrap_or_default();
                    entries.extend(self.other_end(slot, end, output, bytes, now));
                    accounts.extend(self.account_of(slot, end));
                }
                // Handing back is never refused.
                None if matches!(end.end, End::Parked { .. } | End::PutOff { .. }) => {
                    cutter.skip(u64::from(end.output_length));
                }
                None => {
                    cutter.skip(u64::from(end.output_length));
                    let says_lost = matches!(end.end, End::Lost { .. });
                    self.note_refused(child, (end.job, end.fence), says_lost, &mut refused);
                }
            }
        }
        entries.extend(measured(accounts));
        Ok(Decision::of(entries, Reply::Finished { refused }))
    }

    pub(super) fn own_lease(&self, child: u32, job: JobId, fence: Fence) -> Option<(u32, Lease)> {
        self.lease_of(job, fence).filter(|(_, lease)| lease.child == child)
    }

    /// An end that was counted already is no refusal: finishing is idempotent by job and fence. That of an attempt that was
    /// given up for lost comes too late.
    fn note_refused(
        &self,
        child: u32,
        (job, fence): (JobId, Fence),
        says_lost: bool,
        refused: &mut Vec<(JobId, Fence)>,
    ) {
        let attempts = self.slot_of(job).and_then(|slot| self.slots.extra(slot));
        let is_told =
            |attempt: &Attempt| attempt.fence == fence && (says_lost || attempt.outcome != Outcome::Lost);
        let counted = attempts.is_some_and(|extra| extra.history.iter().any(is_told));
        // A lease that stands was ended by this very message a moment before.
        if !counted && self.own_lease(child, job, fence).is_none() {
            refused.push((job, fence));
        }
    }

    /// The end of an attempt that did not return.
    pub(super) fn other_end(
        &self,
        slot: u32,
        end: &OtherEnd,
        output: Stored,
        bytes: Bytes,
        now: Now,
    ) -> Vec<Entry> {
        match &end.end {
            End::Parked { missing } => {
                return self.unbegun(slot, Change::Parked { slot, missing: short(missing) });
            }
            End::PutOff { delay_ms, reason } => {
                let until_ms = now.logical_ms + (*delay_ms).min(DELAY_MS_MAX);
                return self.unbegun(slot, Change::PutOff { slot, until_ms, reason: short(reason) });
            }
            _ => {}
        }
        let error = end.end.error().map(encode_error).unwrap_or_default();
        let change = Change::Ended {
            slot,
            outcome: self.outcome_of(slot, &end.end),
            started_ms: end.started_at,
            finished_ms: end.finished_at,
            error: Stored::Inline(error.len() as u32),
            output,
            next: self.next_after(slot, &end.end, now),
        };
        vec![Entry { change, payload: vec![error, bytes] }]
    }

    /// What an attempt took that did not return; nothing if it never began.
    pub(super) fn account_of(&self, slot: u32, end: &OtherEnd) -> Option<(u32, Account)> {
        let has_begun = !matches!(end.end, End::Parked { .. } | End::PutOff { .. });
        has_begun.then(|| (slot, self.account(slot, end.started_at, end.measures)))
    }

    /// What the attempt of a leased job took, which began at `started_ms`.
    pub(super) fn account(&self, slot: u32, started_ms: u64, measures: Measures) -> Account {
        let job = self.slots.job(slot);
        let ended_ms = job.last_attempt().map(|attempt| attempt.finished_ms);
        let ready = [Some(job.created_ms), job.times.ready_ms(), ended_ms];
        let ready_ms = ready.into_iter().flatten().max().unwrap_or(started_ms);
        Account::new(started_ms.saturating_sub(ready_ms), measures)
    }

    /// Nothing of the attempt began, so nothing of it is kept: `put_aside` makes its job wait.
    fn unbegun(&self, slot: u32, put_aside: Change) -> Vec<Entry> {
        if self.slots.at(slot).is_cancelling() {
            return self.hand_back(vec![slot]);
        }
        vec![put_aside.into()]
    }

    /// What becomes of a job, given that no attempt begins after its deadline.
    fn next_after(&self, slot: u32, end: &End, now: Now) -> Next {
        let entry = self.slots.job(slot);
        if matches!(end, End::TimedOut { .. }) && !entry.is_cancelling() && self.was_cut_short(slot) {
            return Next::Discard(DEADLINE.into());
        }
        in_time(entry, self.next_by_rules(slot, end, now), now)
    }

    /// Whether the attempt that runs had less time than its timeout, because the job's deadline came first.
    fn was_cut_short(&self, slot: u32) -> bool {
        let entry = self.slots.job(slot);
        let timeout_ms = self.rules.at(entry.rules).timeout_ms.unwrap_or(u64::MAX);
        let ends = self.leases[&slot].leased_ms.saturating_add(timeout_ms);
        entry.times.deadline_ms().is_some_and(|deadline| deadline < ends)
    }

    fn next_by_rules(&self, slot: u32, end: &End, now: Now) -> Next {
        let entry = self.slots.at(slot);
        let rules = self.rules.at(entry.rules);
        match end {
            End::Rejected { reason, .. } => Next::Discard(short(reason)),
            End::CancelledItself { reason } => Next::Cancel(short(reason)),
            _ if entry.is_cancelling() => Next::Cancel("cancelled".into()),
            // Its effects may be there, though it was not at fault.
            End::Released | End::Lost { .. } | End::Cancelled if rules.at_most_once => {
                Next::Discard("maybe_ran".into())
            }
            End::Cancelled | End::Released | End::Lost { .. } | End::Parked { .. } | End::PutOff { .. } => {
                Next::Available
            }
            End::Snoozed { delay_ms } => Next::Snooze(now.logical_ms + (*delay_ms).min(DELAY_MS_MAX)),
            End::Crashed { .. } => after_crash(entry, rules),
            End::Errored { error, retry_after_ms } => {
                after_failure(entry, rules, Some(error), *retry_after_ms, now)
            }
            End::TimedOut { .. } => after_failure(entry, rules, None, None, now),
        }
    }

    fn outcome_of(&self, slot: u32, end: &End) -> Outcome {
        match end {
            End::Errored { .. } | End::Rejected { .. } => Outcome::Errored,
            End::Snoozed { .. } => Outcome::Snoozed,
            End::TimedOut { .. } => Outcome::TimedOut,
            // Nobody asked for the job to be cancelled: the worker stopped the attempt for reasons of its own.
            End::Cancelled if !self.slots.at(slot).is_cancelling() => Outcome::Released,
            End::CancelledItself { .. } | End::Cancelled => Outcome::Cancelled,
            End::Crashed { .. } => Outcome::Crashed,
            End::Lost { .. } => Outcome::Lost,
            End::Released | End::Parked { .. } | End::PutOff { .. } => Outcome::Released,
        }
    }
}

/// A job whose deadline has passed is not tried again.
pub(super) fn in_time(entry: Job<'_>, next: Next, now: Now) -> Next {
    let goes_on = matches!(next, Next::Available | Next::Retry(_) | Next::Snooze(_));
    let late = entry.times.deadline_ms().is_some_and(|deadline| deadline <= now.wall_ms);
    if goes_on && late { Next::Discard(DEADLINE.into()) } else { next }
}

/// Payloads are cut by the lengths announced, so those must add up.
fn check_lengths(finish: &Finish, payloads: &Payloads) -> Result<(), Refusal> {
    let succeeded = finish.succeeded.iter().flat_map(|end| [end.result_length, u64::from(end.output_length)]);
    let others = finish.others.iter().map(|end| u64::from(end.output_length));
    let (announced, got) =
        (succeeded.chain(others).fold(0, u64::saturating_add), payloads.bytes.len() as u64);
    if announced == got && u32::try_from(got).is_ok() {
        return Ok(());
    }
    Err(bad(format!("results and outputs of {announced} bytes were announced, {got} came")))
}

/// The text that a task gave, at most 4 KiB of it.
fn short(reason: &Arc<str>) -> Arc<str> {
    if reason.len() <= METADATA_BYTES_MAX {
        return Arc::clone(reason);
    }
    let fits = reason
        .char_indices()
        .map(|(at, char)| at + char.len_utf8())
        .take_while(|end| *end <= METADATA_BYTES_MAX);
    reason[..fits.last().unwrap_or(0)].into()
}

/// The entry that says what attempts took, behind those by which they end.
pub(super) fn measured(attempts: Vec<(u32, Account)>) -> Option<Entry> {
    (!attempts.is_empty()).then(|| Change::Measured { attempts }.into())
}

fn success(slot: u32, end: &Succeeded, cutter: &mut Cutter<'_>) -> Success {
    Success {
        slot,
        started_ms: end.started_at,
        took_ms: end.finished_at.saturating_sub(end.started_at),
        result: cutter.take(end.result_length),
        output: cutter.take(u64::from(end.output_length)),
    }
}

fn after_crash(entry: &Slot, rules: &Rules) -> Next {
    if rules.at_most_once {
        return Next::Discard("maybe_ran".into());
    }
    let crashes = u32::from(entry.crashes) + 1;
    if crashes >= rules.max_crashes { Next::Discard("crashes".into()) } else { Next::Available }
}

fn after_failure(
    entry: &Slot,
    rules: &Rules,
    error: Option<&ErrorRecord>,
    asked: Option<u64>,
    now: Now,
) -> Next {
    let failures = u32::from(entry.failures) + 1;
    if rules.at_most_once {
        return Next::Discard("at_most_once".into());
    }
    // A task that says when to try again has decided that it may be.
    if asked.is_none() && error.is_some_and(|error| !may_retry(rules, error)) {
        return Next::Discard("never_retried".into());
    }
    if !entry.has_retry(rules) {
        return Next::Discard("max_attempts".into());
    }
    let delay = asked.unwrap_or_else(|| backoff(rules, failures, now.random));
    Next::Retry(now.logical_ms + delay.min(DELAY_MS_MAX))
}

fn may_retry(rules: &Rules, error: &ErrorRecord) -> bool {
    let named = |classes: &[String]| classes.iter().any(|class| error.types.contains(class));
    !named(&rules.retry_never) && (rules.retry_on.is_empty() || named(&rules.retry_on))
}

/// Exponential backoff with full jitter: uniform from 0 to the doubled delay (Brooker, "Exponential Backoff And
/// Jitter", AWS Architecture Blog, 2015).
fn backoff(rules: &Rules, failures: u32, random: u64) -> u64 {
    let doubled = rules.backoff_first_ms.saturating_mul(1u64.checked_shl(failures - 1).unwrap_or(u64::MAX));
    let most = doubled.min(rules.backoff_max_ms);
    ((u128::from(random) * (u128::from(most) + 1)) >> 64) as u64
}

/// An error record as the journal keeps it; [`crate::view::decode_error`] reads it.
pub(crate) fn encode_error(error: &ErrorRecord) -> Bytes {
    postcard::to_allocvec(error).expect("an error record encodes").into()
}
