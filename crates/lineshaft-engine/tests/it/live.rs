//! The engine with its threads on a real disk.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_engine::{ConnectionId, Handle, Payload, open};
use lineshaft_ipc::process::ProcessId;
use lineshaft_wire::message::{
    AttachChild, AttachWorker, Cancel, ChildEnded, Credit, Delete, End, Fetch, Filter, Finish, List, Message,
    OtherEnd, PayloadKind, ProcessKey, RefusalCode, Retry, Show, Status, Succeeded, Wait,
};
use lineshaft_wire::{ErrorRecord, Fence, JobId, JobRecord, JobState, Measures, Outcome};

use crate::world::{Mailbox, attach_child, attach_worker, enqueue, hello, long_leases, sequence};

/// A client of a running engine.
pub(crate) struct Client {
    pub(crate) engine: Handle,
    pub(crate) connection: ConnectionId,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) requests: u64,
    pub(crate) sequences: u64,
}

impl Client {
    pub(crate) fn connect(engine: &Handle) -> Self {
        let mailbox = Mailbox::new();
        let connection = engine.connect(mailbox.clone());
        let mut client = Self { engine: engine.clone(), connection, mailbox, requests: 0, sequences: 0 };
        assert!(matches!(client.ask(hello()), Message::Welcome(_)));
        client
    }

    pub(crate) fn send(&mut self, message: impl Into<Message>, payload: Bytes) -> u64 {
        self.requests += 1;
        self.engine.request(self.connection, self.requests, message.into(), payload);
        self.requests
    }

    pub(crate) fn ask(&mut self, message: impl Into<Message>) -> Message {
        let request = self.send(message, Bytes::new());
        self.mailbox.answer(request)
    }

    pub(crate) fn enqueue(&mut self, arguments: &[&[u8]]) -> Vec<JobId> {
        self.sequences += 1;
        let (message, payload) = enqueue(self.sequences, "shop.send", arguments);
        let request = self.send(message, payload);
        let Message::Enqueued(enqueued) = self.mailbox.answer(request) else { panic!("not enqueued") };
        enqueued.ids.as_chunks::<16>().0.iter().map(|id| JobId::from_bytes(*id).unwrap()).collect()
    }

    /// Asks for jobs without waiting for the answer.
    pub(crate) fn send_enqueue(&mut self, arguments: &[&[u8]]) -> u64 {
        self.sequences += 1;
        let (message, payload) = enqueue(self.sequences, "shop.send", arguments);
        self.send(message, payload)
    }

    pub(crate) fn next_sequence(&mut self) -> lineshaft_wire::message::Sequence {
        self.sequences += 1;
        lineshaft_wire::message::Sequence { lowest: self.sequences, ..sequence(self.sequences) }
    }

    /// The next leased job: id, fence, arguments.
    pub(crate) fn leased(&self) -> (JobId, Fence, Bytes) {
        let (leases, payloads) = self.mailbox.take(|outgoing| match &outgoing.message {
            Message::Leases(leases) => Some((leases.clone(), outgoing.payloads.clone())),
            _ => None,
        });
        assert_eq!(leases.jobs.len(), 1, "a credit of one gets one job");
        let lease = leases.jobs[0];
        (lease.job, Fence { epoch: leases.epoch, counter: lease.counter }, self.bytes(&payloads[0]))
    }

    pub(crate) fn bytes(&self, payload: &Payload) -> Bytes {
        match payload {
            Payload::Bytes(bytes) => bytes.clone(),
            Payload::Stored(reference) => self.engine.payloads().read(reference).unwrap(),
        }
    }

    pub(crate) fn credit(&mut self) {
        let credit = Credit { leases: 1, reset: false };
        self.engine.request(self.connection, 0, credit.into(), Bytes::new());
    }

    pub(crate) fn succeed(&mut self, job: JobId, fence: Fence, result: &'static [u8]) {
        let end = Succeeded {
            job,
            fence,
            started_at: 1,
            finished_at: 2,
            result_length: result.len() as u64,
            output_length: 0,
        };
        let finish = Finish { succeeded: vec![end], ..Finish::default() };
        let request = self.send(finish, Bytes::from_static(result));
        let Message::Finished(finished) = self.mailbox.answer(request) else { panic!("not finished") };
        assert_eq!(finished.refused, []);
    }

