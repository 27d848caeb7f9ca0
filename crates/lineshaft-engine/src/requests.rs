//! What each request comes to.

use lineshaft_jobs::{Answer, ArchivedCall, Attach, Command, Now, Payloads, Refusal, Reply, State};
use lineshaft_wire::message::{
    self, AttachChild, AttachWorker, Changed, ChildAttached, Done, Fetch, Finished, Hello, List, Message,
    PROTOCOL, PayloadKind, RefusalCode, Sequence, StatusReport, Wait, Welcome, WorkerAttached, WorkerReport,
};
use lineshaft_wire::{JobId, JobState};

use crate::core::{Core, LastWord, Worker, is_one_way};
use crate::handle::ConnectionId;
use crate::query::{ListQuery, Query};

/// Bytes of one progress value.
const PROGRESS_BYTES_MAX: usize = 4096;
/// Jobs of one page.
const PAGE_JOBS_MAX: u32 = 1_000;
/// Inline payload bytes of one request: a commit has room for it beside everything else.
const INLINE_BYTES_MAX: usize = 48 << 20;

/// Who asked, and how to answer.
#[derive(Clone, Copy)]
struct Caller {
    connection: ConnectionId,
    request_id: u64,
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
        if !self.connections.contains_key(&connection) {
            return;
        }
        let one_way = is_one_way(&message) || request_id == 0;
        let caller = Caller { connection, request_id };
        let result = self.carry_out(caller, message, payloads, now);
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
            Message::ChangeQueue(request) => {
                let session = self.session(caller)?;
                let (sequence, queue, verb) = (request.sequence, request.queue, request.verb);
                self.change(caller, Command::ChangeQueue { session, sequence, queue, verb }, now, |_| {
                    Query::Nothing
                })
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
            other => self.worker_request(caller, other, payloads, now),
        }
    }

    fn worker_request(
        &mut self,
        caller: Caller,
        message: Message,
        payloads: Payloads,
        now: Now,
    ) -> Result<(), Refusal> {
        match message {
            Message::AttachWorker(attach) => {
                self.attach_worker(caller, attach);
                Ok(())
            }
            Message::AttachChild(attach) => self.attach_child(caller, attach, now),
            Message::Credit(credit) => {
                let child = self.child(caller)?;
                self.state.grant(child, credit.leases, credit.reset);
                Ok(())
            }
            Message::Renew(_) => {
                let child = self.child(caller)?;
                self.state.renew(child, now.logical_ms);
                self.answer_done(caller);
                Ok(())
            }
            Message::Finish(finish) => {
                check_lengths(&finish, &payloads)?;
                let child = self.child(caller)?;
                let reply = self.run(Command::Finish { child, finish, payloads }, now)?;
                self.answer_finished(caller, reply);
                Ok(())
            }
            Message::Release(release) => {
                let child = self.child(caller)?;
                let reply = self.run(Command::Release { child, leases: release.leases }, now)?;
                self.answer_finished(caller, reply);
                Ok(())
            }
            Message::ChildEnded(ended) => self.hear_of_child(caller, ended, payloads, now),
            Message::Progress(progress) => {
                self.take_progress(caller, progress);
                Ok(())
            }
            other => Err(bad(format!("{} is not a request", other.name()))),
        }
    }

    // Clients.

    fn hello(&mut self, caller: Caller, hello: &Hello, now: Now) -> Result<(), Refusal> {
        let known = hello.session.filter(|session| self.state.has_session(*session));
        let session = match known {
            Some(session) => {
                self.state.touch_session(session, now.logical_ms);
                Some(session)
            }
            None if hello.open_session => {
                self.run(Command::OpenSession, now)?;
                Some(self.state.newest_session())
            }
            None => None,
        };
        if let Some(connection) = self.connections.get_mut(&caller.connection) {
            connection.session = session;
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
        if self.store_full {
            let message = "the disk of the home is full: no new jobs until there is room";
            return Err(refusal(RefusalCode::StoreFull, message));
        }
        let blobs: usize = arguments.blobs.len() * lineshaft_store::PayloadRef::INLINE_BYTES_MAX;
        if arguments.bytes.len().saturating_sub(blobs) > INLINE_BYTES_MAX && arguments.blobs.is_empty() {
            let bytes = arguments.bytes.len();
            let message =
                format!("a request of {bytes} argument bytes; the limit is {INLINE_BYTES_MAX}: split it");
            return Err(refusal(RefusalCode::TooLarge, message));
        }
        self.change(caller, Command::Enqueue { session, request, arguments }, now, |_| Query::Nothing)
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
            Reply::NotInMemory { .. } => {
                let query = elsewhere(self);
                self.query(caller.connection, caller.request_id, query);
            }
            _ => self.answer_done(caller),
        }
        Ok(())
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
        let facts = &self.options.facts;
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
        }
    }

    fn worker_reports(&self) -> Vec<WorkerReport> {
        let mut nonces: Vec<u64> = self.workers.keys().copied().collect();
        nonces.sort_unstable_by_key(|nonce| self.workers[nonce].name.clone());
        let report = |nonce: u64| {
            let worker = &self.workers[&nonce];
            let mut report = WorkerReport {
                name: worker.name.clone(),
                pid: worker.process.pid,
                ..WorkerReport::default()
            };
            for child in self.state.child_reports().filter(|child| child.worker == nonce) {
                report.running += child.leases;
                let Some((tasks, queues)) = child.group else { continue };
                report.children += 1;
                (report.tasks, report.queues) = (tasks.to_vec(), queues.to_vec());
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
        let result = self.session(caller).and_then(|session| {
            let command = Command::RetryArchived { session, sequence, archived };
            self.change(caller, command, now, |_| Query::Nothing)
        });
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

    // Workers.

    fn attach_worker(&mut self, caller: Caller, attach: AttachWorker) {
        let AttachWorker { name, process, nonce, .. } = attach;
        self.workers.insert(nonce, Worker { connection: caller.connection, name, process });
        if let Some(connection) = self.connections.get_mut(&caller.connection) {
            connection.worker = Some(nonce);
        }
        let lease_ms = self.options.limits.lease_ms;
        self.reply(caller.connection, caller.request_id, WorkerAttached { lease_ms });
        self.repeat_stops(nonce);
    }

    fn attach_child(&mut self, caller: Caller, attach: AttachChild, now: Now) -> Result<(), Refusal> {
        let (tasks, queues) = (attach.tasks.clone(), attach.queues.clone());
        let Reply::Attached { child, stale } = self.run(Command::AttachChild(attach), now)? else {
            return Err(refusal(RefusalCode::Internal, "an attach was answered with something else"));
        };
        self.state.attach(Attach { child, tasks: &tasks, queues: &queues });
        self.state.renew(child, now.logical_ms);
        self.children.insert(child, caller.connection);
        if let Some(connection) = self.connections.get_mut(&caller.connection) {
            connection.child = Some(child);
        }
        let lease_ms = self.options.limits.lease_ms;
        self.reply(caller.connection, caller.request_id, ChildAttached { lease_ms, stale });
        Ok(())
    }

    fn hear_of_child(
        &mut self,
        caller: Caller,
        ended: message::ChildEnded,
        payloads: Payloads,
        now: Now,
    ) -> Result<(), Refusal> {
        let connection = self.connections.get(&caller.connection);
        let Some(worker) = connection.and_then(|connection| connection.worker) else {
            return Err(bad("this connection did not attach a worker".to_owned()));
        };
        let announced = ended.begun.as_ref().map_or(0, |end| end.output_length as usize);
        if announced != payloads.bytes.len() {
            return Err(bad(format!(
                "an output of {announced} bytes was announced, {} came",
                payloads.bytes.len()
            )));
        }
        let Caller { connection, request_id } = caller;
        let word = LastWord { connection, request_id, worker, ended, output: payloads.bytes };
        if self.is_heard(worker, word.ended.child) {
            self.keep_word(word, now);
        } else {
            self.child_ended(word, now);
        }
        Ok(())
    }

    /// A child is dead and all that it said was heard.
    pub(crate) fn child_ended(&mut self, word: LastWord, now: Now) {
        let LastWord { connection, request_id, worker, ended, output } = word;
        if let Some(child) = self.state.find_child(worker, ended.child) {
            self.state.detach(child);
            self.children.remove(&child);
        }
        let command = Command::ChildEnded {
            worker,
            number: ended.child,
            begun: ended.begun,
            last_begun: ended.last_begun,
            output,
        };
        let caller = Caller { connection, request_id };
        match self.run(command, now) {
            Ok(_) => self.answer_done(caller),
            Err(refusal) => self.refuse(connection, request_id, refusal),
        }
    }

    fn take_progress(&mut self, caller: Caller, progress: message::Progress) {
        let owns = self.child(caller).is_ok() && progress.value.len() <= PROGRESS_BYTES_MAX;
        if let Some(slot) = self.state.slot_of(progress.job).filter(|_| owns)
            && self.state.job_state(slot) == JobState::Running
        {
            self.progress.insert(slot, progress.value);
        }
    }

    // Small parts.

    fn session(&self, caller: Caller) -> Result<u64, Refusal> {
        let connection = self.connections.get(&caller.connection);
        connection.and_then(|connection| connection.session).ok_or_else(|| {
            refusal(
                RefusalCode::OutcomeUnknown,
                "this connection has no session: HELLO opens one with open_session",
            )
        })
    }

    fn child(&self, caller: Caller) -> Result<u32, Refusal> {
        let connection = self.connections.get(&caller.connection);
        connection
            .and_then(|connection| connection.child)
            .filter(|child| self.children.get(child) == Some(&caller.connection))
            .ok_or_else(|| bad("this connection did not attach a child".to_owned()))
    }

    fn touch(&mut self, caller: Caller, now: Now) {
        if let Ok(session) = self.session(caller) {
            self.state.touch_session(session, now.logical_ms);
        }
    }

    fn answer_done(&mut self, caller: Caller) {
        if caller.request_id != 0 {
            self.reply(caller.connection, caller.request_id, Done {});
        }
    }

    fn answer_finished(&mut self, caller: Caller, reply: Reply) {
        let refused = if let Reply::Finished { refused } = reply { refused } else { Vec::new() };
        self.reply(caller.connection, caller.request_id, Finished { refused });
    }
}

fn check_lengths(finish: &message::Finish, payloads: &Payloads) -> Result<(), Refusal> {
    let succeeded =
        finish.succeeded.iter().map(|end| end.result_length.saturating_add(u64::from(end.output_length)));
    let others = finish.others.iter().map(|end| u64::from(end.output_length));
    let announced = succeeded.chain(others).fold(0, u64::saturating_add);
    if announced == payloads.bytes.len() as u64 {
        return Ok(());
    }
    Err(bad(format!("payloads of {announced} bytes were announced, {} came", payloads.bytes.len())))
}

fn refusal(code: RefusalCode, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into(), hint: None }
}

fn bad(message: String) -> Refusal {
    refusal(RefusalCode::BadRequest, message)
}

/// The refusal of a job that nobody knows.
pub(crate) fn not_found(job: JobId) -> Refusal {
    State::not_found(job)
}
