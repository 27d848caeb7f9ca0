//! What each request of a client comes to; `workers.rs` has those of workers.

use std::sync::Arc;

use lineshaft_jobs::{Answer, ArchivedCall, Command, Now, Payloads, Refusal, Reply, State};
use lineshaft_wire::message::{
    self, Changed, Described, DiskReport, Done, Enqueued, Fetch, Hello, List, Message, PROTOCOL, PayloadKind,
    RefusalCode, Sequence, StatusReport, Tasks, Wait, Welcome, WorkerReport, WorkerSchema,
};
use lineshaft_wire::{JobId, JobState, task};

use crate::core::{Core, Worker, is_one_way};
use crate::handle::{ConnectionId, large_payloads};
use crate::list::ListQuery;
use crate::logs::LogsAsked;
use crate::query::Query;
use crate::room;

/// Jobs of one page.
const PAGE_JOBS_MAX: u32 = 1_000;
/// Inline payload bytes of one request: a commit has room for it beside everything else.
const INLINE_BYTES_MAX: usize = 48 << 20;

/// The calls that a request makes: of each task the lengths of their arguments.
fn calls_of(request: &message::Enqueue) -> Vec<(Arc<str>, Vec<u32>)> {
    request.groups.iter().map(|group| (Arc::clone(&group.task), group.lengths.clone())).collect()
}

/// Who asked, and how to answer.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) connection: ConnectionId,
    pub(crate) request_id: u64,
}

impl Core {
    /// Carries out a request; the answer leaves with the commit.
    pub fn request(
        &mut self,
        connection: ConnectionId,
        request_id: u64,
        message: Message,
        payloads: Payloads,
        now: Now,
    ) {
        let blobs = payloads.blobs.clone();
        if !self.connections.contains_key(&connection) {
            return self.drop_unnamed(&blobs);
        }
        let one_way = is_one_way(&message) || request_id == 0;
        let caller = Caller { connection, request_id };
        let result =
            check_size(&message, &payloads).and_then(|()| self.carry_out(caller, message, payloads, now));
        self.drop_unnamed(&blobs);
        if let Err(refusal) = result
            && !one_way
        {
            self.refuse(connection, request_id, refusal);
        }
    }