    pub(crate) fn fail(&mut self, job: JobId, fence: Fence, end: End) {
        let end = OtherEnd {
            job,
            fence,
            started_at: 1,
            finished_at: 2,
            end,
            output_length: 7,
            measures: Measures::default(),
        };
        let finish = Finish { others: vec![end], ..Finish::default() };
        let request = self.send(finish, Bytes::from_static(b"printed"));
        assert!(matches!(self.mailbox.answer(request), Message::Finished(_)));
    }

    pub(crate) fn show(&mut self, job: JobId) -> JobRecord {
        match self.ask(Show { job }) {
            Message::Shown(shown) => shown.record,
            other => panic!("{other:?}"),
        }
    }

    fn list(&mut self, states: &[JobState]) -> Vec<JobId> {
        let filter = Filter { states: states.to_vec(), ..Filter::default() };
        self.records(filter, 2).iter().map(|job| job.id).collect()
    }

    /// All jobs that pass, in pages of at most so many: one may be short, where looking took its time.
    pub(crate) fn records(&mut self, filter: Filter, limit: u32) -> Vec<JobRecord> {
        let mut list = List { filter, cursor: None, limit };
        let mut records = Vec::new();
        loop {
            let Message::Page(page) = self.ask(list.clone()) else { panic!("no page") };
            records.extend(page.jobs);
            list.cursor = page.cursor;
            if list.cursor.is_none() {
                return records;
            }
        }
    }
}

fn start(home: &Path) -> Handle {
    open(home, long_leases()).unwrap().0
}

pub(crate) fn stop(engine: &Handle) {
    engine.stop();
    engine.join().unwrap();
}

pub(crate) fn worker(engine: &Handle) -> Client {
    let mut worker = Client::connect(engine);
    assert!(matches!(worker.ask(attach_worker()), Message::WorkerAttached(_)));
    assert!(matches!(worker.ask(attach_child(1, &["shop.send"])), Message::ChildAttached(_)));
    worker
}

#[test]
fn a_job_goes_through_and_its_result_comes_back_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b"arguments"])[0];
    let wait = client.send(Wait { ids: job.to_bytes().to_vec().into(), results: true }, Bytes::new());
    let mut worker = worker(&engine);
    worker.credit();
    let (leased, fence, arguments) = worker.leased();
    assert_eq!((leased, &arguments[..]), (job, &b"arguments"[..]));
    worker.succeed(job, fence, b"result");
    let Message::Ended(ended) = client.mailbox.answer(wait) else { panic!("not ended") };
    assert_eq!((ended.completed, ended.last), (vec![(job, 6)], true));
    stop(&engine);

    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let record = client.show(job);
    assert_eq!((record.state, record.attempts.len()), (JobState::Completed, 1));
    let request = client.send(Fetch { job, payload: PayloadKind::Result }, Bytes::new());
    let payload = client.mailbox.take(|it| (it.request_id == request).then(|| it.payloads[0].clone()));
    assert_eq!(client.bytes(&payload), "result");
    stop(&engine);
}

#[test]
fn a_failed_attempt_is_kept_with_its_error_and_output_and_the_job_runs_again() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b""])[0];
    let mut worker = worker(&engine);
    worker.credit();
    let (_, fence, _) = worker.leased();
    let error =
        ErrorRecord { types: vec!["builtins.ValueError".into()], message: "no".into(), ..Default::default() };
    worker.fail(job, fence, End::Errored { error: error.clone(), retry_after_ms: Some(0) });
    worker.credit();
    let (again, second, _) = worker.leased();
    assert!(again == job && second > fence);
    let record = client.show(job);
    assert_eq!((record.attempt, record.state), (1, JobState::Running));
    assert_eq!(record.attempts[0].error, Some(error));
    assert_eq!(record.attempts[0].output, b"printed");
    assert_eq!(record.attempts[0].outcome, Some(Outcome::Errored));
    stop(&engine);
}

