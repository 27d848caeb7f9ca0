//! A short history on a disk that dies at every operation in turn: what left the engine is there afterwards, and
//! nothing is there by half.

use std::sync::Arc;

use bytes::Bytes;
use lineshaft_engine::{ConnectionId, Core, Options, Output, put_snapshot, recover};
use lineshaft_jobs::{Answer, Limits, Now, Payloads, State};
use lineshaft_store::{
    Append, Appended, Error, Home, Journal, JournalHandle, Options as JournalOptions, PayloadRef,
    SegmentJournal,
};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use lineshaft_wire::message::{
    Cancel, Checkpoint, Credit, End, Filter, Finish, Finished, Message, OnFailure, OtherEnd, Rules, Succeeded,
};
use lineshaft_wire::{ErrorRecord, Fence, JobId, JobState, Measures};

use crate::world::{Mailbox, attach_child, attach_worker, enqueue, hello, sequence};

pub(crate) const CLIENT: ConnectionId = ConnectionId(1);
pub(crate) const CHILD: ConnectionId = ConnectionId(2);

/// The engine on a simulated disk, one step at a time.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) journal: SegmentJournal<SimulatedDisk>,
    pub(crate) head: Appended,
    pub(crate) now: Now,
    request: u64,
    left: Left,
}

/// What left the engine: an outside ledger.
#[derive(Default)]
struct Left {
    session: u64,
    /// Answered requests for jobs: number, ids.
    enqueued: Vec<(u64, Vec<JobId>)>,
    leased: Vec<(JobId, Fence)>,
    /// Ends that were acknowledged, and the state that the job must have or have left.
    finished: Vec<(JobId, JobState)>,
    asked_to_finish: Vec<JobId>,
    /// Checkpoints that were acknowledged, and the newest that was asked for: pages of the job.
    checkpointed: u8,
    asked_to_checkpoint: u8,
    /// What came with leases: jobs and lengths.
    resumed: Vec<(JobId, u32)>,
}

pub(crate) fn journal_options() -> JournalOptions {
    JournalOptions {
        segment_bytes_first: 4096,
        segment_bytes_max: 8192,
        background: false,
        seed: 1,
        ..Default::default()
    }
}

fn now_at(logical_ms: u64) -> Now {
    Now { wall_ms: 1_790_000_000_000 + logical_ms, logical_ms, random: 0 }
}

impl World {
    pub(crate) fn open(disk: SimulatedDisk) -> Result<Self, Error> {
        Self::open_with(disk, Limits::default())
    }

    pub(crate) fn open_with(disk: SimulatedDisk, limits: Limits) -> Result<Self, Error> {
        let home = Home::open(disk)?;
        let (mut journal, recovery) = SegmentJournal::open(&home, journal_options())?;
        let recovered = recover(&mut journal, &recovery, limits);
        let state = recovered.expect("what is durable reads").state;
        let now = now_at(state.clock().1);
        let epoch = recovery.epoch + 1;
        let mut core = Core::new(state, recovery.head.lsn, Options::default(), now);
        core.start(epoch, epoch, now);
        let head = recovery.head;
        let mut world = Self { core, journal, head, now, request: 0, left: Left::default() };
        world.commit()?;
        Ok(world)
    }

