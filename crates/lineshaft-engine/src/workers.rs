//! What each request of a worker comes to: supervisors and children that come and go, leases, ends.

use lineshaft_jobs::{Attach, Command, Now, Payloads, Refusal, Reply};
use lineshaft_wire::message::{
    self, AttachChild, AttachWorker, ChildAttached, Finished, Message, RefusalCode, Replaced,
    SCHEMA_BYTES_MAX, WorkerAttached,
};

use crate::core::{Core, LastWord, Worker};
use crate::requests::{Caller, bad, refusal};

/// Bytes of one progress value.
const PROGRESS_BYTES_MAX: usize = 4096;

impl Core {
    /// Carries out a request that only workers make.
    pub(crate) fn worker_request(
        &mut self,
        caller: Caller,
        message: Message,
        payloads: Payloads,
        now: Now,
    ) -> Result<(), Refusal> {
        match message {
            Message::AttachWorker(attach) => self.attach_worker(caller, attach),
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
            Message::Checkpoint(checkpoint) => self.checkpoint(caller, checkpoint, payloads, now),
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

    fn checkpoint(
        &mut self,
        caller: Caller,
        checkpoint: message::Checkpoint,
        payloads: Payloads,
        now: Now,
    ) -> Result<(), Refusal> {
        let child = self.child(caller)?;
        let reply = self.run(Command::Checkpoint { child, checkpoint, value: payloads.bytes }, now)?;
        self.answer_finished(caller, reply);
        Ok(())
    }

    fn attach_worker(&mut self, caller: Caller, attach: AttachWorker) -> Result<(), Refusal> {
        let AttachWorker { name, process, nonce, attach, schema, .. } = attach;
        check_newest(attach, self.workers.get(&nonce).map(|worker| worker.attach))?;
        let schema = schema.filter(|schema| schema.len() <= SCHEMA_BYTES_MAX);
        let replaced = self.workers.remove(&nonce).map(|worker| worker.replaced).unwrap_or_default();
        let worker = Worker { connection: caller.connection, attach, name, process, schema, replaced };
        self.workers.insert(nonce, worker);
        if let Some(connection) = self.connections.get_mut(&caller.connection) {
            connection.worker = Some(nonce);
        }
        let lease_ms = self.options.limits.lease_ms;
        self.reply(caller.connection, caller.request_id, WorkerAttached { lease_ms });
        self.repeat_stops(nonce);
        Ok(())
    }

    fn attach_child(&mut self, caller: Caller, mut attach: AttachChild, now: Now) -> Result<(), Refusal> {
        if self.connections.get(&caller.connection).is_some_and(|connection| connection.child.is_some()) {
            return Err(bad("this connection attached a child already".to_owned()));
        }
        let known = self.state.find_child(attach.worker, attach.number);
        if known.is_none() && self.is_out_of_room() {
            return Err(self.refuse_for_room(&attach.into()));
        }
        check_newest(attach.attach, known.and_then(|child| self.attaches.get(&child)).copied())?;
        let number = attach.attach;
        self.declarations.learn(std::mem::take(&mut attach.declared));
        let (tasks, queues) = (attach.tasks.clone(), attach.queues.clone());
        let Reply::Attached { child, stale } = self.run(Command::AttachChild(attach), now)? else {
            return Err(refusal(RefusalCode::Internal, "an attach was answered with something else"));
        };
        self.state.attach(Attach { child, tasks: &tasks, queues: &queues });
        self.state.renew(child, now.logical_ms);
        self.attaches.insert(child, number);
        self.returned(child, caller.connection);
        if let Some(connection) = self.connections.get_mut(&caller.connection) {
            connection.child = Some(child);
        }
        let lease_ms = self.options.limits.lease_ms;
        self.reply(caller.connection, caller.request_id, ChildAttached { lease_ms, stale });
        self.repeat_child_stops(child);
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
        let lengths = ended.begun.iter().map(|end| end.output_length as usize);
        let announced = lengths.fold(0, usize::saturating_add);
        if announced != payloads.bytes.len() {
            return Err(bad(format!(
                "outputs of {announced} bytes were announced, {} came",
                payloads.bytes.len()
            )));
        }
        let Caller { connection, request_id } = caller;
        let word = LastWord { connection, request_id, worker, ended, outputs: payloads.bytes };
        if self.is_heard(worker, word.ended.child) || self.is_out_of_room() {
            self.keep_word(word, now);
        } else {
            self.child_ended(word, now);
        }
        Ok(())
    }

    /// A child is dead and all that it said was heard.
    pub(crate) fn child_ended(&mut self, word: LastWord, now: Now) {
        let LastWord { connection, request_id, worker, ended, outputs } = word;
        if let (Some(worker), Some(why)) = (self.workers.get_mut(&worker), ended.why) {
            worker.note_replaced(Replaced { child: ended.child, at: now.wall_ms, why });
        }
        if let Some(child) = self.state.find_child(worker, ended.child) {
            self.state.detach(child);
            self.children.remove(&child);
        }
        let command = Command::ChildEnded {
            worker,
            number: ended.child,
            begun: ended.begun,
            newest: ended.newest,
            unbegun: ended.unbegun,
            outputs,
        };
        let caller = Caller { connection, request_id };
        match self.run(command, now) {
            Ok(_) => self.answer_done(caller),
            Err(refusal) => self.refuse(connection, request_id, refusal),
        }
    }

    fn take_progress(&mut self, caller: Caller, progress: message::Progress) {
        let fits = progress.value.len() <= PROGRESS_BYTES_MAX;
        let child = self.child(caller).ok().filter(|_| fits);
        if let Some(slot) =
            child.and_then(|child| self.state.leased_slot(child, progress.job, progress.fence))
        {
            self.progress.insert(slot, progress.value);
        }
    }

    fn child(&self, caller: Caller) -> Result<u32, Refusal> {
        let connection = self.connections.get(&caller.connection);
        connection
            .and_then(|connection| connection.child)
            .filter(|child| self.children.get(child) == Some(&caller.connection))
            .ok_or_else(|| bad("this connection did not attach a child".to_owned()))
    }

    fn answer_finished(&mut self, caller: Caller, reply: Reply) {
        let refused = if let Reply::Finished { refused } = reply { refused } else { Vec::new() };
        self.reply(caller.connection, caller.request_id, Finished { refused });
    }
}

/// What was sent over a connection that was given up may be read after what came over the next one.
fn check_newest(attach: u64, newest: Option<u64>) -> Result<(), Refusal> {
    match newest {
        Some(newest) if attach > 0 && attach < newest => {
            let text = format!("attach {attach} came after attach {newest} of the same process");
            Err(refusal(RefusalCode::WrongState, text))
        }
        _ => Ok(()),
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