#[test]
fn finished_jobs_can_be_retried_deleted_and_found_before_and_after_the_archive_has_them() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    // More than a block, so that some are archived and some are not.
    let arguments: Vec<&[u8]> = vec![b"x"; 1_200];
    let jobs = client.enqueue(&arguments);
    for job in &jobs {
        let sequence = client.next_sequence();
        client.send(Cancel { sequence, job: *job }, Bytes::new());
    }
    let last = client.requests;
    client.mailbox.answer(last);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let Message::StatusReport(report) = client.ask(Status {}) else { panic!("no status") };
        if report.archived == 1_000 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "a full block is archived at once: {report:?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for job in [jobs[0], jobs[1_100]] {
        assert_eq!(client.show(job).reason.as_deref(), Some("cancelled"));
        let sequence = client.next_sequence();
        let Message::Enqueued(again) = client.ask(Retry { sequence, job }) else { panic!("not retried") };
        let again = JobId::from_bytes(again.ids.as_chunks::<16>().0[0]).unwrap();
        let record = client.show(again);
        assert_eq!(
            (record.retry_of, record.state, record.arguments_bytes),
            (Some(job), JobState::Available, 1)
        );

        let sequence = client.next_sequence();
        assert!(matches!(client.ask(Delete { sequence, job }), Message::Changed(_)));
        let Message::Refused(refused) = client.ask(Show { job }) else { panic!("still there") };
        assert_eq!(refused.code, RefusalCode::JobNotFound);
    }
    let finished = client.list(&[JobState::Cancelled]);
    let mut expected: Vec<JobId> =
        jobs.iter().copied().filter(|job| ![jobs[0], jobs[1_100]].contains(job)).collect();
    expected.reverse();
    assert_eq!(finished, expected, "newest first, the deleted ones left out");
    assert_eq!(client.list(&[JobState::Available]).len(), 2);
    stop(&engine);
}

#[test]
fn a_large_payload_is_a_blob_that_stays_until_the_archive_has_its_job() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let large = vec![7u8; 3 << 20];
    let job = client.enqueue(&[&large])[0];
    let blobs = || std::fs::read_dir(home.path().join("blob")).unwrap().count();
    assert_eq!(blobs(), 1);
    let mut worker = worker(&engine);
    worker.credit();
    let (_, fence, arguments) = worker.leased();
    assert_eq!(arguments, large);
    worker.succeed(job, fence, b"");
    stop(&engine);
    let engine = start(home.path());
    assert_eq!(blobs(), 1, "the archive has not taken the job yet");
    stop(&engine);
}

#[test]
fn a_second_engine_in_one_home_is_refused_with_the_first_ones_pid() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let Err(error) = open(home.path(), long_leases()) else { panic!("two engines in one home") };
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    stop(&engine);
}

#[test]
fn a_dead_child_without_a_supervisor_gives_its_jobs_back_as_lost() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b""])[0];
    let mut worker = worker(&engine);
    worker.credit();
    let (_, first, _) = worker.leased();
    engine.disconnect(worker.connection);
    engine.process_died(crate::world::process());
    let mut other = Client::connect(&engine);
    assert!(matches!(other.ask(attach_worker()), Message::WorkerAttached(_)));
    assert!(matches!(other.ask(attach_child(2, &["shop.send"])), Message::ChildAttached(_)));
    other.credit();
    let (again, second, _) = other.leased();
    assert!(again == job && second > first);
    assert_eq!(client.show(job).attempts[0].outcome, Some(Outcome::Lost));
    stop(&engine);
}

/// A supervisor that ended thousands of attempts, or waited for what a child had started, came too late with its word:
/// the attempts were lost, which counts against nothing, instead of crashed.
#[test]
fn the_word_of_a_connected_supervisor_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b""])[0];
    let (mut supervisor, mut child) = supervised(&engine);
    child.credit();
    let (_, fence, _) = child.leased();
    engine.disconnect(child.connection);
    engine.process_died(crate::world::process());
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(client.show(job).attempts[0].outcome, None);
    let end = End::Crashed { error: ErrorRecord::default() };
    let begun = OtherEnd {
        job,
        fence,
        started_at: 1,
        finished_at: 2,
        end,
        output_length: 0,
        measures: Measures::default(),
    };
    supervisor.ask(ChildEnded { child: 1, begun: vec![begun], newest: Some(fence), ..ChildEnded::default() });
    assert_eq!(client.show(job).attempts[0].outcome, Some(Outcome::Crashed));
    stop(&engine);
}