    /// Time passes on both clocks.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.now = now_at(self.now.logical_ms + milliseconds);
    }

    pub(crate) fn ask(
        &mut self,
        connection: ConnectionId,
        message: Message,
        payload: Bytes,
    ) -> Result<Message, Error> {
        self.request += 1;
        let request = self.request;
        self.core.request(connection, request, message, Payloads::from(payload), self.now);
        let messages = self.commit()?;
        let answer = messages.into_iter().find(|(to, id, _)| (*to, *id) == (connection, request));
        Ok(answer.expect("every request is answered with its commit").2)
    }

    /// Writes the open commit; only if that succeeds, what it lets out counts as having left.
    pub(crate) fn commit(&mut self) -> Result<Vec<(ConnectionId, u64, Message)>, Error> {
        self.now = now_at(self.now.logical_ms + 1);
        self.core.step(self.now);
        let committed = self.core.take_commit();
        if !committed.body.is_empty() {
            let epoch = self.core.state().epoch();
            let append = Append {
                epoch,
                nonce: epoch,
                expected_lsn: self.head.lsn + 1,
                previous_crc: self.head.crc,
                body: &committed.body,
            };
            self.head = self.journal.append(append)?;
        }
        let mut messages = Vec::new();
        for output in committed.outputs {
            if let Output::Message(connection, outgoing) = output {
                self.left.note(&outgoing.message);
                messages.push((connection, outgoing.request_id, outgoing.message));
            }
        }
        Ok(messages)
    }

    /// A history with every kind of change in it.
    fn live(&mut self) -> Result<(), Error> {
        self.core.connected(CLIENT, Mailbox::new());
        self.core.connected(CHILD, Mailbox::new());
        let Message::Welcome(welcome) = self.ask(CLIENT, hello(), Bytes::new())? else {
            panic!("not welcome")
        };
        self.left.session = welcome.session.expect("a session was asked for");
        let mut jobs = Vec::new();
        for (number, arguments) in
            [(1, &[&b"one"[..]][..]), (2, &[b"two", b"three", b"four"]), (3, &[&[9; 3000]])]
        {
            let (message, payload) = handled(enqueue(number, "shop.send", arguments));
            let Message::Enqueued(enqueued) = self.ask(CLIENT, message, payload)? else {
                panic!("not enqueued")
            };
            let ids: Vec<JobId> =
                enqueued.ids.as_chunks::<16>().0.iter().map(|id| JobId::from_bytes(*id).unwrap()).collect();
            self.left.enqueued.push((number, ids.clone()));
            jobs.extend(ids);
        }
        self.ask(CHILD, attach_worker(), Bytes::new())?;
        self.ask(CHILD, attach_child(1, &["shop.send"]), Bytes::new())?;
        self.core.request(CHILD, 0, Credit { leases: 4, reset: false }.into(), Payloads::default(), self.now);
        self.commit()?;
        let leased = self.left.leased.clone();
        self.checkpoint(leased[3], 1)?;
        self.finish(leased[0])?;
        self.checkpoint(leased[3], 2)?;
        self.checkpoint(leased[1], 1)?;
        self.fail(leased[1])?;
        self.give_up(leased[2])?;
        let cancel = Cancel { sequence: sequence(4), job: jobs[4] };
        self.ask(CLIENT, cancel.into(), Bytes::new())?;
        self.left.finished.push((jobs[4], JobState::Cancelled));
        self.snapshot()?;
        self.checkpoint(leased[3], 3)?;
        let again = self.give_back_and_take_again(leased[3])?;
        self.give_up(again)?;
        let (message, payload) = enqueue(5, "shop.send", &[b"after the snapshot"]);
        let Message::Enqueued(enqueued) = self.ask(CLIENT, message, payload)? else { panic!("not enqueued") };
        self.left.enqueued.push((5, vec![JobId::from_bytes(enqueued.ids.as_chunks::<16>().0[0]).unwrap()]));
        self.snapshot()
    }

    /// Runs the job that waits, of a task; it fails.
    pub(crate) fn attempt(&mut self, task: &str) {
        self.core.connected(CHILD, Mailbox::new());
        self.ask(CHILD, attach_worker(), Bytes::new()).unwrap();
        self.ask(CHILD, attach_child(1, &[task]), Bytes::new()).unwrap();
        self.core.request(CHILD, 0, Credit { leases: 1, reset: false }.into(), Payloads::default(), self.now);
        self.commit().unwrap();
        let lease = *self.left.leased.last().expect("one waits");
        self.fail(lease).unwrap();
    }

    pub(crate) fn snapshot(&mut self) -> Result<(), Error> {
        let draft = self.core.begin_snapshot();
        let result = put_snapshot(&self.journal.handle(), self.head, draft);
        self.core.end_snapshot(result.is_ok());
        result.map(drop)
    }

    fn finish(&mut self, (job, fence): (JobId, Fence)) -> Result<(), Error> {
        self.left.asked_to_finish.push(job);
        let end = Succeeded { job, fence, started_at: 1, finished_at: 2, result_length: 6, output_length: 0 };
        let finish = Finish { succeeded: vec![end], ..Finish::default() };
        self.ask(CHILD, finish.into(), Bytes::from_static(b"result"))?;
        self.left.finished.push((job, JobState::Completed));
        Ok(())
    }

    fn checkpoint(&mut self, (job, fence): (JobId, Fence), page: u8) -> Result<(), Error> {
        let is_watched = self.left.leased.get(3) == Some(&(job, fence));
        if is_watched {
            self.left.asked_to_checkpoint = page;
        }
        let value = value_of(page);
        let checkpoint = Checkpoint { job, fence, length: value.len() as u32 };
        let answer = self.ask(CHILD, checkpoint.into(), value)?;
        assert_eq!(answer, Finished::default().into());
        if is_watched {
            self.left.checkpointed = page;
        }
        Ok(())
    }

    /// The next attempt is told from where it goes on.
    fn give_back_and_take_again(&mut self, (job, fence): (JobId, Fence)) -> Result<(JobId, Fence), Error> {
        let end = End::Released;
        let end = OtherEnd {
            job,
            fence,
            started_at: 1,
            finished_at: 2,
            end,
            output_length: 0,
            measures: Measures::default(),
        };
        self.ask(CHILD, Finish { others: vec![end], ..Finish::default() }.into(), Bytes::new())?;
        self.core.request(CHILD, 0, Credit { leases: 1, reset: true }.into(), Payloads::default(), self.now);
        self.commit()?;
        Ok(self.left.leased[4])
    }

    fn fail(&mut self, lease: (JobId, Fence)) -> Result<(), Error> {
        let error = ErrorRecord { message: "no".into(), ..Default::default() };
        self.end(lease, End::Errored { error, retry_after_ms: Some(60_000) }, JobState::Retryable)
    }

    fn give_up(&mut self, lease: (JobId, Fence)) -> Result<(), Error> {
        let end = End::Rejected { reason: "no".into(), error: ErrorRecord::default() };
        self.end(lease, end, JobState::Discarded)
    }

    fn end(&mut self, (job, fence): (JobId, Fence), end: End, state: JobState) -> Result<(), Error> {
        let end = OtherEnd {
            job,
            fence,
            started_at: 1,
            finished_at: 2,
            end,
            output_length: 0,
            measures: Measures::default(),
        };
        self.ask(CHILD, Finish { others: vec![end], ..Finish::default() }.into(), Bytes::new())?;
        self.left.finished.push((job, state));
        Ok(())
    }
}