    fn carry_out(
        &mut self,
        caller: Caller,
        message: Message,
        payloads: Payloads,
        now: Now,
    ) -> Result<(), Refusal> {
        if let Some(connection) = self.connections.get_mut(&caller.connection) {
            connection.is_used = true;
        }
        if message.sequence().is_some() {
            self.take_session(caller)?;
        }
        if !self.room.admits(&message) {
            if let Some((session, number)) = self.answered(caller, message.sequence()) {
                // Whoever was refused now would take it for not carried out.
                self.answer(caller, session, number);
                return Ok(());
            }
            return Err(self.refuse_for_room(&message));
        }
        match message {
            Message::Hello(hello) => self.hello(caller, &hello, now),
            Message::Ping(_) => {
                self.touch(caller, now);
                self.answer_done(caller);
                Ok(())
            }
            Message::Enqueue(request) => self.enqueue(caller, request, payloads, now),
            Message::Cancel(request) => {
                let (session, job) = (self.session(caller)?, request.job);
                let command = Command::Cancel { session, request };
                self.change(caller, command, now, |_| Query::State { job })
            }
            Message::Retry(request) => {
                let (session, job, sequence) = (self.session(caller)?, request.job, request.sequence);
                let command = Command::Retry { session, request };
                self.change(caller, command, now, |core| core.call_query(job, sequence))
            }
            Message::Delete(request) => {
                let (session, job, sequence) = (self.session(caller)?, request.job, request.sequence);
                let command = Command::Delete { session, request, archived: None };
                self.change(caller, command, now, |_| Query::Delete { job, sequence })
            }
            Message::Invalidate(request) => {
                let session = self.session(caller)?;
                self.change(caller, Command::Invalidate { session, request }, now, |_| Query::Nothing)
            }
            Message::ChangeQueue(request) => {
                let session = self.session(caller)?;
                let (sequence, queue, verb) = (request.sequence, request.queue, request.verb);
                self.change(caller, Command::ChangeQueue { session, sequence, queue, verb }, now, |_| {
                    Query::Nothing
                })
            }
            Message::CacheGet(get) => self.cache_get(caller, get, now),
            // It would go at once.
            Message::CacheSet(_) if self.is_tight => Err(self.refuse_for_room(&message)),
            Message::CacheSet(request) => {
                let session = self.session(caller)?;
                let command = Command::CacheSet { session, request, values: payloads };
                self.change(caller, command, now, |_| Query::Nothing)
            }
            Message::CacheInvalidate(request) => {
                let session = self.session(caller)?;
                self.change(caller, Command::CacheInvalidate { session, request }, now, |_| Query::Nothing)
            }
            Message::Wait(wait) => self.wait(caller, &wait),
            Message::Unwait(unwait) => {
                self.waits.close(caller.connection, unwait.request);
                Ok(())
            }
            Message::Show(show) => {
                self.show(caller, show.job);
                Ok(())
            }
            Message::Fetch(fetch) => self.fetch(caller, fetch),
            Message::List(list) => self.list(caller, list),
            Message::Status(_) => {
                let report = self.status();
                self.query(caller.connection, caller.request_id, Query::Status(Box::new(report)));
                Ok(())
            }
            Message::Describe(describe) => {
                let declared = self.declarations.get(&describe.task).cloned();
                let schemas = if describe.schemas { self.schemas() } else { Vec::new() };
                self.reply(caller.connection, caller.request_id, Described { declared, schemas });
                Ok(())
            }
            Message::ListTasks(list) => {
                let tasks = self.list_tasks(list.task.as_deref(), now);
                self.reply(caller.connection, caller.request_id, tasks);
                Ok(())
            }
            Message::AddLogs(add) => {
                let asked = Query::Logs(Box::new(LogsAsked::Add(add)));
                self.query(caller.connection, caller.request_id, asked);
                Ok(())
            }
            Message::ListLogs(list) => {
                let asked = Query::Logs(Box::new(LogsAsked::List(list)));
                self.query(caller.connection, caller.request_id, asked);
                Ok(())
            }
            Message::ProfileNext(request) => {
                self.next_profiles.want(request, now.logical_ms)?;
                self.answer_done(caller);
                Ok(())
            }
            Message::HoldFiles(_) => {
                self.query(caller.connection, caller.request_id, Query::Hold);
                Ok(())
            }
            Message::KeepFiles(keep) => self.keep_files(caller, keep, now),
            other => match self.lock_request(caller, other, now)? {
                Some(other) => self.worker_request(caller, other, payloads, now),
                None => Ok(()),
            },
        }
    }

    pub(crate) fn refuse_for_room(&self, message: &Message) -> Refusal {
        room::refuse(message, &self.options.facts.home, self.shortage)
    }

    fn hello(&mut self, caller: Caller, hello: &Hello, now: Now) -> Result<(), Refusal> {
        let known = hello.session.filter(|session| self.state.has_session(*session));
        let session = match known {
            Some(session) => {
                self.state.touch_session(session, now.logical_ms);
                Some(session)
            }
            None if hello.open_session && self.is_out_of_room() => {
                return Err(self.refuse_for_room(&hello.clone().into()));
            }
            None if hello.open_session => {
                self.run(Command::OpenSession, now)?;
                Some(self.state.newest_session())
            }
            None => None,
        };
        if let Some(connection) = self.connections.get_mut(&caller.connection) {
            connection.session = session;
            connection.is_used = !hello.hand_over;
        }
        let facts = &self.options.facts;
        let welcome = Welcome {
            protocol: PROTOCOL,
            version: facts.version.clone(),
            executable: facts.executable.clone(),
            pid: facts.pid,
            home: facts.home.clone(),
            on_demand: facts.on_demand,
            epoch: self.state.epoch(),
            session,
            frame_bytes_max: message::FRAME_BYTES_MAX,
            payload_bytes_max: message::PAYLOAD_BYTES_MAX,
            window: message::WINDOW,
        };
        self.reply(caller.connection, caller.request_id, welcome);
        Ok(())
    }

    fn enqueue(
        &mut self,
        caller: Caller,
        request: message::Enqueue,
        arguments: Payloads,
        now: Now,
    ) -> Result<(), Refusal> {
        let session = self.session(caller)?;
        if self.stopping {
            return Err(refusal(RefusalCode::ShuttingDown, "the server is stopping"));
        }
        let number = request.sequence.number;
        let calls = self.answered(caller, Some(request.sequence)).is_none().then(|| calls_of(&request));
        let bytes = arguments.bytes.clone();
        self.change(caller, Command::Enqueue { session, request, arguments }, now, |_| Query::Nothing)?;
        if let Some(calls) = calls {
            self.count_calls((session, number), calls, &bytes, now);
        }
        Ok(())
    }

