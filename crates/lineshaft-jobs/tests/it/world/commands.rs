//! What each step does.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use lineshaft_jobs::{ArchivedCall, Attach, Change, Command, Payloads, Wanted};
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{
    AttachChild, Cancel, Checkpoint, Delete, Finish, Invalidate, Pass, ProcessKey, QueueVerb, Retry, Sequence,
};
use lineshaft_wire::{Fence, JobId, JobState};

use super::requests::{bytes, enqueue, measures, other_end, spoil, succeeded, unique_key};
use super::{Client, Return, World};
use crate::steps::{Defect, Ending, Group, Held, How, LOCKS, Place, QUEUES, Step, TASKS, Turn};

impl World {
    /// What is elsewhere reads the same: the model knows nothing of it.
    fn cool(&mut self, late: bool) {
        let state = &mut self.machine.state;
        let written = std::mem::take(&mut self.written);
        let was_empty = written.is_empty();
        for page in written {
            // One that changed meanwhile, or that a snapshot is made of, stays.
            drop(state.take_cold(page));
        }
        let pages = state.resting_pages(u32::MAX, usize::MAX);
        let put = |bytes: &[u8]| Ok::<_, Infallible>(Bytes::copy_from_slice(bytes));
        self.written = pages.into_iter().map(|page| page.cool(put).expect("memory takes it")).collect();
        if was_empty && !late {
            self.cool(true);
        }
    }

    pub(super) fn act(&mut self, step: &Step) {
        match step {
            Step::OpenSession => self.open_session(),
            Step::Enqueue { turn, groups, defect, blob } => self.enqueue(*turn, groups, *defect, *blob),
            Step::Cancel(turn, job) => self.cancel(*turn, *job),
            Step::Retry(turn, job) => self.retry(*turn, *job),
            Step::Delete(turn, job) => self.delete(*turn, *job),
            Step::Queue(turn, queue, verb) => self.change_queue(*turn, *queue, *verb),
            Step::Invalidate(turn, key, all) => self.invalidate(*turn, *key, *all),
            Step::Attach { .. } => self.attach(step),
            Step::Detach(child) => {
                if let Some(child) = self.child(*child) {
                    self.machine.state.detach(child);
                    self.model.detach(child);
                }
            }
            Step::Grant { child, leases, reset } => {
                if let Some(child) = self.child(*child) {
                    self.machine.state.grant(child, *leases, *reset);
                    self.model.grant(child, *leases, *reset);
                }
            }
            Step::Renew(child) => {
                // One that has not come back since a start has no connection to say so over.
                let is_absent = |child: &u32| self.model.absent().iter().any(|(absent, _)| absent == child);
                if let Some(child) = self.child(*child).filter(|child| !is_absent(child)) {
                    self.machine.state.renew(child, self.machine.now.logical_ms);
                    self.model.renew(child);
                }
            }
            Step::Finish { child, endings, lie } => self.finish(*child, endings, *lie),
            Step::Checkpoint { child, lease, length, lie } => {
                self.checkpoint(*child, *lease, *length, *lie);
            }
            Step::Release { child, leases } => self.release(*child, leases),
            Step::ChildEnded { child, begun, newest, unbegun } => {
                self.child_ended(*child, begun, *newest, unbegun);
            }
            Step::ChildVanished(child) => {
                if let Some(child) = self.child(*child) {
                    self.command(Command::ChildVanished { child }).expect("a death is never refused");
                }
            }
            Step::Archive(count) => self.archive(*count),
            Step::DropArchive(number) => self.drop_archive(*number),
            Step::Copy { age, files } => self.copy(*age, *files),
            Step::Move(count) => self.move_copies(*count),
            Step::Cool { late } => self.cool(*late),
            Step::Pass { .. } => {}
            Step::Stall(gap_ms) => {
                self.machine.state.extend_leases(u64::from(*gap_ms));
                self.machine.record(Change::AbsencesCredited { still_ms: u64::from(*gap_ms) }.into());
                self.model.extend_leases(u64::from(*gap_ms));
            }
            Step::Touch(session) => {
                let session = self.clients[usize::from(*session) % self.clients.len()].session;
                self.machine.state.touch_session(session, self.machine.now.logical_ms);
                self.model.touch_session(session);
            }
            Step::Restart { replayed } => {
                self.restart(if *replayed { Return::Replayed } else { Return::Loaded });
            }
            Step::Restore { gap } => self.restore(u64::from(*gap)),
            Step::Acquire { .. } => self.acquire(step),
            Step::Unlock { session, tokens } => self.unlock(*session, tokens),
            Step::RenewLocks { session, tokens } => self.renew_locks(*session, tokens),
            Step::Break(backs) => self.break_locks(backs),
            Step::LeaveLines(number) => self.leave_lines(*number),
            Step::Store { turn, entries, ticket, blob, lie } => {
                self.store(*turn, entries, *ticket, *blob, *lie);
            }
            Step::InvalidateEntries { turn, keys, tags, all } => {
                self.invalidate_entries(*turn, keys, tags, *all);
            }
            Step::Evict(keys) => self.evict(keys),
            Step::TakeTurn { key, interval_ms, burst, patience_ms } => {
                let (key, burst) = (LOCKS[usize::from(*key)].into(), u32::from(*burst));
                let (interval_ns, patience_ms) =
                    (u64::from(*interval_ms) * 1_000_000, u64::from(*patience_ms));
                // What makes no sense is refused, by the model too.
                let _ = self.command(Command::Pass(Pass { key, interval_ns, burst, patience_ms }));
            }
        }
    }

