//! Backups of an engine that works, and the homes that are made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_engine::backup::{Restored, check};
use lineshaft_engine::inspect::verify;
use lineshaft_engine::{ConnectionId, Error, Handle, open};
use lineshaft_store::backup::{Facts, Manifest, take};
use lineshaft_store::{Appended, Error as StoreError, FileDisk, JournalEnd};
use lineshaft_wire::code;
use lineshaft_wire::message::{
    AttachChild, Credit, FilesHeld, Finish, HoldFiles, KeepFiles, Message, RefusalCode, Show, Status,
    Succeeded,
};
use lineshaft_wire::{Fence, JobId, JobState, Outcome};

use crate::world::{Mailbox, attach_child, attach_worker, enqueue, hello, long_leases};

const NOW_MS: u64 = 1_790_000_000_000;
/// Jobs that wait while there is load: enough to keep everybody busy.
const BACKLOG: usize = 1_000;

struct Client {
    engine: Handle,
    connection: ConnectionId,
    mailbox: Arc<Mailbox>,
    requests: u64,
    sequences: u64,
    session: u64,
}

impl Client {
    fn connect(engine: &Handle) -> Self {
        let mailbox = Mailbox::new();
        let connection = engine.connect(mailbox.clone());
        let mut client =
            Self { engine: engine.clone(), connection, mailbox, requests: 0, sequences: 0, session: 0 };
        let Message::Welcome(welcome) = client.ask(hello()) else { panic!("not welcome") };
        client.session = welcome.session.unwrap();
        client
    }

    fn send(&mut self, message: impl Into<Message>, payload: Bytes) -> u64 {
        self.requests += 1;
        self.engine.request(self.connection, self.requests, message.into(), payload);
        self.requests
    }

    fn ask(&mut self, message: impl Into<Message>) -> Message {
        let request = self.send(message, Bytes::new());
        self.mailbox.answer(request)
    }

    fn enqueue(&mut self, arguments: &[&[u8]]) -> Vec<JobId> {
        self.sequences += 1;
        let (message, payload) = enqueue(self.sequences, "shop.send", arguments);
        let request = self.send(message, payload);
        match self.mailbox.answer(request) {
            Message::Enqueued(enqueued) => {
                enqueued.ids.as_chunks::<16>().0.iter().map(|id| JobId::from_bytes(*id).unwrap()).collect()
            }
            other => panic!("not enqueued: {other:?}"),
        }
    }

    /// The newest commit.
    fn lsn(&mut self) -> u64 {
        let Message::StatusReport(report) = self.ask(Status {}) else { panic!("no status") };
        report.durable_lsn
    }

    fn backups(&mut self) -> u32 {
        let Message::StatusReport(report) = self.ask(Status {}) else { panic!("no status") };
        report.backups
    }

    fn state(&mut self, job: JobId) -> Option<JobState> {
        match self.ask(Show { job }) {
            Message::Shown(shown) => Some(shown.record.state),
            Message::Refused(refused) if refused.code == RefusalCode::JobNotFound => None,
            other => panic!("{other:?}"),
        }
    }

    fn child(engine: &Handle, number: u32, credit: u32) -> Self {
        let mut child = Self::connect(engine);
        child.ask(attach_worker());
        child.ask(attach_child(number, &["shop.send"]));
        child.credit(credit);
        child
    }

    fn credit(&mut self, leases: u32) {
        let credit = Credit { leases, reset: false };
        self.engine.request(self.connection, 0, credit.into(), Bytes::new());
    }

    /// The next leases, in the order in which they came.
    fn leased(&self) -> Vec<(JobId, Fence)> {
        let leases = self.mailbox.take(|outgoing| match &outgoing.message {
            Message::Leases(leases) => Some(leases.clone()),
            _ => None,
        });
        let fence = |counter| Fence { epoch: leases.epoch, counter };
        leases.jobs.iter().map(|lease| (lease.job, fence(lease.counter))).collect()
    }