    /// Counts the calls of a request, by session and number, that jobs were made for; what a job answered that was there already
    /// did not run again.
    fn count_calls(
        &mut self,
        (session, number): (u64, u64),
        calls: Vec<(Arc<str>, Vec<u32>)>,
        bytes: &[u8],
        now: Now,
    ) {
        // Without such an answer all were there.
        let Some(Answer::Enqueued(enqueued)) = self.state.answer(session, number) else { return };
        let (mut rest, mut position) = (bytes, 0);
        for (task, lengths) in calls {
            let arguments = lengths.into_iter().map_while(|length| rest.split_off(..length as usize));
            let made = arguments.filter(|_| {
                position += 1;
                enqueued.existing.binary_search(&(position - 1)).is_err()
            });
            self.repeats.count(&task, made, now.logical_ms);
        }
    }

    fn list_tasks(&self, wanted: Option<&str>, now: Now) -> Tasks {
        let mut tasks = self.state.task_statistics(wanted);
        for task in &mut tasks {
            (task.calls, task.repeated) = self.repeats.of(&task.task, now.logical_ms);
        }
        Tasks { tasks }
    }

    /// Carries out a mutating request; a job that is not in memory is looked up by the query of `elsewhere`.
    fn change(
        &mut self,
        caller: Caller,
        command: Command,
        now: Now,
        elsewhere: impl FnOnce(&Self) -> Query,
    ) -> Result<(), Refusal> {
        match self.run(command, now)? {
            Reply::Answer { session, number } => self.answer(caller, session, number),
            Reply::AnswerCompleted { session, number, completed } => {
                if let Some(Answer::Enqueued(enqueued)) = self.state.answer(session, number) {
                    let enqueued = Enqueued { completed, ..enqueued.clone() };
                    self.reply(caller.connection, caller.request_id, enqueued);
                }
            }
            Reply::Found(enqueued) => {
                self.touch(caller, now);
                self.reply(caller.connection, caller.request_id, enqueued);
            }
            Reply::NotInMemory { .. } => {
                let query = elsewhere(self);
                self.query(caller.connection, caller.request_id, query);
            }
            _ => self.answer_done(caller),
        }
        Ok(())
    }

    /// The place of a request that was carried out before and is sent again.
    fn answered(&self, caller: Caller, sequence: Option<Sequence>) -> Option<(u64, u64)> {
        let (session, number) = (self.session(caller).ok()?, sequence?.number);
        self.state.answer(session, number).map(|_| (session, number))
    }

    fn answer(&mut self, caller: Caller, session: u64, number: u64) {
        let message = match self.state.answer(session, number) {
            Some(Answer::Enqueued(enqueued)) => Message::Enqueued(enqueued.clone()),
            Some(Answer::Changed(changed)) => Message::Changed(changed.clone()),
            None => Message::Changed(Changed::default()),
        };
        self.reply(caller.connection, caller.request_id, message);
    }

    fn wait(&mut self, caller: Caller, wait: &Wait) -> Result<(), Refusal> {
        let Caller { connection, request_id } = caller;
        let (ids, rest) = wait.ids.as_chunks::<16>();
        let ids: Option<Vec<JobId>> = ids.iter().map(|id| JobId::from_bytes(*id)).collect();
        let Some(ids) = ids.filter(|_| rest.is_empty()) else {
            return Err(bad("the ids of WAIT are not 16 bytes each of UUIDs of version 7".to_owned()));
        };
        self.waits.open(connection, request_id, ids.len(), wait.results);
        let mut elsewhere = Vec::new();
        for id in ids {
            match self.state.slot_of(id).filter(|_| !self.state.is_deleted(id)) {
                None => elsewhere.push(id),
                Some(slot) if self.state.job_state(slot).is_finished() => {
                    self.waits.tell((connection, request_id), &self.state, slot);
                }
                Some(slot) => self.waits.add(connection, request_id, slot),
            }
        }
        if !elsewhere.is_empty() {
            self.query(connection, request_id, Query::Ended { jobs: elsewhere, results: wait.results });
        }
        Ok(())
    }

