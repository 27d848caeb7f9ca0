//! What is read from disk: records with their errors and outputs, results, pages of the archive.
//!
//! Queries leave the engine like every other output, when their commit is durable, and are answered by a thread of
//! their own, so that a cold read never holds up a commit.

use std::sync::{Arc, RwLock};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use lineshaft_jobs::{ArchivedCall, AttemptView, JobView, Place, Refusal, decode_error, decode_rules};
use lineshaft_store::{Archive, ArchivedJob, JournalHandle, PageRequest, Space};
use lineshaft_wire::message::{
    DiskReport, DiskState, Ended, EndedJob, Fetched, Filter, Message, Page, PayloadKind, RESULT_EXPIRED,
    RefusalCode, Refused, Rules, Sequence, Shown, StatusReport,
};
use lineshaft_wire::{AttemptRecord, ErrorRecord, JobId, JobRecord, JobState, Outcome};
use rustc_hash::FxHashSet;
use serde_bytes::ByteBuf;

use crate::clock::Clock;
use crate::core::{reference, stored};
use crate::handle::{ConnectionId, Input, Outbox, Outgoing, Payload};
use crate::inbox::Inbox;
use crate::list::{Cursor, ListQuery};
use crate::logs::LogsAsked;
use crate::requests::not_found;

/// Jobs looked up in the archive at once, and so held in memory.
const LOOK_UP_JOBS: usize = 4096;
/// Bytes of an error's message in a list.
const LISTED_MESSAGE_BYTES: usize = 1024;
/// Results of one message to a wait.
const PART_BYTES: usize = 4 << 20;
/// Stands for an output that does not read any more.
pub(crate) const OUTPUT_LOST: &[u8] = b"[the output of this attempt is lost]\n";
/// The end of an output shown with a failure.
const LAST_OUTPUT_BYTES: usize = 4096;

/// A question that needs the disk.
pub enum Query {
    /// None: the request was answered already.
    Nothing,
    /// A job's record.
    Show {
        /// The job.
        job: JobId,
        /// What memory knows of it.
        view: Option<Box<JobView>>,
        /// Its newest progress.
        progress: Option<ByteBuf>,
    },
    /// A payload of a job in the archive.
    Fetch {
        /// The job.
        job: JobId,
        /// Which payload.
        payload: PayloadKind,
    },
    /// A payload in the journal.
    Payload {
        /// Where it lies.
        place: Place,
    },
    /// A page of jobs.
    List(Box<ListQuery>),
    /// How jobs in the archive ended.
    Ended {
        /// The jobs.
        jobs: Vec<JobId>,
        /// Whether results come along.
        results: bool,
    },
    /// The state of a job in the archive.
    State {
        /// The job.
        job: JobId,
    },
    /// The call of a finished job, to run it again.
    Call {
        /// The job.
        job: JobId,
        /// The request's place in its session.
        sequence: Sequence,
        /// What memory knows of it.
        view: Option<Box<JobView>>,
    },
    /// Whether the archive has a job that shall be forgotten.
    Delete {
        /// The job.
        job: JobId,
        /// The request's place in its session.
        sequence: Sequence,
    },
    /// What the engine says of itself; the archive's part is missing.
    Status(Box<StatusReport>),
    /// That files stay as they are.
    Hold,
    /// Of records that attempts logged.
    Logs(Box<LogsAsked>),
}

/// Who asked, and the way back.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) connection: ConnectionId,
    pub(crate) request_id: u64,
    pub(crate) outbox: Arc<dyn Outbox>,
}

/// Answers queries until the engine is gone.
pub(crate) struct Reader<J, A> {
    pub(crate) journal: J,
    pub(crate) archive: A,
    pub(crate) deleted: Arc<RwLock<FxHashSet<JobId>>>,
    pub(crate) clock: Clock,
    pub(crate) engine: Inbox,
    pub(crate) logs: Sender<(Asked, LogsAsked)>,
}

type Answer = Result<Option<Outgoing>, Refusal>;

