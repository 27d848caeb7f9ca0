//! Cancelling, retrying and deleting one job.

use std::sync::Arc;

use lineshaft_wire::message::{Cancel, Delete, RefusalCode, Retry, Sequence};
use lineshaft_wire::{JobId, JobState};

use super::{Answered, Turn, check_room};
use crate::change::{Change, Name, NewJobs, Request, RulesRef, Stored};
use crate::command::{ArchivedCall, Decision, Entry, Refusal, Reply};
use crate::decide::checkpoints::checkpointed;
use crate::decide::enqueue::{Cutter, handler_names};
use crate::notes::Notes;
use crate::state::State;

impl State {
    pub(super) fn decide_cancel(&self, session: u64, request: &Cancel) -> Result<Decision, Refusal> {
        let place = match self.turn(session, request.sequence)? {
            Turn::Answered(decision) => return Ok(decision),
            Turn::Fresh(place) => place,
        };
        let Some(slot) = self.remembered(request.job) else { return Ok(not_in_memory(request.job)) };
        let entry = self.slots.at(slot);
        let state = entry.job_state();
        let answer = |state, cancelling| Answered { state: Some(state), cancelling, jobs: 1 };
        Ok(match state {
            JobState::Running if entry.is_cancelling() => {
                Decision::answered(Vec::new(), place, answer(state, true))
            }
            JobState::Running => {
                Decision::answered(vec![Change::CancelMarked { slot }.into()], place, answer(state, true))
            }
            state if state.is_finished() => Decision::answered(Vec::new(), place, answer(state, false)),
            _ => {
                let change = Change::Cancelled { slots: vec![slot], reason: "cancelled".into() };
                Decision::answered(vec![change.into()], place, answer(JobState::Cancelled, false))
            }
        })
    }

    /// The slot of a job in memory that was not deleted.
    fn remembered(&self, job: JobId) -> Option<u32> {
        self.slot_of(job).filter(|_| !self.is_deleted(job))
    }

    pub(super) fn decide_retry(&self, session: u64, request: &Retry) -> Result<Decision, Refusal> {
        let place = match self.turn(session, request.sequence)? {
            Turn::Answered(decision) => return Ok(decision),
            Turn::Fresh(place) => place,
        };
        let Some(slot) = self.remembered(request.job) else { return Ok(not_in_memory(request.job)) };
        match self.slots.at(slot).job_state() {
            JobState::Retryable | JobState::Scheduled => Ok(self.retry_now(place, slot)),
            JobState::Available if self.slots.job(slot).parked().is_some() => Ok(self.retry_now(place, slot)),
            // Its arguments are read and copied first, as those of an archived job are.
            state if state.is_finished() => Ok(not_in_memory(request.job)),
            state => {
                let message =
                    format!("job {} is {state}: only waiting or finished jobs can be retried", request.job);
                Err(Refusal::new(RefusalCode::WrongState, message))
            }
        }
    }

    fn retry_now(&self, request: Request, slot: u32) -> Decision {
        let promoted = Change::Readied { slots: vec![slot] };
        let existing = vec![(0, self.job_id(slot))];
        let answer = Change::Enqueued { request, groups: Vec::new(), existing };
        let reply = Reply::Answer { session: request.session, number: request.number };
        Decision::of(vec![promoted.into(), answer.into()], reply)
    }

    pub(super) fn decide_retry_archived(
        &self,
        session: u64,
        sequence: Sequence,
        archived: ArchivedCall,
    ) -> Result<Decision, Refusal> {
        let request = match self.turn(session, sequence)? {
            Turn::Answered(decision) => return Ok(decision),
            Turn::Fresh(place) => place,
        };
        check_room("jobs in memory", self.jobs() as usize, 1, self.limits.jobs as usize)?;
        let names = [&archived.task, &archived.queue].into_iter().chain(&archived.tags);
        let names = names.chain(handler_names(&archived.rules));
        check_room("distinct names", self.names.len(), self.count_new_names(names), self.limits.names)?;
        let new_rules = self.count_new_rules(std::iter::once(&archived.rules));
        check_room("distinct sets of rules", self.rules.len(), new_rules, self.limits.rules)?;
        let mut cutter = Cutter::new(&archived.arguments);
        let arguments: Stored = cutter.take(archived.arguments.bytes.len() as u64);
        let tags: Vec<Name> = archived.tags.iter().map(|tag| self.name(tag)).collect();
        let rules: RulesRef = self.rules_ref(&archived.rules);
        let jobs = NewJobs {
            task: self.name(&archived.task),
            queue: self.name(&archived.queue),
            rules,
            priority: archived.priority.clamp(1, 9),
            run_at: None,
            // They were instants of the job that ended.
            expires_ms: None,
            deadline_ms: None,
            unique: None,
            idempotency_key: None,
            tags,
            notes: Notes::new(archived.metadata.clone(), archived.context.clone()),
            retry_of: Some(archived.job),
            arguments: vec![arguments],
        };
        let payload = std::mem::take(&mut cutter.parts);
        let change = Change::Enqueued { request, groups: vec![jobs], existing: Vec::new() };
        let mut entries = vec![Entry { change, payload }];
        if !archived.checkpoint.is_empty() {
            entries.push(checkpointed(self.next_slot(), archived.checkpoint));
        }
        Ok(Decision::of(entries, Reply::Answer { session, number: request.number }))
    }

    pub(super) fn decide_delete(
        &self,
        session: u64,
        request: &Delete,
        archived: Option<u64>,
    ) -> Result<Decision, Refusal> {
        let place = match self.turn(session, request.sequence)? {
            Turn::Answered(decision) => return Ok(decision),
            Turn::Fresh(place) => place,
        };
        if self.is_deleted(request.job) {
            return Err(not_found(request.job));
        }
        let finalized_ms = match self.slot_of(request.job) {
            Some(slot) => self.finalized_ms(slot)?,
            None => match archived {
                Some(finalized_ms) => finalized_ms,
                None => return Ok(not_in_memory(request.job)),
            },
        };
        check_room("deleted jobs", self.deleted.len(), 1, self.limits.deleted)?;
        let change = Change::Deleted { job: request.job, finalized_ms };
        Ok(Decision::answered(vec![change.into()], place, Answered { jobs: 1, ..Answered::default() }))
    }

    fn finalized_ms(&self, slot: u32) -> Result<u64, Refusal> {
        let entry = self.slots.at(slot);
        let state = entry.job_state();
        if state.is_finished() {
            return Ok(self.slots.extra(slot).map_or(0, |extra| extra.finalized_ms));
        }
        let message = format!("job {} is {state}: only finished jobs can be deleted", self.job_id(slot));
        Err(Refusal::new(RefusalCode::WrongState, message).hint("cancel it first"))
    }
}

fn not_in_memory(job: JobId) -> Decision {
    Decision::of(Vec::new(), Reply::NotInMemory { job })
}

/// The refusal of a job that nobody knows.
pub(crate) fn not_found(job: JobId) -> Refusal {
    let hint: Arc<str> = "it never existed here, was deleted, or is older than the history kept".into();
    Refusal::new(RefusalCode::JobNotFound, format!("job {job} is not known")).hint(&*hint)
}