    /// As when the state comes from a backup: nothing of the history that is gone can come back into it.
    fn restore(&mut self, gap: u64) {
        let children: Vec<u32> = self.machine.state.child_reports().map(|child| child.child).collect();
        for child in children {
            self.command(Command::ChildForgotten { child }).expect("forgetting is never refused");
        }
        let sessions_from = self.machine.state.newest_session() + gap;
        self.command(Command::Restored { sessions_from }).expect("restoring is never refused");
        for client in std::mem::take(&mut self.clients) {
            assert!(!self.machine.state.has_session(client.session), "no session goes on");
        }
        self.open_session();
        assert!(self.clients[0].session >= sessions_from, "numbers are not given again");
    }

    fn open_session(&mut self) {
        if let Ok(Told::Session(session)) = self.command(Command::OpenSession) {
            self.clients.push(Client { session, next: 1, lowest: 1 });
        }
    }

    /// The session and the place in it that a turn means.
    pub(super) fn turn(&mut self, turn: Turn) -> (u64, Sequence) {
        let at = usize::from(turn.session) % self.clients.len();
        let client = &mut self.clients[at];
        let number = match turn.place {
            Place::Next { ack } => {
                client.lowest = if ack { client.next } else { client.lowest };
                client.next
            }
            Place::Old(back) => client.next.saturating_sub(u64::from(back % 8)),
            Place::Skip(ahead) => client.next + u64::from(ahead),
            Place::Outside => client.lowest + 1_024,
        };
        if matches!(turn.place, Place::Next { .. } | Place::Skip(_)) {
            client.next = number + 1;
        }
        (client.session, Sequence { number, lowest: client.lowest.min(number.max(1)) })
    }

    fn enqueue(&mut self, turn: Turn, groups: &[Group], defect: Option<Defect>, blob: Option<u8>) {
        let (session, sequence) = self.turn(turn);
        let mut request = enqueue(sequence, groups, self.machine.now.wall_ms);
        let lengths: Vec<usize> =
            request.groups.iter().flat_map(|group| &group.lengths).map(|length| *length as usize).collect();
        let mut arguments = self.payloads(&lengths, blob.map(usize::from));
        if let Some(defect) = defect {
            spoil(&mut request, &mut arguments, defect);
        }
        let told = self.command(Command::Enqueue { session, request, arguments });
        self.note_jobs(told.as_ref().ok());
    }

    /// Payloads of these lengths; the one at `blob` is a blob unless it is empty.
    pub(super) fn payloads(&mut self, lengths: &[usize], blob: Option<usize>) -> Payloads {
        let seed = self.machine.lsn();
        let parts: Vec<Vec<u8>> =
            (0u64..).zip(lengths).map(|(at, length)| bytes(*length, seed + at)).collect();
        let mut payloads = Payloads::from(bytes::Bytes::from(parts.concat()));
        if let Some(at) = blob
            .map(|at| at % lengths.len().max(1))
            .filter(|at| parts.get(*at).is_some_and(|it| !it.is_empty()))
        {
            let id = 1_000 + self.machine.blobs.len() as u64;
            self.machine.blobs.insert(id, parts[at].clone().into());
            payloads.blobs.push((at as u32, id));
        }
        payloads
    }