impl<J: JournalHandle, A: Archive> Reader<J, A> {
    pub(crate) fn run(&self, queries: &Receiver<(Asked, Query)>) {
        for (asked, query) in queries {
            self.work(&asked, query);
        }
    }

    /// Answers one query.
    pub(crate) fn work(&self, asked: &Asked, query: Query) {
        let query = match query {
            Query::Logs(what) => {
                // Its thread is there as long as the engine.
                let _ = self.logs.send((asked.clone(), *what));
                return;
            }
            other => other,
        };
        let outgoing = match self.answer(asked, query) {
            Ok(Some(outgoing)) => outgoing,
            Ok(None) => return,
            Err(Refusal { code, message, hint }) => {
                Outgoing::new(asked.request_id, Refused { code, message, hint })
            }
        };
        asked.outbox.deliver(vec![outgoing]);
    }

    fn answer(&self, asked: &Asked, query: Query) -> Answer {
        let Asked { connection, request_id, .. } = *asked;
        let reply = |message: Message| Ok(Some(Outgoing::new(request_id, message)));
        match query {
            Query::Nothing | Query::Logs(_) => Ok(None),
            Query::Show { job, view, progress } => {
                let record = match view {
                    // The archive may have taken the job, and the journal forgotten it, since it was looked at.
                    Some(view) => self
                        .complete((*view).clone())
                        .or_else(|_| self.find(job).map(|found| found.record))
                        .unwrap_or_else(|_| self.complete_or_bare(*view)),
                    None => self.find(job)?.record,
                };
                reply(Shown { record, progress }.into())
            }
            Query::Fetch { job, payload } => self.fetch(request_id, job, payload),
            Query::Payload { place } => {
                let message = Fetched { length: u64::from(place.length) }.into();
                Ok(Some(Outgoing { request_id, message, payloads: vec![stored(place)] }))
            }
            Query::List(list) => reply(self.page(*list)?.into()),
            Query::Ended { jobs, results } => self.ended(asked, &jobs, results),
            Query::State { job } => {
                let state = Some(self.find(job)?.record.state);
                reply(lineshaft_wire::message::Changed { state, ..Default::default() }.into())
            }
            Query::Call { job, sequence, view } => {
                let call = Box::new(self.call(job, view)?);
                self.engine.send(Input::RetryFound { connection, request_id, sequence, call });
                Ok(None)
            }
            Query::Delete { job, sequence } => {
                let finalized_ms = self.find(job)?.record.finalized_at.unwrap_or(0);
                let input = Input::DeleteFound { connection, request_id, sequence, job, finalized_ms };
                self.engine.send(input);
                Ok(None)
            }
            Query::Status(mut report) => {
                report.archived = self.archive.counts().jobs();
                report.rss_bytes = resident_bytes();
                report.disk = self.disk_report()?;
                reply((*report).into())
            }
            Query::Hold => {
                let held = self.journal.hold().map_err(internal)?;
                self.engine.send(Input::Held { connection, request_id, held });
                Ok(None)
            }
        }
    }

    fn disk_report(&self) -> Result<DiskReport, Refusal> {
        let (space, usage) = (self.journal.space(), self.journal.usage().map_err(internal)?);
        let state = match space {
            Space { low: true, .. } => DiskState::Full,
            Space { tight: true, .. } => DiskState::Low,
            _ => DiskState::Ok,
        };
        let used = usage.used.into_iter().map(|(name, bytes)| (name.into(), bytes)).collect();
        Ok(DiskReport { state, free_bytes: usage.free_bytes, reserve_bytes: space.reserve_bytes, used })
    }

    fn find(&self, job: JobId) -> Result<ArchivedJob, Refusal> {
        if self.is_deleted(job) {
            return Err(not_found(job));
        }
        self.archive.get(job).map_err(internal)?.ok_or_else(|| not_found(job))
    }

    fn is_deleted(&self, job: JobId) -> bool {
        self.deleted.read().expect("nothing panics while it holds this lock").contains(&job)
    }

