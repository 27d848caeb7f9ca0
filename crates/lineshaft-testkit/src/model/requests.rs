//! Sessions and the verbs of clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use lineshaft_jobs::Answer;
use lineshaft_wire::message::{
    Cancel, Changed, Delete, Enqueued, QueueVerb, RefusalCode, Retry, Sequence, WINDOW,
};
use lineshaft_wire::{JobId, JobState};

use super::{Happened, Model, Told};

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) lowest: u64,
    pub(super) answers: BTreeMap<u64, Answer>,
    pub(super) used_ms: u64,
}

impl Model {
    pub(super) fn open_session(&mut self) -> Result<Told, RefusalCode> {
        if self.sessions.len() >= self.limits.sessions {
            return Err(RefusalCode::QueueFull);
        }
        self.sessions_opened += 1;
        let session = Session { lowest: 1, used_ms: self.logical_ms, ..Session::default() };
        self.sessions.insert(self.sessions_opened, session);
        Ok(Told::Session(self.sessions_opened))
    }

    /// The answer that the request had before, or `None` if it is new.
    pub(super) fn turn(&self, session: u64, sequence: Sequence) -> Result<Option<Told>, RefusalCode> {
        let Some(session) = self.sessions.get(&session) else { return Err(RefusalCode::OutcomeUnknown) };
        let Sequence { number, lowest } = sequence;
        if number == 0 || lowest > number || number - lowest >= WINDOW {
            return Err(RefusalCode::BadRequest);
        }
        match session.answers.get(&number) {
            Some(answer) => Ok(Some(Told::Answer(answer.clone()))),
            None if number < session.lowest => Err(RefusalCode::OutcomeUnknown),
            None => Ok(None),
        }
    }

    /// Remembers the answer to a request, and forgets what the client waits for no more.
    pub(super) fn answer(&mut self, session: u64, sequence: Sequence, answer: Answer) -> Told {
        let session =
            self.sessions.get_mut(&session).expect("only requests of open sessions are carried out");
        session.used_ms = self.logical_ms;
        session.lowest = session.lowest.max(sequence.lowest);
        session.answers.insert(sequence.number, answer.clone());
        let lowest = session.lowest;
        session.answers.retain(|number, _| *number >= lowest);
        Told::Answer(answer)
    }

    /// A session's client is there.
    pub fn touch_session(&mut self, session: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.used_ms = self.logical_ms;
        }
    }

    pub(super) fn position(&self, job: JobId) -> Option<usize> {
        self.jobs.iter().position(|known| known.id == job)
    }

    /// A job that is in memory and was not deleted.
    fn remembered(&self, job: JobId) -> Option<usize> {
        self.position(job).filter(|_| !self.deleted.contains_key(&job))
    }

    pub(super) fn cancel(&mut self, session: u64, request: &Cancel) -> Result<Told, RefusalCode> {
        if let Some(told) = self.turn(session, request.sequence)? {
            return Ok(told);
        }
        let Some(at) = self.remembered(request.job) else { return Ok(Told::NotInMemory(request.job)) };
        if self.jobs[at].is_queued() {
            self.end(at, JobState::Cancelled, Some("cancelled".into()));
        } else if let Some(lease) = self.jobs[at].lease
            && !self.jobs[at].cancelling
        {
            self.jobs[at].cancelling = true;
            self.happened.push(Happened::Stop(lease.child, lease.fence));
        }
        let job = &self.jobs[at];
        let changed = Changed { state: Some(job.state), cancelling: job.cancelling, jobs: 1 };
        Ok(self.answer(session, request.sequence, Answer::Changed(changed)))
    }

    pub(super) fn retry(&mut self, session: u64, request: &Retry) -> Result<Told, RefusalCode> {
        if let Some(told) = self.turn(session, request.sequence)? {
            return Ok(told);
        }
        match self.remembered(request.job) {
            Some(at) if self.jobs[at].waits() || self.jobs[at].is_parked() => {
                self.become_available(at);
                let ids = request.job.to_bytes().to_vec().into();
                let enqueued = Enqueued { ids, existing: vec![0], ..Enqueued::default() };
                Ok(self.answer(session, request.sequence, Answer::Enqueued(enqueued)))
            }
            Some(at) if !self.jobs[at].state.is_finished() => Err(RefusalCode::WrongState),
            _ => Ok(Told::NotInMemory(request.job)),
        }
    }

    /// A job that waited takes its place in line.
    pub(super) fn become_available(&mut self, at: usize) {
        self.jobs[at].state = JobState::Available;
        self.jobs[at].run_at = None;
        self.jobs[at].ready_ms = self.wall_ms;
        self.jobs[at].parked = None;
        self.stand_in_line(at);
    }

    pub(super) fn delete(
        &mut self,
        session: u64,
        request: &Delete,
        archived: Option<u64>,
    ) -> Result<Told, RefusalCode> {
        if let Some(told) = self.turn(session, request.sequence)? {
            return Ok(told);
        }
        if self.deleted.contains_key(&request.job) {
            return Err(RefusalCode::JobNotFound);
        }
        let in_memory = self.position(request.job).map(|at| &self.jobs[at]);
        if in_memory.is_some_and(|job| !job.state.is_finished()) {
            return Err(RefusalCode::WrongState);
        }
        let Some(finalized_ms) = in_memory.map_or(archived, |job| job.finalized_ms) else {
            return Ok(Told::NotInMemory(request.job));
        };
        if self.deleted.len() >= self.limits.deleted {
            return Err(RefusalCode::QueueFull);
        }
        self.deleted.insert(request.job, finalized_ms);
        let changed = Changed { jobs: 1, ..Changed::default() };
        Ok(self.answer(session, request.sequence, Answer::Changed(changed)))
    }

    pub(super) fn change_queue(
        &mut self,
        session: u64,
        sequence: Sequence,
        queue: &Arc<str>,
        verb: QueueVerb,
    ) -> Result<Told, RefusalCode> {
        if let Some(told) = self.turn(session, sequence)? {
            return Ok(told);
        }
        if !super::rules::is_name(queue) {
            return Err(RefusalCode::BadRequest);
        }
        let names = self.names_in_use();
        if !names.contains(queue) && names.len() >= self.limits.names {
            return Err(RefusalCode::QueueFull);
        }
        let mut jobs = 0;
        match verb {
            QueueVerb::Pause => drop(self.paused.insert(Arc::clone(queue))),
            QueueVerb::Resume => drop(self.paused.remove(queue)),
            QueueVerb::Purge => {
                jobs = self.jobs.iter().filter(|job| job.queue == *queue && job.is_queued()).count() as u64;
                self.purges.insert(Arc::clone(queue), self.places_in_line);
            }
        }
        Ok(self.answer(session, sequence, Answer::Changed(Changed { jobs, ..Changed::default() })))
    }
}