impl Left {
    fn note(&mut self, message: &Message) {
        if let Message::Leases(leases) = message {
            let fence = |counter| Fence { epoch: leases.epoch, counter };
            self.leased.extend(leases.jobs.iter().map(|lease| (lease.job, fence(lease.counter))));
            let job = |position: u32| leases.jobs[position as usize].job;
            self.resumed.extend(leases.checkpoints.iter().map(|(at, length)| (job(*at), *length)));
        }
    }

    /// Everything that left is in the recovered state.
    fn check(&self, state: &State) {
        for (number, ids) in &self.enqueued {
            for id in ids {
                assert!(state.slot_of(*id).is_some(), "an acknowledged job is gone: {id}");
            }
            let Some(Answer::Enqueued(answer)) = state.answer(self.session, *number) else {
                panic!("the outcome of request {number} is gone");
            };
            let expected: Vec<u8> = ids.iter().flat_map(|id| id.to_bytes()).collect();
            assert_eq!(answer.ids.as_ref(), expected, "a resent request {number} gives other jobs");
        }
        for (job, expected) in &self.finished {
            let slot = state.slot_of(*job).expect("a finished job is kept until it is archived");
            assert_eq!(state.job_state(slot), *expected, "an acknowledged end of {job} is gone");
        }
        for (job, fence) in &self.leased {
            let slot = state.slot_of(*job).expect("a leased job is kept");
            let view = state.view(slot);
            assert!(
                view.record.attempts.iter().any(|attempt| attempt.fence == *fence),
                "lease {fence} left and is gone"
            );
        }
    }
}

/// The same request, its jobs with a handler of their failures.
fn handled((message, payload): (Message, Bytes)) -> (Message, Bytes) {
    let Message::Enqueue(mut request) = message else { panic!("not a request for jobs") };
    let handler = OnFailure {
        task: "shop.tell".into(),
        queue: "mail".into(),
        priority: 5,
        expires_ms: None,
        deadline_ms: None,
        tags: Vec::new(),
        rules: Arc::default(),
        version: 1,
    };
    for group in &mut request.groups {
        group.rules =
            Arc::new(Rules { on_failure: Some(Arc::new(handler.clone())), ..(*group.rules).clone() });
    }
    (request.into(), payload)
}

/// No job gave up without its handler, and none has two.
fn check_handlers(state: &State) {
    let unfinished = state.page(&Filter::default(), 0, usize::MAX).slots;
    let finished = state.finished_page(&Filter::default(), u64::MAX, usize::MAX);
    let jobs: Vec<_> = unfinished.into_iter().chain(finished).map(|slot| state.view(slot).record).collect();
    let mut failed: Vec<JobId> =
        jobs.iter().filter(|job| job.state == JobState::Discarded).map(|job| job.id).collect();
    let mut handled: Vec<JobId> = jobs.iter().filter_map(|job| job.failure_of).collect();
    failed.sort_unstable();
    handled.sort_unstable();
    assert_eq!(handled, failed, "one handler for each job that gave up");
}