    fn fetch(&self, request_id: u64, job: JobId, payload: PayloadKind) -> Answer {
        let found = self.find(job)?;
        let bytes = match payload {
            PayloadKind::Arguments => found.whole_arguments().map_err(|error| lost(&error))?.clone(),
            PayloadKind::Result if found.record.state == JobState::Completed => {
                if is_expired(&found, self.clock.wall_ms()) {
                    let message = format!("the result of job {job} is no longer kept");
                    return Err(Refusal { code: RefusalCode::ResultExpired, message, hint: None });
                }
                found.whole_result().map_err(|error| lost(&error))?.clone()
            }
            PayloadKind::Result => {
                let message = format!("job {job} is {}: it has no result", found.record.state);
                return Err(Refusal { code: RefusalCode::WrongState, message, hint: None });
            }
        };
        let message = Fetched { length: bytes.len() as u64 }.into();
        Ok(Some(Outgoing { request_id, message, payloads: vec![Payload::Bytes(bytes)] }))
    }

    /// Tells a wait of jobs in the archive, a few megabytes at a time.
    fn ended(&self, asked: &Asked, jobs: &[JobId], results: bool) -> Answer {
        let mut part = EndedPart::default();
        for jobs in jobs.chunks(LOOK_UP_JOBS) {
            let mut missing: FxHashSet<JobId> = jobs.iter().copied().collect();
            for found in self.archive.get_many(jobs).map_err(internal)? {
                if self.is_deleted(found.record.id) {
                    continue;
                }
                missing.remove(&found.record.id);
                part.add(found, results, self.clock.wall_ms());
                if part.bytes >= PART_BYTES {
                    asked.outbox.deliver(vec![std::mem::take(&mut part).into_outgoing(asked.request_id)]);
                }
            }
            part.ended.missing.extend(jobs.iter().filter(|job| missing.contains(job)));
        }
        let Asked { connection, request_id, .. } = *asked;
        // The engine counts what is answered and ends the wait with the last; this part must arrive before that.
        let outgoing = Box::new(part.into_outgoing(request_id));
        self.engine.send(Input::LookedUp { connection, request_id, jobs: jobs.len(), outgoing });
        Ok(None)
    }

    fn call(&self, job: JobId, view: Option<Box<JobView>>) -> Result<ArchivedCall, Refusal> {
        let was_in_memory = view.is_some();
        let in_memory = view.and_then(|view| {
            // The archive may have taken the job, and the journal forgotten it, since it was looked at.
            let read = |place| self.journal.read(reference(place)).ok();
            let (arguments, checkpoint) = (read(view.arguments)?, read(view.checkpoint)?);
            Some((view.record, arguments, checkpoint, view.rules))
        });
        let (record, arguments, checkpoint, rules) = match in_memory {
            Some(found) => found,
            None => {
                let found = match self.find(job) {
                    Err(Refusal { code: RefusalCode::JobNotFound, .. }) if was_in_memory => {
                        return Err(arguments_lost(job));
                    }
                    found => found?,
                };
                if found.whole_arguments().is_err() {
                    return Err(arguments_lost(job));
                }
                let rules = rules_of(&found)?;
                (found.record, found.arguments, found.checkpoint, Arc::new(rules))
            }
        };
        let JobRecord { task, queue, priority, tags, metadata, context, .. } = record;
        let mut arguments = lineshaft_jobs::Payloads::from(arguments);
        if arguments.bytes.len() > lineshaft_store::PayloadRef::INLINE_BYTES_MAX {
            let id = crate::blobs::next_blob_id();
            self.journal.put_blob(id, &arguments.bytes).map_err(internal)?;
            arguments.blobs.push((0, id));
        }
        Ok(ArchivedCall { job, task, queue, priority, rules, tags, metadata, context, arguments, checkpoint })
    }