    fn show(&mut self, caller: Caller, job: JobId) {
        let slot = self.state.slot_of(job).filter(|_| !self.state.is_deleted(job));
        let view = slot.map(|slot| Box::new(self.state.view(slot)));
        let progress = slot.and_then(|slot| self.progress.get(&slot).cloned());
        self.query(caller.connection, caller.request_id, Query::Show { job, view, progress });
    }

    fn fetch(&mut self, caller: Caller, fetch: Fetch) -> Result<(), Refusal> {
        let Fetch { job, payload } = fetch;
        let query = match self.state.slot_of(job).filter(|_| !self.state.is_deleted(job)) {
            None => Query::Fetch { job, payload },
            Some(slot) => {
                let view = self.state.view(slot);
                let place = match payload {
                    PayloadKind::Arguments => view.arguments,
                    PayloadKind::Result if view.record.state == JobState::Completed => view.result,
                    PayloadKind::Result => {
                        let message = format!("job {job} is {}: it has no result", view.record.state);
                        return Err(refusal(RefusalCode::WrongState, message));
                    }
                };
                Query::Payload { place }
            }
        };
        self.query(caller.connection, caller.request_id, query);
        Ok(())
    }

    fn list(&mut self, caller: Caller, list: List) -> Result<(), Refusal> {
        let limit = list.limit.clamp(1, PAGE_JOBS_MAX) as usize;
        let mut query = ListQuery::new(&list, limit).ok_or_else(|| {
            bad(format!("{:?} is not a cursor of this list", list.cursor.as_deref().unwrap_or_default()))
        })?;
        query.take_memory(&self.state);
        self.query(caller.connection, caller.request_id, Query::List(Box::new(query)));
        Ok(())
    }

    fn status(&self) -> StatusReport {
        let (facts, pages) = (&self.options.facts, self.state.page_bytes());
        StatusReport {
            version: facts.version.clone(),
            pid: facts.pid,
            home: facts.home.clone(),
            on_demand: facts.on_demand,
            started_at: self.started_ms.0,
            epoch: self.state.epoch(),
            durable_lsn: self.lsn,
            connections: self.connections.len() as u32,
            archived: 0,
            rss_bytes: 0,
            queues: self.state.queue_reports(),
            workers: self.worker_reports(),
            unknown_tasks: self.state.unknown_tasks(),
            tasks: self.state.task_reports(),
            disk: DiskReport::default(),
            unarchived: u64::from(self.state.unarchived()),
            archive_behind: self.lag.is_behind(),
            ended: self.state.ended(),
            backups: self.holders.len() as u32,
            hot_bytes: pages.hot,
            cold_bytes: pages.cold,
            cache: self.cache_report(),
        }
    }

    /// What connected workers said that their tasks take and give, by their names.
    fn schemas(&self) -> Vec<WorkerSchema> {
        let schema_of = |worker: &Worker| {
            Some(WorkerSchema { worker: Arc::clone(&worker.name), schema: worker.schema.clone()? })
        };
        let mut schemas: Vec<WorkerSchema> = self.workers.values().filter_map(schema_of).collect();
        schemas.sort_by(|a, b| a.worker.cmp(&b.worker));
        schemas
    }

    fn worker_reports(&self) -> Vec<WorkerReport> {
        let mut nonces: Vec<u64> = self.workers.keys().copied().collect();
        nonces.sort_unstable_by_key(|nonce| self.workers[nonce].name.clone());
        let report = |nonce: u64| {
            let worker = &self.workers[&nonce];
            let mut report = WorkerReport {
                name: worker.name.clone(),
                pid: worker.process.pid,
                replaced: worker.replaced.clone(),
                ..WorkerReport::default()
            };
            for child in self.state.child_reports().filter(|child| child.worker == nonce) {
                report.running += child.leases;
                let Some((tasks, queues)) = child.group else { continue };
                report.children += 1;
                report.tasks = tasks.iter().map(|task| task::shown(task).into()).collect();
                report.queues = queues.to_vec();
            }
            report
        };
        nonces.into_iter().map(report).collect()
    }

    /// The query for the call of a finished job: from memory if it is still there.
    fn call_query(&self, job: JobId, sequence: Sequence) -> Query {
        let slot = self.state.slot_of(job).filter(|_| !self.state.is_deleted(job));
        Query::Call { job, sequence, view: slot.map(|slot| Box::new(self.state.view(slot))) }
    }