/// A supervisor, in a process of its own, and its child.
fn supervised(engine: &Handle) -> (Client, Client) {
    let mut supervisor = Client::connect(engine);
    let attach = AttachWorker {
        name: "host:3".into(),
        process: SUPERVISOR,
        nonce: 7,
        processes: 1,
        attach: 0,
        schema: None,
    };
    assert!(matches!(supervisor.ask(attach), Message::WorkerAttached(_)));
    let mut child = Client::connect(engine);
    assert!(matches!(child.ask(attach_child(1, &["shop.send"])), Message::ChildAttached(_)));
    (supervisor, child)
}

const SUPERVISOR: ProcessKey = ProcessKey { pid: 3, start_time: 1 };

/// Killed together with its children, it was waited for all the same, a second long.
#[test]
fn a_supervisor_that_is_dead_too_is_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b""])[0];
    let (supervisor, mut child) = supervised(&engine);
    child.credit();
    child.leased();
    engine.disconnect(child.connection);
    engine.process_died(crate::world::process());
    assert_eq!(client.show(job).attempts[0].outcome, None, "its supervisor may say how");
    engine.disconnect(supervisor.connection);
    engine.process_died(SUPERVISOR);
    // The turn that brings this question ends the attempt, or one before it did; the next one sees it.
    client.show(job);
    assert_eq!(client.show(job).attempts[0].outcome, Some(Outcome::Lost));
    stop(&engine);
}

/// Of several workers in one process, one alone gave its jobs back when that died.
#[test]
fn all_children_of_a_dead_process_give_their_jobs_back() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let jobs = client.enqueue(&[b"", b""]);
    let mut children = [1, 2].map(|number| {
        let mut child = Client::connect(&engine);
        assert!(matches!(child.ask(attach_child(number, &["shop.send"])), Message::ChildAttached(_)));
        child
    });
    for child in &mut children {
        child.credit();
        child.leased();
        engine.disconnect(child.connection);
    }
    engine.process_died(crate::world::process());
    // Workers have two seconds to come back after a start.
    let died = Instant::now();
    while jobs.iter().any(|job| client.show(*job).attempts[0].outcome.is_none()) {
        assert!(died.elapsed() < Duration::from_secs(10), "a lease ran out instead");
        std::thread::sleep(Duration::from_millis(20));
    }
    let outcomes: Vec<_> = jobs.into_iter().map(|job| client.show(job).attempts[0].outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Lost); 2]);
    stop(&engine);
}

#[test]
fn a_supervisor_that_goes_after_its_child_is_not_waited_for_as_long() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b""])[0];
    let (supervisor, mut child) = supervised(&engine);
    child.credit();
    child.leased();
    engine.process_died(crate::world::process());
    let died = Instant::now();
    engine.disconnect(child.connection);
    engine.disconnect(supervisor.connection);
    while client.show(job).attempts[0].outcome.is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.show(job).attempts[0].outcome, Some(Outcome::Lost));
    assert!(
        died.elapsed() < Duration::from_millis(4_500),
        "{:?}, where a present one has 5 s",
        died.elapsed()
    );
    stop(&engine);
}