    fn page(&self, list: ListQuery) -> Result<Page, Refusal> {
        let ListQuery { filter, limit, cursor, views } = list;
        let mut page = Page::default();
        for view in views {
            page.jobs.push(short(self.complete_or_bare(view)));
        }
        page.cursor = match cursor {
            Cursor::Finished(below) if page.jobs.len() < limit => {
                let request = PageRequest {
                    filter: store_filter(&filter),
                    before: Some(below),
                    limit: limit - page.jobs.len(),
                    ..PageRequest::default()
                };
                let found = self.archive.page(&request).map_err(internal)?;
                let jobs = found.jobs.into_iter().map(|listed| short(listed.record));
                page.jobs.extend(jobs.filter(|record| !self.is_deleted(record.id)));
                found.cursor.map_or(Cursor::End, Cursor::Finished)
            }
            cursor => cursor,
        }
        .text();
        Ok(page)
    }

    /// The same, saying of what does not read that it does not: one damaged payload must not hide a thousand jobs.
    fn complete_or_bare(&self, view: JobView) -> JobRecord {
        let JobView { mut record, attempts, .. } = view;
        fill_attempts_as_they_read(&mut record, &attempts, |place| self.journal.read(reference(place)));
        record
    }

    /// A record with the errors and outputs of its attempts.
    fn complete(&self, view: JobView) -> Result<JobRecord, Refusal> {
        complete(view, |place| self.journal.read(reference(place))).map_err(internal)
    }
}

/// What one message tells a wait.
#[derive(Default)]
struct EndedPart {
    ended: Ended,
    payloads: Vec<Payload>,
    bytes: usize,
}

impl EndedPart {
    fn add(&mut self, found: ArchivedJob, results: bool, wall_ms: u64) {
        if found.record.state != JobState::Completed {
            let job = ended_job(found.record);
            self.bytes += job.output.len() + job.error.as_ref().map_or(0, error_bytes);
            self.ended.failed.push(job);
            return;
        }
        let kept = !is_expired(&found, wall_ms) && found.whole_result().is_ok();
        let length = if kept { found.result.len() as u64 } else { RESULT_EXPIRED };
        self.ended.completed.push((found.record.id, length));
        if results && kept {
            self.bytes += found.result.len();
            self.payloads.push(Payload::Bytes(found.result));
        }
    }

    fn into_outgoing(self, request_id: u64) -> Outgoing {
        Outgoing { request_id, message: self.ended.into(), payloads: self.payloads }
    }
}

fn arguments_lost(job: JobId) -> Refusal {
    let message = format!("the arguments of job {job} are lost: it cannot run again");
    Refusal { code: RefusalCode::WrongState, message, hint: None }
}

/// The job is there, but not what was asked for.
fn lost(error: &lineshaft_store::Error) -> Refusal {
    Refusal { code: RefusalCode::ResultExpired, message: error.to_string(), hint: None }
}

fn rules_of(job: &ArchivedJob) -> Result<Rules, Refusal> {
    decode_rules(&job.options).map_err(|error| Refusal {
        code: RefusalCode::Internal,
        message: format!("the rules of job {} do not read: {error}", job.record.id),
        hint: None,
    })
}

/// A record as lists give it: a page of a thousand must fit into a frame, so each attempt keeps only what its error
/// says.
fn short(mut record: JobRecord) -> JobRecord {
    for attempt in &mut record.attempts {
        attempt.output = Vec::new();
        if let Some(error) = &mut attempt.error {
            (error.traceback, error.arguments) = (None, None);
            shorten(&mut error.message);
        }
    }
    record
}

fn shorten(text: &mut String) {
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= LISTED_MESSAGE_BYTES);
    if let Some(end) = end {
        text.truncate(end);
        text.push('…');
    }
}

/// A record with the errors and outputs of its attempts, read by `read`.
pub(crate) fn complete<E>(view: JobView, read: impl Fn(Place) -> Result<Bytes, E>) -> Result<JobRecord, E> {
    let JobView { mut record, attempts, .. } = view;
    fill_attempts(&mut record, &attempts, read)?;
    Ok(record)
}