    /// Ends that were refused.
    fn succeed(&mut self, leases: &[(JobId, Fence)]) -> Vec<(JobId, Fence)> {
        let end = |&(job, fence): &(JobId, Fence)| Succeeded {
            job,
            fence,
            started_at: 1,
            finished_at: 2,
            result_length: 2,
            output_length: 0,
        };
        let succeeded: Vec<Succeeded> = leases.iter().map(end).collect();
        let payload = Bytes::from(vec![7; 2 * succeeded.len()]);
        let request = self.send(Finish { succeeded, ..Finish::default() }, payload);
        let Message::Finished(finished) = self.mailbox.answer(request) else { panic!("not finished") };
        finished.refused
    }
}

fn start(home: &Path) -> Handle {
    open(home, long_leases()).unwrap().0
}

fn stop(engine: &Handle) {
    engine.stop();
    engine.join().unwrap();
}

/// Backs the home of a running engine up, as a client does.
fn back_up(engine: &Handle, home: &Path, backup: &Path) -> Manifest {
    let mut client = Client::connect(engine);
    let Message::FilesHeld(held) = client.ask(HoldFiles {}) else { panic!("not held") };
    let FilesHeld { lsn, crc, first_segment, last_segment, last_segment_bytes } = held;
    let end = JournalEnd { newest: Appended { lsn, crc }, first_segment, last_segment, last_segment_bytes };
    let facts = Facts { version: "test".into(), created_ms: NOW_MS, logs: true };
    assert_eq!(client.backups(), 1);
    let manifest = take(&FileDisk::new(home), &FileDisk::new(backup), end, facts, &mut ()).unwrap();
    assert!(matches!(client.ask(KeepFiles { lsn, done: true }), Message::Done(_)));
    assert_eq!(client.backups(), 0);
    client.engine.disconnect(client.connection);
    manifest
}

fn restored(backup: &Path, home: &Path, until_lsn: Option<u64>) -> Restored {
    let checked = check(FileDisk::new(backup), until_lsn, &mut ()).unwrap();
    checked.restore(FileDisk::new(home), NOW_MS, &mut ()).unwrap()
}

/// What producers and workers were told, and when.
#[derive(Default)]
struct Ledger {
    enqueued: BTreeSet<JobId>,
    finished: BTreeSet<JobId>,
}

/// Enqueues and runs jobs until told to stop.
fn work(engine: &Handle, ledger: &Arc<Mutex<Ledger>>, stop: &Arc<AtomicBool>) -> Vec<thread::JoinHandle<()>> {
    let spawn = |body: fn(Handle, u32, &Mutex<Ledger>, &AtomicBool), number: u32| {
        let (engine, ledger, stop) = (engine.clone(), Arc::clone(ledger), Arc::clone(stop));
        thread::spawn(move || body(engine, number, &ledger, &stop))
    };
    let producers = (0..3).map(|number| spawn(produce, number));
    let workers = (1..=2).map(|number| spawn(run, number));
    producers.chain(workers).collect()
}