/// Between a start and their return nobody watches children: that one died then was noticed when its lease ended.
#[test]
fn a_child_that_dies_between_a_restart_and_its_return_gives_its_jobs_back_at_once() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let job = Client::connect(&engine).enqueue(&[b""])[0];
    let mut process = Command::new("sleep").arg("100").spawn().unwrap();
    let ProcessId { pid, start_time } = ProcessId::of(process.id()).unwrap();
    let Message::AttachChild(attach) = attach_child(1, &["shop.send"]) else { panic!("another message") };
    let mut child = Client::connect(&engine);
    child.ask(AttachChild { process: ProcessKey { pid, start_time }, ..attach });
    child.credit();
    assert_eq!(child.leased().0, job);
    stop(&engine);

    let engine = start(home.path());
    let mut other = Client::connect(&engine);
    assert!(matches!(other.ask(attach_worker()), Message::WorkerAttached(_)));
    assert!(matches!(other.ask(attach_child(2, &["shop.send"])), Message::ChildAttached(_)));
    other.credit();
    process.kill().and_then(|()| process.wait()).unwrap();
    let killed = Instant::now();
    assert_eq!(other.leased().0, job);
    assert!(killed.elapsed() < Duration::from_secs(12), "{:?}, where a lease is 15 s", killed.elapsed());
    stop(&engine);
}

/// One large argument used to switch the limit off, and a commit beyond its maximum ended the engine.
#[test]
fn a_request_larger_than_a_commit_is_refused_and_the_engine_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let (large, small) = (vec![1u8; 2 << 20], vec![2u8; 1 << 20]);
    let mut arguments: Vec<&[u8]> = vec![&small; 60];
    arguments.push(&large);
    client.sequences += 1;
    let (message, payload) = enqueue(client.sequences, "shop.send", &arguments);
    let request = client.send(message, payload);
    let Message::Refused(refused) = client.mailbox.answer(request) else { panic!("not refused") };
    assert_eq!(refused.code, RefusalCode::TooLarge);
    assert_eq!(client.enqueue(&[&large, &small]).len(), 2);
    stop(&engine);
}

#[test]
fn a_connection_attaches_one_child() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut worker = worker(&engine);
    let Message::Refused(refused) = worker.ask(attach_child(2, &["shop.send"])) else {
        panic!("not refused")
    };
    assert_eq!(refused.code, RefusalCode::BadRequest);
    stop(&engine);
}

/// What was sent over a connection that a child gave up may be read after it attached over the next one: it was taken for
/// the newest, and a job that ran was given to others.
#[test]
fn an_attach_that_is_read_late_does_not_give_away_what_runs() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let job = Client::connect(&engine).enqueue(&[b""])[0];
    let Message::AttachChild(first) = attach_child(1, &["shop.send"]) else { panic!("another message") };
    let (mut given_up, mut child) = (Client::connect(&engine), Client::connect(&engine));
    let attached = child.ask(AttachChild { attach: 2, ..first.clone() });
    assert!(matches!(attached, Message::ChildAttached(_)), "{attached:?}");
    child.credit();
    let (leased, fence, _) = child.leased();
    let mut refused = |message: Message| {
        let Message::Refused(refused) = given_up.ask(message) else { panic!("it is not refused") };
        assert_eq!(refused.code, RefusalCode::WrongState, "{}", refused.message);
    };
    refused(AttachChild { attach: 1, ..first.clone() }.into());
    // Nor while the child has no connection.
    engine.disconnect(child.connection);
    refused(AttachChild { attach: 1, ..first.clone() }.into());
    let mut child = Client::connect(&engine);
    let Message::ChildAttached(attached) =
        child.ask(AttachChild { attach: 3, held: vec![(leased, fence)], ..first })
    else {
        panic!("it is not attached")
    };
    assert_eq!(attached.stale, []);
    child.succeed(job, fence, b"done");
    stop(&engine);
}

/// The same of a supervisor: it was forgotten when its old connection ended, though it had a new one.
#[test]
fn a_supervisor_is_known_though_an_attach_of_it_is_read_late() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let Message::AttachWorker(attach) = attach_worker() else { panic!("another message") };
    let (mut given_up, mut supervisor) = (Client::connect(&engine), Client::connect(&engine));
    let attached = supervisor.ask(AttachWorker { attach: 2, ..attach.clone() });
    assert!(matches!(attached, Message::WorkerAttached(_)), "{attached:?}");
    assert!(matches!(given_up.ask(AttachWorker { attach: 1, ..attach }), Message::Refused(_)));
    engine.disconnect(given_up.connection);
    let Message::StatusReport(status) = supervisor.ask(Status {}) else { panic!("no status") };
    assert_eq!(status.workers.len(), 1);
    stop(&engine);
}