    fn note_jobs(&mut self, told: Option<&Told>) {
        let Some(Told::Answer(lineshaft_jobs::Answer::Enqueued(enqueued))) = told else { return };
        for id in enqueued.ids.as_chunks::<16>().0 {
            let job = JobId::from_bytes(*id).expect("ids are UUIDs of version 7");
            if !self.ids.contains(&job) {
                self.ids.push(job);
            }
        }
    }

    /// Jobs that no request made.
    pub(super) fn note_handlers(&mut self) {
        let handlers = self.model.jobs().iter().filter(|job| job.failure_of.is_some()).map(|job| job.id);
        let new: Vec<JobId> = handlers.filter(|job| !self.ids.contains(job)).collect();
        self.ids.extend(new);
    }

    /// A job that there is or was, or none.
    fn job(&self, number: u16) -> JobId {
        let unknown = JobId::direct(1, 0, 9_999, 0);
        if number.is_multiple_of(31) || self.ids.is_empty() {
            return unknown;
        }
        // Mostly one of the newest.
        let back =
            usize::from(number) % self.ids.len().min(if number.is_multiple_of(2) { 16 } else { usize::MAX });
        self.ids[self.ids.len() - 1 - back]
    }

    fn cancel(&mut self, turn: Turn, job: u16) {
        let (session, sequence) = self.turn(turn);
        let request = Cancel { sequence, job: self.job(job) };
        drop(self.command(Command::Cancel { session, request }));
    }

    /// As an engine does it: what is not in memory, or finished, is looked up and comes again with its call.
    fn retry(&mut self, turn: Turn, job: u16) {
        let (session, sequence) = self.turn(turn);
        let job = self.job(job);
        let told = self.command(Command::Retry { session, request: Retry { sequence, job } });
        if told != Ok(Told::NotInMemory(job)) {
            return;
        }
        if let Some(archived) = self.call(job) {
            let told = self.command(Command::RetryArchived { session, sequence, archived });
            self.note_jobs(told.as_ref().ok());
        }
    }

    fn call(&mut self, job: JobId) -> Option<ArchivedCall> {
        let state = &self.machine.state;
        if state.is_deleted(job) {
            return None;
        }
        let Some(slot) = state.slot_of(job) else {
            return self.archive.get(&job).map(|(_, call)| call.clone());
        };
        let view = state.view(slot);
        let arguments = self.machine.read(view.arguments).into();
        let checkpoint = self.machine.read(view.checkpoint);
        let record = view.record;
        let (task, queue, priority, rules) = (record.task, record.queue, record.priority, view.rules);
        let (tags, metadata, context) = (record.tags, record.metadata, record.context);
        Some(ArchivedCall {
            job,
            task,
            queue,
            priority,
            rules,
            tags,
            metadata,
            context,
            arguments,
            checkpoint,
        })
    }

    fn delete(&mut self, turn: Turn, job: u16) {
        let (session, sequence) = self.turn(turn);
        let request = Delete { sequence, job: self.job(job) };
        let told = self.command(Command::Delete { session, request: request.clone(), archived: None });
        let archived = self.archive.get(&request.job).map(|(finalized_ms, _)| *finalized_ms);
        if told == Ok(Told::NotInMemory(request.job)) && archived.is_some() {
            drop(self.command(Command::Delete { session, request, archived }));
        }
    }

    fn invalidate(&mut self, turn: Turn, key: u8, all: bool) {
        let (session, sequence) = self.turn(turn);
        let prefix = all.then(|| Arc::from("unique-"));
        let request = Invalidate { sequence, keys: vec![unique_key(key)], prefix };
        drop(self.command(Command::Invalidate { session, request }));
    }

    fn change_queue(&mut self, turn: Turn, queue: u8, verb: QueueVerb) {
        let (session, sequence) = self.turn(turn);
        let queue = QUEUES.get(usize::from(queue)).copied().unwrap_or("nobody's").into();
        drop(self.command(Command::ChangeQueue { session, sequence, queue, verb }));
    }