/// A checkpoint of a size of its own, so that the wrong one is told from the right one.
fn value_of(page: u8) -> Bytes {
    vec![page; 100 * usize::from(page)].into()
}

/// No request is there by half: jobs come in the numbers in which they were asked for.
fn check_whole(state: &State) {
    let whole = [0, 1, 4, 5, 6, 7, 8];
    assert!(whole.contains(&state.jobs()), "{} jobs: a batch is there by half", state.jobs());
}

/// The job's next attempt goes on from the newest page that was acknowledged, or a later one that was asked for.
fn check_checkpoint(left: &Left, world: &World, what: &str) {
    let Some((job, _)) = left.leased.get(3) else { return };
    let state = world.core.state();
    let place = state.view(state.slot_of(*job).expect("a leased job is kept")).checkpoint;
    let value = world.journal.handle().read(PayloadRef::unpack((place.lsn, place.offset, place.length)));
    let value = value.unwrap_or_else(|error| panic!("{what}: a checkpoint does not read: {error}"));
    let page = value.first().copied().unwrap_or(0);
    assert_eq!(value, value_of(page), "{what}: a checkpoint is there by half");
    let possible = left.checkpointed..=left.asked_to_checkpoint;
    assert!(possible.contains(&page), "{what}: the job goes on from {page}, not from one of {possible:?}");
}

fn run(disk: &SimulatedDisk) -> (Left, Result<(), Error>) {
    match World::open(disk.clone()) {
        Ok(mut world) => {
            let result = world.live();
            (world.left, result)
        }
        Err(error) => (Left::default(), Err(error)),
    }
}

fn check_recovery(left: &Left, disk: SimulatedDisk, what: &str) {
    let world = World::open(disk).unwrap_or_else(|error| panic!("{what}: the home does not open: {error}"));
    left.check(world.core.state());
    check_whole(world.core.state());
    check_handlers(world.core.state());
    check_checkpoint(left, &world, what);
    assert!(
        left.leased.iter().all(|(_, fence)| fence.epoch < world.core.state().epoch()),
        "{what}: an epoch came twice"
    );
}

#[test]
fn whatever_left_survives_a_crash_at_every_operation_of_the_disk() {
    let quiet = SimulatedDisk::new();
    let (left, result) = run(&quiet);
    result.expect("without faults nothing fails");
    assert_eq!((left.enqueued.len(), left.leased.len(), left.checkpointed), (4, 5, 3));
    let again = (left.leased[3].0, value_of(3).len() as u32);
    assert!(left.resumed.contains(&again), "{:?} does not say {again:?}", left.resumed);
    let operations = quiet.operations();
    assert!(operations > 30, "the history is too short to say anything: {operations}");
    for operation in 1..=operations {
        let disk = SimulatedDisk::new();
        disk.crash_at(operation);
        let (left, _) = run(&disk);
        for loss in
            std::iter::once(Loss::Everything).chain((0..8).map(|seed| Loss::Some(seed * 1_000 + operation)))
        {
            check_recovery(&left, disk.power_loss(loss), &format!("crash at {operation} with {loss:?}"));
        }
        check_recovery(&left, disk.restart(), &format!("process died at {operation}"));
    }
}

#[test]
fn whatever_left_survives_a_failed_write_or_sync() {
    let quiet = SimulatedDisk::new();
    run(&quiet).1.expect("without faults nothing fails");
    for operation in 1..=quiet.operations() {
        let disk = SimulatedDisk::new();
        disk.fail_at(operation);
        let (left, _) = run(&disk);
        check_recovery(&left, disk.power_loss(Loss::Some(operation)), &format!("error at {operation}"));
        check_recovery(&left, disk.restart(), &format!("error at {operation}, no power loss"));
    }
}

#[test]
fn recovery_twice_gives_the_same_state() {
    let disk = SimulatedDisk::new();
    let (left, _) = run(&disk);
    let snapshots: Vec<_> = (0..2)
        .map(|_| {
            let home = Home::open(disk.power_loss(Loss::Everything)).unwrap();
            let (mut journal, recovery) = SegmentJournal::open(&home, journal_options()).unwrap();
            let state = recover(&mut journal, &recovery, Limits::default()).unwrap().state;
            left.check(&state);
            state.snapshot()
        })
        .collect();
    assert_eq!(snapshots[0], snapshots[1]);
}