fn produce(engine: Handle, _number: u32, ledger: &Mutex<Ledger>, stop: &AtomicBool) {
    let mut client = Client::connect(&engine);
    while !stop.load(Ordering::Relaxed) {
        let jobs = client.enqueue(&[&b"some arguments"[..]; 50]);
        let mut ledger = ledger.lock().unwrap();
        ledger.enqueued.extend(jobs);
        let waiting = ledger.enqueued.len() - ledger.finished.len();
        drop(ledger);
        if waiting > BACKLOG {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn run(engine: Handle, number: u32, ledger: &Mutex<Ledger>, stop: &AtomicBool) {
    let mut child = Client::child(&engine, number, 40);
    while !stop.load(Ordering::Relaxed) {
        let leases = child.leased();
        assert_eq!(child.succeed(&leases), []);
        ledger.lock().unwrap().finished.extend(leases.iter().map(|lease| lease.0));
        child.credit(leases.len() as u32);
    }
}

/// Every job that was acknowledged before the backup began is there once, and none that had finished runs again.
#[test]
fn a_backup_under_full_load_loses_nothing_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let [home, backup, again] = ["home", "backup", "again"].map(|name| directory.path().join(name));
    let engine = start(&home);
    let (ledger, over) = (Arc::new(Mutex::new(Ledger::default())), Arc::new(AtomicBool::new(false)));
    let threads = work(&engine, &ledger, &over);
    let deadline = Instant::now() + Duration::from_secs(60);
    while ledger.lock().unwrap().finished.len() < 3_000 {
        assert!(Instant::now() < deadline, "the load does not run");
        thread::sleep(Duration::from_millis(10));
    }
    let (enqueued, finished) = {
        let ledger = ledger.lock().unwrap();
        (ledger.enqueued.clone(), ledger.finished.clone())
    };
    let manifest = back_up(&engine, &home, &backup);
    over.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    stop(&engine);

    let restored = restored(&backup, &again, None);
    assert_eq!(restored.lsn, manifest.lsn);
    let engine = start(&again);
    let mut client = Client::connect(&engine);
    for job in &enqueued {
        let state = client.state(*job).unwrap_or_else(|| panic!("an acknowledged job is gone: {job}"));
        assert_ne!(state, JobState::Running, "nothing runs yet");
        assert!(!finished.contains(job) || state == JobState::Completed, "{job} is {state}");
    }
    let mut left = restored.unfinished;
    let mut child = Client::child(&engine, 1, 1_000);
    let mut ran = BTreeSet::new();
    while left > 0 {
        let leases = child.leased();
        assert_eq!(child.succeed(&leases), []);
        left -= leases.len() as u64;
        for (job, _) in &leases {
            assert!(ran.insert(*job), "{job} ran twice");
            assert!(!finished.contains(job), "{job} had finished and ran again");
        }
        child.credit(leases.len() as u32);
    }
    for job in enqueued {
        assert_eq!(client.state(job), Some(JobState::Completed));
    }
    stop(&engine);
}

#[test]
fn a_restore_to_a_commit_has_what_was_acknowledged_by_then_and_nothing_later() {
    let directory = tempfile::tempdir().unwrap();
    let (home, backup) = (directory.path().join("home"), directory.path().join("backup"));
    let engine = start(&home);
    let mut client = Client::connect(&engine);
    let mut by_lsn = BTreeMap::new();
    for round in 0..12u8 {
        let jobs = client.enqueue(&[&[round; 700], &[round; 5]]);
        by_lsn.insert(client.lsn(), jobs);
    }
    back_up(&engine, &home, &backup);
    stop(&engine);
    for (lsn, _) in by_lsn.iter().step_by(3) {
        let again = directory.path().join(format!("again-{lsn}"));
        let restored = restored(&backup, &again, Some(*lsn));
        assert_eq!(restored.lsn, *lsn);
        let engine = start(&again);
        let mut client = Client::connect(&engine);
        for (enqueued_at, jobs) in &by_lsn {
            for job in jobs {
                let expected = (enqueued_at <= lsn).then_some(JobState::Available);
                assert_eq!(client.state(*job), expected, "restored to {lsn}, enqueued at {enqueued_at}");
            }
        }
        stop(&engine);
    }
}

/// Clients and workers of the history that went on without the backup are still there, and know the home by its path.
///
/// The end of an attempt that the restore had given up for lost was confirmed, as if its result were kept.
#[test]
fn nobody_of_the_past_takes_part_in_the_restored_history() {
    let directory = tempfile::tempdir().unwrap();
    let [home, backup, again] = ["home", "backup", "again"].map(|name| directory.path().join(name));
    let engine = start(&home);
    let mut client = Client::connect(&engine);
    let jobs = client.enqueue(&[b"runs", b"waits"]);
    let child = Client::child(&engine, 1, 1);
    let lease = child.leased()[0];
    back_up(&engine, &home, &backup);
    // The old history goes on: another session, other requests.
    let mut later = Client::connect(&engine);
    later.enqueue(&[b"later"]);
    stop(&engine);

    let restored = restored(&backup, &again, None);
    assert_eq!((restored.lost, restored.unfinished), (1, 2));
    assert!(restored.epoch > lease.1.epoch + 1_000, "above all that the past can have had");
    let engine = start(&again);
    let mut looker = Client::connect(&engine);
    for (session, number) in [(client.session, 2), (later.session, 1), (later.session, 2)] {
        let mut past = Client::connect(&engine);
        let Message::Hello(again) = hello() else { unreachable!() };
        let Message::Welcome(welcome) =
            past.ask(lineshaft_wire::message::Hello { session: Some(session), ..again })
        else {
            panic!("not welcome")
        };
        assert_ne!(
            welcome.session,
            Some(session),
            "request {number}: the client learns that its session is over"
        );
        assert!(welcome.session > Some(later.session));
        assert!(welcome.epoch > restored.epoch);
    }
    let mut worker = Client::connect(&engine);
    worker.ask(attach_worker());
    let Message::AttachChild(attach) = attach_child(1, &["shop.send"]) else { unreachable!() };
    let Message::ChildAttached(attached) = worker.ask(AttachChild { held: vec![lease], ..attach }) else {
        panic!("not attached")
    };
    assert_eq!(attached.stale, [lease.1], "the worker learns that its lease is over");
    assert_eq!(worker.succeed(&[lease]), [lease], "its end is refused");
    assert_eq!(looker.state(jobs[0]), Some(JobState::Available), "and what it did does not count");
    let Message::Shown(shown) = looker.ask(Show { job: jobs[0] }) else { panic!("no record") };
    assert_eq!(shown.record.attempts[0].outcome, Some(Outcome::Lost));
    stop(&engine);
}

/// The archive has jobs that finished after the commit: they are there again, unfinished, once.
#[test]
fn an_archive_ahead_of_the_commit_loses_what_is_beyond() {
    let directory = tempfile::tempdir().unwrap();
    let [home, backup, again] = ["home", "backup", "again"].map(|name| directory.path().join(name));
    let engine = start(&home);
    let mut client = Client::connect(&engine);
    let first = client.enqueue(&[&b"first"[..]; 1_000]);
    let mut child = Client::child(&engine, 1, 1_000);
    finish_all(&mut child, 1_000);
    wait_for_archive(&mut client, 1_000);
    let second = client.enqueue(&[&b"second"[..]; 1_000]);
    let lsn = client.lsn();
    child.credit(1_000);
    finish_all(&mut child, 1_000);
    wait_for_archive(&mut client, 2_000);
    back_up(&engine, &home, &backup);
    stop(&engine);

    let restored = restored(&backup, &again, Some(lsn));
    assert_eq!((restored.archived, restored.dropped.jobs, restored.unfinished), (1_000, 1_000, 1_000));
    let engine = start(&again);
    let mut client = Client::connect(&engine);
    assert!(first.iter().step_by(99).all(|job| client.state(*job) == Some(JobState::Completed)));
    assert!(second.iter().step_by(99).all(|job| client.state(*job) == Some(JobState::Available)));
    let mut child = Client::child(&engine, 1, 2_000);
    let ran = finish_all(&mut child, 1_000);
    assert_eq!(ran, second.into_iter().collect());
    stop(&engine);
}

/// Somebody put an earlier journal back beside the history: a start goes by the journal, and `verify`, which had not a
/// word about it, says so before.
#[test]
fn an_archive_ahead_of_the_journal_is_said_and_goes_back_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (home, earlier) = (directory.path().join("home"), directory.path().join("earlier"));
    let engine = start(&home);
    let mut client = Client::connect(&engine);
    let first = client.enqueue(&[&b"first"[..]; 1_000]);
    finish_all(&mut Client::child(&engine, 1, 1_000), 1_000);
    wait_for_archive(&mut client, 1_000);
    let second = client.enqueue(&[&b"second"[..]; 1_000]);
    stop(&engine);
    copy_journal(&home, &earlier);
    let engine = start(&home);
    finish_all(&mut Client::child(&engine, 1, 1_000), 1_000);
    wait_for_archive(&mut Client::connect(&engine), 2_000);
    stop(&engine);
    assert_eq!(verify(&home, &mut |_, _| ()).unwrap().findings, []);

    copy_journal(&earlier, &home);
    let report = verify(&home, &mut |_, _| ()).unwrap();
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((finding.code, finding.file.as_deref()), (Some(code::COMMITS_DAMAGED), Some("archive")));
    assert_eq!(finding.lsns.map(|(first, _)| first), Some(report.head_lsn + 1));
    assert!(finding.what.contains("(1000)"), "{}", finding.what);

    let engine = start(&home);
    let mut client = Client::connect(&engine);
    assert!(first.iter().step_by(99).all(|job| client.state(*job) == Some(JobState::Completed)));
    assert!(second.iter().step_by(99).all(|job| client.state(*job) == Some(JobState::Available)));
    let ran = finish_all(&mut Client::child(&engine, 1, 2_000), 1_000);
    assert_eq!(ran, second.into_iter().collect());
    stop(&engine);
    assert_eq!(verify(&home, &mut |_, _| ()).unwrap().findings, []);
}

/// Puts the journal of one home in the place of another's.
fn copy_journal(from: &Path, to: &Path) {
    for directory in ["seg", "snap"] {
        let _ = fs::remove_dir_all(to.join(directory));
        fs::create_dir_all(to.join(directory)).unwrap();
        for file in fs::read_dir(from.join(directory)).unwrap() {
            let path = file.unwrap().path();
            fs::copy(&path, to.join(directory).join(path.file_name().unwrap())).unwrap();
        }
    }
}

fn finish_all(child: &mut Client, count: usize) -> BTreeSet<JobId> {
    let mut ran = BTreeSet::new();
    while ran.len() < count {
        let leases = child.leased();
        assert_eq!(child.succeed(&leases), []);
        ran.extend(leases.into_iter().map(|lease| lease.0));
    }
    ran
}

fn wait_for_archive(client: &mut Client, jobs: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let Message::StatusReport(report) = client.ask(Status {}) else { panic!("no status") };
        if report.archived >= jobs {
            return;
        }
        assert!(Instant::now() < deadline, "{} of {jobs} jobs are archived", report.archived);
        thread::sleep(Duration::from_millis(10));
    }
}

/// A restore that took long to check its backup wrote over a home that was made meanwhile.
#[test]
fn a_home_made_meanwhile_is_not_restored_over() {
    let place = tempfile::tempdir().unwrap();
    let (home, backup) = (place.path().join("home"), place.path().join("backup"));
    let engine = start(&home);
    let job = Client::connect(&engine).enqueue(&[b"one"])[0];
    back_up(&engine, &home, &backup);
    let checked = check(FileDisk::new(&*backup), None, &mut ()).unwrap();
    let served = checked.restore(FileDisk::new(&*home), NOW_MS, &mut ()).unwrap_err();
    assert!(matches!(served, Error::Store(StoreError::Locked { .. })), "{served}");
    stop(&engine);
    let stopped = checked.restore(FileDisk::new(&*home), NOW_MS, &mut ()).unwrap_err();
    assert!(matches!(stopped, Error::Store(StoreError::NotEmpty)), "{stopped}");
    let engine = start(&home);
    assert_eq!(Client::connect(&engine).state(job), Some(JobState::Available));
    stop(&engine);
}