    fn child(&self, number: u8) -> Option<u32> {
        let count = self.children.len().min(4);
        let back = usize::from(number) % count.max(1);
        self.children.get(self.children.len().wrapping_sub(1 + back)).map(|child| child.0)
    }

    fn attach(&mut self, step: &Step) {
        let Step::Attach { worker, number, tasks, queues, held, grant } = step else { return };
        let named = |names: [&str; 3], mask: u8| -> Vec<Arc<str>> {
            (0..3).filter(|bit| mask & (1 << bit) != 0).map(|bit| names[bit].into()).collect()
        };
        let (worker, number) = (100 + u64::from(*worker), u32::from(*number));
        let (tasks, queues) = (named(TASKS, *tasks), named(QUEUES, *queues));
        let attach = AttachChild {
            worker,
            worker_name: format!("host:{worker}").into(),
            number,
            process: ProcessKey { pid: number, start_time: worker },
            tasks: tasks.clone(),
            queues: queues.clone(),
            held: self.held(worker, number, *held),
            declared: Vec::new(),
            attach: 0,
        };
        let Ok(Told::Attached { child, .. }) = self.command(Command::AttachChild(attach)) else { return };
        if !self.children.iter().any(|known| known.0 == child) {
            self.children.push((child, worker, number));
        }
        self.machine.state.attach(Attach { child, tasks: &tasks, queues: &queues });
        self.machine.state.renew(child, self.machine.now.logical_ms);
        self.model.attach(child, &tasks, &queues);
        self.machine.state.grant(child, u32::from(*grant), false);
        self.model.grant(child, u32::from(*grant), false);
    }

    fn held(&self, worker: u64, number: u32, held: Held) -> Vec<(JobId, Fence)> {
        let child = self.machine.state.find_child(worker, number);
        let mut leases = child.map(|child| self.model.leases(child)).unwrap_or_default();
        match held {
            Held::All => {}
            Held::Nothing => leases.clear(),
            Held::Some(mask) => {
                let mut bit = 0;
                leases.retain(|_| {
                    bit += 1;
                    mask & (1 << (bit % 8)) != 0
                });
            }
            Held::Garbage(seed) => {
                leases.push((self.job(u16::from(seed)), Fence { epoch: u64::MAX, counter: u64::from(seed) }));
                leases.extend(self.any_lease(seed));
                if let [first, second, ..] = &mut leases[..] {
                    std::mem::swap(&mut first.0, &mut second.0);
                }
            }
        }
        leases
    }

    fn any_lease(&self, number: u8) -> Option<(JobId, Fence)> {
        let at = usize::from(number) % self.leases.len().max(1);
        self.leases.get(at).map(|(_, job, fence)| (*job, *fence))
    }

    /// A lease of the child, or any that there ever was.
    fn lease(&self, child: u32, number: u8) -> Option<(JobId, Fence)> {
        let own = self.model.leases(child);
        if number >= 200 || own.is_empty() {
            return self.any_lease(number);
        }
        own.get(usize::from(number) % own.len()).copied()
    }

    fn finish(&mut self, child: u8, endings: &[Ending], lie: bool) {
        let Some(child) = self.child(child) else { return };
        let wall_ms = self.machine.now.wall_ms;
        let ends = endings.iter().filter_map(|ending| Some((self.lease(child, ending.lease)?, ending)));
        let (good, other): (Vec<_>, Vec<_>) =
            ends.partition(|(_, ending)| matches!(ending.how, How::Succeeded));
        let mut lengths: Vec<usize> = good
            .iter()
            .flat_map(|(_, ending)| [usize::from(ending.result), usize::from(ending.output)])
            .collect();
        lengths.extend(other.iter().map(|(_, ending)| usize::from(ending.output)));
        let blob = endings.iter().position(|ending| ending.blob);
        let mut payloads = self.payloads(&lengths, blob);
        if lie {
            payloads.bytes = [&payloads.bytes[..], b"!"].concat().into();
        }
        let finish = Finish {
            succeeded: good
                .iter()
                .map(|((job, fence), ending)| succeeded(*job, *fence, ending, wall_ms))
                .collect(),
            others: other
                .iter()
                .map(|((job, fence), ending)| other_end(*job, *fence, ending, wall_ms))
                .collect(),
            // Nothing may be said of the last.
            measures: good
                .iter()
                .map(|(_, ending)| measures(ending))
                .take(good.len().saturating_sub(endings.len() % 2))
                .collect(),
        };
        drop(self.command(Command::Finish { child, finish, payloads }));
    }