    /// A query found the call of a finished job: it becomes a new job.
    pub(crate) fn retry_found(
        &mut self,
        connection: ConnectionId,
        request_id: u64,
        sequence: Sequence,
        archived: ArchivedCall,
        now: Now,
    ) {
        let caller = Caller { connection, request_id };
        let blobs = archived.arguments.blobs.clone();
        let result = self.session(caller).and_then(|session| {
            let command = Command::RetryArchived { session, sequence, archived };
            self.change(caller, command, now, |_| Query::Nothing)
        });
        self.drop_unnamed(&blobs);
        if let Err(refusal) = result {
            self.refuse(connection, request_id, refusal);
        }
    }

    /// A query found a finished job in the archive that shall be forgotten.
    pub(crate) fn delete_found(
        &mut self,
        connection: ConnectionId,
        request_id: u64,
        request: message::Delete,
        finalized_ms: u64,
        now: Now,
    ) {
        let caller = Caller { connection, request_id };
        let result = self.session(caller).and_then(|session| {
            let command = Command::Delete { session, request, archived: Some(finalized_ms) };
            self.change(caller, command, now, |_| Query::Nothing)
        });
        if let Err(refusal) = result {
            self.refuse(connection, request_id, refusal);
        }
    }

    /// A request's large payloads could not be stored, now that it was sent for the first time or once more.
    pub(crate) fn unstorable(
        &mut self,
        connection: ConnectionId,
        request_id: u64,
        sequence: Option<Sequence>,
        error: &lineshaft_store::Error,
    ) {
        let caller = Caller { connection, request_id };
        if sequence.is_some()
            && let Err(refusal) = self.take_session(caller)
        {
            return self.refuse(connection, request_id, refusal);
        }
        if let Some((session, number)) = self.answered(caller, sequence) {
            return self.answer(caller, session, number);
        }
        let message = format!("a large payload could not be stored: {error}");
        self.refuse(connection, request_id, refusal(RefusalCode::StoreFull, message));
    }

    /// Takes the caller's session over for its connection, which wants to change something: older ones may not any more.
    pub(crate) fn take_session(&mut self, caller: Caller) -> Result<(), Refusal> {
        let session = self.session(caller)?;
        if self.state.has_session(session) {
            self.session_holders.insert(session, caller.connection);
        }
        Ok(())
    }

    pub(crate) fn session(&self, caller: Caller) -> Result<u64, Refusal> {
        let connection = self.connections.get(&caller.connection);
        let session = connection.and_then(|connection| connection.session).ok_or_else(|| {
            refusal(
                RefusalCode::OutcomeUnknown,
                "this connection has no session: HELLO opens one with open_session",
            )
        })?;
        let is_ours = self.session_holders.get(&session).is_none_or(|holder| *holder <= caller.connection);
        if is_ours {
            return Ok(session);
        }
        let text = format!("session {session} went over to a newer connection");
        Err(refusal(RefusalCode::OutcomeUnknown, text))
    }

    fn touch(&mut self, caller: Caller, now: Now) {
        if let Ok(session) = self.session(caller) {
            self.state.touch_session(session, now.logical_ms);
        }
    }

    pub(crate) fn answer_done(&mut self, caller: Caller) {
        if caller.request_id != 0 {
            self.reply(caller.connection, caller.request_id, Done {});
        }
    }
}

/// A commit must have room for the request beside what is in it already.
fn check_size(message: &Message, payloads: &Payloads) -> Result<(), Refusal> {
    let blobs: usize = if payloads.blobs.is_empty() {
        0
    } else {
        large_payloads(message).take(payloads.blobs.len()).map(|(_, _, length)| length).sum()
    };
    let inline = payloads.bytes.len().saturating_sub(blobs);
    if inline <= INLINE_BYTES_MAX {
        return Ok(());
    }
    let text =
        format!("{inline} bytes of small payloads in one request; the limit is {INLINE_BYTES_MAX}: split it");
    Err(refusal(RefusalCode::TooLarge, text))
}

pub(crate) fn refusal(code: RefusalCode, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into(), hint: None }
}

pub(crate) fn bad(message: String) -> Refusal {
    refusal(RefusalCode::BadRequest, message)
}

/// The refusal of a job that nobody knows.
pub(crate) fn not_found(job: JobId) -> Refusal {
    State::not_found(job)
}