/// Reads into a record the errors and outputs of its attempts.
pub(crate) fn fill_attempts<E>(
    record: &mut JobRecord,
    attempts: &[AttemptView],
    read: impl Fn(Place) -> Result<Bytes, E>,
) -> Result<(), E> {
    for (attempt, places) in record.attempts.iter_mut().zip(attempts) {
        fill(attempt, &read(places.error)?, &read(places.output)?);
    }
    Ok(())
}

/// The same where something does not read any more: the record says so in its place.
pub(crate) fn fill_attempts_as_they_read(
    record: &mut JobRecord,
    attempts: &[AttemptView],
    read: impl Fn(Place) -> Result<Bytes, lineshaft_store::Error>,
) {
    for (attempt, places) in record.attempts.iter_mut().zip(attempts) {
        let (error, output) = (read(places.error), read(places.output));
        let first = [&error, &output].into_iter().find_map(|read| read.as_ref().err());
        if let Some(error) = first {
            tracing::error!(job = %record.id, %error, "what an attempt left does not read");
        }
        fill(attempt, error.as_deref().unwrap_or_default(), output.as_deref().unwrap_or(OUTPUT_LOST));
        if let Err(error) = &error {
            attempt.error = Some(lost_error(error));
        }
    }
}

fn fill(attempt: &mut AttemptRecord, error: &[u8], output: &[u8]) {
    if !error.is_empty() {
        attempt.error = decode_error(error);
    }
    attempt.output = output.to_vec();
}

/// Stands for the error of an attempt that does not read any more.
pub(crate) fn lost_error(error: &lineshaft_store::Error) -> ErrorRecord {
    ErrorRecord { message: format!("the error of this attempt is lost: {error}"), ..ErrorRecord::default() }
}

/// The end of an output.
pub(crate) fn last_output(output: &[u8]) -> Vec<u8> {
    output[output.len().saturating_sub(LAST_OUTPUT_BYTES)..].to_vec()
}

fn ended_job(record: JobRecord) -> EndedJob {
    let last = record.attempts.into_iter().next_back();
    let outcome = last.as_ref().and_then(|attempt| attempt.outcome);
    let shows_output = matches!(outcome, Some(Outcome::Crashed | Outcome::TimedOut | Outcome::Lost));
    EndedJob {
        id: record.id,
        task: record.task,
        state: record.state,
        reason: record.reason,
        attempt: last.as_ref().map_or(0, |attempt| attempt.number),
        outcome,
        output: last
            .iter()
            .filter(|_| shows_output)
            .flat_map(|attempt| last_output(&attempt.output))
            .collect(),
        error: last.and_then(|attempt| attempt.error),
    }
}

fn error_bytes(error: &ErrorRecord) -> usize {
    let traceback = error.traceback.as_ref().map_or(0, String::len);
    error.message.len() + traceback + error.arguments.as_ref().map_or(0, Vec::len)
}

fn is_expired(job: &ArchivedJob, wall_ms: u64) -> bool {
    let rules = decode_rules(&job.options).unwrap_or_default();
    let ends = job.record.finalized_at.unwrap_or(0).saturating_add(rules.result_ttl_ms);
    !rules.keep_result || wall_ms >= ends
}

pub(crate) fn store_filter(filter: &Filter) -> lineshaft_store::Filter {
    let text = |name: &Option<Arc<str>>| name.as_deref().map(str::to_owned);
    lineshaft_store::Filter {
        states: filter.states.clone(),
        queue: text(&filter.queue),
        task: text(&filter.task),
        tags: filter.tags.iter().map(ToString::to_string).collect(),
        created_from_ms: filter.created_from,
        created_before_ms: filter.created_before,
        finished_from_ms: None,
        finished_before_ms: None,
    }
}

fn internal(error: lineshaft_store::Error) -> Refusal {
    Refusal { code: RefusalCode::Internal, message: error.to_string(), hint: None }
}

/// Resident memory of this process, 0 where it cannot be read.
fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE_BYTES
}