    fn checkpoint(&mut self, child: u8, lease: u8, length: u32, lie: bool) {
        let Some(child) = self.child(child) else { return };
        let Some((job, fence)) = self.lease(child, lease) else { return };
        let value = bytes(length as usize, self.machine.lsn()).into();
        let checkpoint = Checkpoint { job, fence, length: length + u32::from(lie) };
        drop(self.command(Command::Checkpoint { child, checkpoint, value }));
    }

    fn release(&mut self, child: u8, leases: &[u8]) {
        let Some(child) = self.child(child) else { return };
        let leases = leases.iter().filter_map(|number| self.lease(child, *number)).collect();
        self.command(Command::Release { child, leases }).expect("handing back is never refused");
    }

    fn child_ended(&mut self, child: u8, begun: &[Ending], newest: Option<u8>, unbegun: &[u8]) {
        let Some(child) = self.child(child) else { return };
        let known = self.children.iter().find(|known| known.0 == child);
        let (_, worker, number) = *known.expect("it came from this list");
        let wall_ms = self.machine.now.wall_ms;
        let begun: Vec<_> = begun
            .iter()
            .filter_map(|ending| {
                let (job, fence) = self.lease(child, ending.lease)?;
                Some(other_end(job, fence, ending, wall_ms))
            })
            .collect();
        let fence = |lease| self.lease(child, lease).map(|(_, fence)| fence);
        let newest = newest.and_then(fence);
        let unbegun = unbegun.iter().copied().filter_map(fence).collect();
        let outputs: usize = begun.iter().map(|end| end.output_length as usize).sum();
        let outputs = bytes(outputs, self.machine.lsn()).into();
        let command = Command::ChildEnded { worker, number, begun, newest, unbegun, outputs };
        self.command(command).expect("a death is never refused");
    }

    fn archive(&mut self, count: u8) {
        let count = u32::from(count) % (self.machine.state.unarchived() + 2);
        for slot in self.machine.state.to_archive(0, count as usize) {
            let job = self.machine.state.job_id(slot);
            let finalized_ms =
                self.machine.record_of(job).finalized_at.expect("only finished jobs are archived");
            if let Some(call) = self.call(job) {
                self.archive.insert(job, (finalized_ms, call));
            }
        }
        self.command(Command::Archived { count }).expect("archiving is never refused");
    }

    fn drop_archive(&mut self, number: u8) {
        let times: Vec<u64> = self.archive.values().map(|(finalized_ms, _)| *finalized_ms).collect();
        let Some(finalized_before_ms) = times.get(usize::from(number) % times.len().max(1)).copied() else {
            return;
        };
        self.archive.retain(|_, (finalized_ms, _)| *finalized_ms >= finalized_before_ms);
        self.command(Command::ArchiveDropped { finalized_before_ms }).expect("dropping is never refused");
    }

    fn copy(&mut self, age: u8, files: bool) {
        let below_lsn = self.machine.lsn().saturating_sub(u64::from(age) * 20);
        let files = self.machine.state.cold_files().map(|(file, _)| file).filter(|_| files).collect();
        self.copied = self.machine.copy(&Wanted { below_lsn, files });
    }

    fn move_copies(&mut self, count: u8) {
        let (file, pending) = &mut self.copied;
        let owner = pending.get(usize::from(count)).map(|copied| &copied.payload.owner);
        let rest =
            pending.iter().skip(usize::from(count)).take_while(|copied| Some(&copied.payload.owner) == owner);
        let count = (usize::from(count) + rest.count()).min(pending.len());
        let copied = pending.drain(..count).collect();
        let command = Command::Move { file: *file, copied };
        self.command(command).expect("moving is never refused");
    }

    pub(super) fn cancel_everything(&mut self) {
        for job in self.ids.clone() {
            let turn = Turn { session: 0, place: Place::Next { ack: true } };
            let (session, sequence) = self.turn(turn);
            let told = self.command(Command::Cancel { session, request: Cancel { sequence, job } });
            let state = self.machine.state.slot_of(job).map(|slot| self.machine.state.job_state(slot));
            assert!(state.is_none_or(JobState::is_finished), "{told:?} leaves job {job} {state:?}");
        }
    }
}
