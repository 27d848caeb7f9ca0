//! Jobs that wait for long while many others pass, with the engine's threads on a real disk: the disk stays as it is,
//! and the waiting jobs lose nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_engine::inspect::{Loss, diagnose};
use lineshaft_engine::{Clock, Handle, Options, Upkeep, open_on, open_with};
use lineshaft_store::{FileDisk, Options as JournalOptions};
use lineshaft_wire::message::{
    ChangeQueue, Checkpoint, End, Enqueue, Enqueued, Fetch, JobGroup, Message, PayloadKind, QueueVerb, Retry,
    RunAfter, Status,
};
use lineshaft_wire::{ErrorRecord, JobId, JobState};

use crate::live::{Client, stop, worker};
use crate::world::{group, long_leases};

const MONTH_MS: u64 = 30 * 86_400_000;

/// Jobs of one request that only pass.
const BATCH_JOBS: usize = 200;

/// What the journal may take: slack, two snapshots' worth, what passes while a round is under way on a busy machine, files
/// prepared or spare.
const FLAT_BYTES: u64 = 10 << 20;

/// Small files of every kind, so that little is much.
fn options(clock: &Clock) -> Options {
    let upkeep = Upkeep {
        snapshot_every_bytes: 256 << 10,
        journal_slack_bytes: 512 << 10,
        cold_slack_bytes: 64 << 10,
        cold_file_bytes: 256 << 10,
        look_every: Duration::from_millis(10),
        sweep_every: Duration::from_millis(50),
        ..Upkeep::default()
    };
    Options { upkeep, clock: clock.clone(), ..long_leases() }
}

fn start(home: &Path, clock: &Clock) -> Handle {
    let segments = JournalOptions {
        segment_bytes_first: 64 << 10,
        segment_bytes_max: 128 << 10,
        cache_bytes: 64 << 10,
        ..JournalOptions::default()
    };
    open_with(FileDisk::new(home), segments, options(clock)).unwrap().0
}

fn bytes_in(home: &Path, directory: &str) -> u64 {
    let entries = std::fs::read_dir(home.join(directory)).unwrap();
    // A file may be renamed between listing and looking.
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}

fn files_in(home: &Path, directory: &str) -> usize {
    std::fs::read_dir(home.join(directory)).unwrap().count()
}

impl Client {
    fn enqueue_group(&mut self, group: JobGroup, arguments: Vec<u8>) -> Vec<JobId> {
        let sequence = self.next_sequence();
        let request = self.send(Enqueue { sequence, groups: vec![group] }, arguments.into());
        let Message::Enqueued(Enqueued { ids, .. }) = self.mailbox.answer(request) else {
            panic!("not enqueued")
        };
        ids.as_chunks::<16>().0.iter().map(|id| JobId::from_bytes(*id).unwrap()).collect()
    }

    /// A job that waits for next month.
    fn later(&mut self, arguments: &[u8]) -> JobId {
        let group = JobGroup {
            run_after: Some(RunAfter::In(MONTH_MS)),
            ..group("shop.send", &[arguments.len() as u32])
        };
        self.enqueue_group(group, arguments.to_vec())[0]
    }

    /// So many jobs come and go.
    fn pass(&mut self, jobs: usize, arguments_bytes: usize) {
        let lengths = vec![arguments_bytes as u32; BATCH_JOBS];
        let passing = JobGroup { queue: "passing".into(), ..group("shop.pass", &lengths) };
        for _ in 0..jobs / BATCH_JOBS {
            self.enqueue_group(passing.clone(), vec![9; BATCH_JOBS * arguments_bytes]);
        }
        let sequence = self.next_sequence();
        self.ask(ChangeQueue { sequence, queue: "passing".into(), verb: QueueVerb::Purge });
        let until = Instant::now() + Duration::from_secs(60);
        // A block closes with 1,000 jobs, so a part of them may stay.
        while self.unarchived() >= 1_000 {
            assert!(Instant::now() < until, "the archive takes nothing");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn archived(&mut self) -> u64 {
        let Message::StatusReport(report) = self.ask(Status {}) else { panic!("no status") };
        report.archived
    }

    fn unarchived(&mut self) -> u64 {
        let Message::StatusReport(report) = self.ask(Status {}) else { panic!("no status") };
        report.queues.iter().map(|queue| queue.finished).sum()
    }

    fn fetch(&mut self, job: JobId) -> Bytes {
        let request = self.send(Fetch { job, payload: PayloadKind::Arguments }, Bytes::new());
        let payload =
            self.mailbox.take(|it| (it.request_id == request).then(|| it.payloads.first().cloned()));
        self.bytes(&payload.expect("arguments are there"))
    }

    /// Jobs pass until the payload is where it was put for long.
    fn pass_until_moved(&mut self, home: &Path) {
        let until = Instant::now() + Duration::from_secs(60);
        while files_in(home, "cold") == 0 {
            self.pass(1_000, 1_000);
            assert!(Instant::now() < until, "nothing moves: {} bytes of journal", bytes_in(home, "seg"));
        }
    }
}

fn arguments(number: usize) -> Vec<u8> {
    (0..200 + number).map(|at| (at * 7 + number) as u8).collect()
}

/// One job used to pin all segments after it: the home grew by every job that passed.
#[expect(clippy::print_stdout, reason = "with --nocapture it is a measurement")]
fn disk_stays_flat(rounds: usize, jobs: usize, arguments_bytes: usize) {
    let home = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let mut engine = start(home.path(), &clock);
    let mut client = Client::connect(&engine);
    let waiting: Vec<JobId> = (0..3).map(|number| client.later(&arguments(number))).collect();
    let (mut largest, mut most_files) = (0, 0);
    for round in 0..rounds {
        client.pass(jobs, arguments_bytes);
        largest = largest.max(bytes_in(home.path(), "seg"));
        most_files = most_files.max(files_in(home.path(), "seg"));
        if round % 50 == 49 {
            stop(&engine);
            engine = start(home.path(), &clock);
            client = Client::connect(&engine);
            let late = client.later(&arguments(0));
            client.fetch(late);
        }
    }
    let passed = (rounds * jobs * arguments_bytes) as u64;
    println!(
        "{} jobs, {passed} bytes of arguments passed: at most {largest} bytes in {most_files} segments, {} in {} cold files",
        rounds * jobs,
        bytes_in(home.path(), "cold"),
        files_in(home.path(), "cold"),
    );
    assert!(passed > 3 * FLAT_BYTES, "too little passed to tell: {passed}");
    assert!(largest < FLAT_BYTES, "{largest} bytes of journal are above {FLAT_BYTES}");
    assert!(bytes_in(home.path(), "cold") < 64 << 10);
    assert!(files_in(home.path(), "cold") <= 40, "cold files pile up");
    for (number, job) in waiting.into_iter().enumerate() {
        assert_eq!(client.fetch(job), arguments(number));
    }
    stop(&engine);
}

#[test]
fn the_disk_stays_flat_while_jobs_pass_one_that_waits() {
    disk_stays_flat(80, 1_000, 400);
}

#[test]
#[ignore = "takes minutes"]
fn the_disk_stays_flat_while_a_million_jobs_pass_one_that_waits() {
    disk_stays_flat(250, 4_000, 100);
}

/// Prints what a commit takes while 64 MB of payloads are copied, named and looked for among 65,000 jobs, and otherwise.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "it is what it is for")]
fn commits_go_on_while_payloads_move() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let upkeep = Upkeep {
        snapshot_every_bytes: 16 << 20,
        journal_slack_bytes: 32 << 20,
        look_every: Duration::from_millis(100),
        ..Upkeep::default()
    };
    let engine = open_on(FileDisk::new(home.path()), Options { upkeep, ..long_leases() }).unwrap().0;
    let mut client = Client::connect(&engine);
    let run_after = Some(RunAfter::In(MONTH_MS));
    for _ in 0..325 {
        let later = JobGroup { run_after, ..group("shop.send", &[1_000; BATCH_JOBS]) };
        client.enqueue_group(later, vec![7; BATCH_JOBS * 1_000]);
    }
    let passing = std::thread::spawn({
        let mut client = Client::connect(&engine);
        move || (0..350).for_each(|_| client.pass(1_000, 1_000))
    });
    let (mut copying, mut usual) = (Vec::new(), Vec::new());
    while !passing.is_finished() {
        let began = Instant::now();
        client.enqueue_group(group("shop.send", &[5]), b"small".to_vec());
        let took = began.elapsed();
        let files = std::fs::read_dir(home.path().join("cold")).unwrap();
        let copies = files.filter_map(Result::ok).any(|file| file.path().extension().is_some());
        let times = if copies { &mut copying } else { &mut usual };
        times.push(took);
        std::thread::sleep(Duration::from_millis(2));
    }
    passing.join().unwrap();
    for (what, mut times) in [("while payloads are copied", copying), ("otherwise", usual)] {
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share / 1_000).min(times.len().saturating_sub(1)));
        println!(
            "{what}: {} commits, p50 {:?}, p99 {:?}, most {:?}",
            times.len(),
            at(500),
            at(990),
            at(1_000)
        );
    }
    println!("{} bytes in {} cold files", bytes_in(home.path(), "cold"), files_in(home.path(), "cold"));
    stop(&engine);
}

#[test]
fn a_moved_job_is_read_through_every_door() {
    let home = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let engine = start(home.path(), &clock);
    let mut client = Client::connect(&engine);
    // One that failed and left a checkpoint, one that never ran.
    let failed = client.enqueue(&[&arguments(1)])[0];
    let mut child = worker(&engine);
    child.credit();
    let (_, fence, _) = child.leased();
    let value = Bytes::from_static(b"page 7");
    let request = child.send(Checkpoint { job: failed, fence, length: 6 }, value);
    assert!(matches!(child.mailbox.answer(request), Message::Finished(_)));
    let error = ErrorRecord { message: "no".into(), ..Default::default() };
    child.fail(failed, fence, End::Errored { error: error.clone(), retry_after_ms: Some(MONTH_MS) });
    let waiting = client.later(&arguments(2));
    client.pass_until_moved(home.path());
    client.pass(1_000, 1_000);

    let check = |client: &mut Client| {
        let record = client.show(failed);
        assert_eq!((record.state, record.checkpoint_bytes), (JobState::Retryable, 6));
        assert_eq!(record.attempts[0].error, Some(error.clone()));
        assert_eq!(record.attempts[0].output, b"printed");
        assert_eq!(client.fetch(failed), arguments(1));
        assert_eq!(client.fetch(waiting), arguments(2));
    };
    check(&mut client);
    stop(&engine);
    let engine = start(home.path(), &clock);
    let mut client = Client::connect(&engine);
    check(&mut client);

    // Leased again, with its checkpoint.
    let mut child = worker(&engine);
    let sequence = client.next_sequence();
    client.ask(Retry { sequence, job: failed });
    child.credit();
    let (leases, payloads) = child.mailbox.take(|outgoing| match &outgoing.message {
        Message::Leases(leases) => Some((leases.clone(), outgoing.payloads.clone())),
        _ => None,
    });
    let payloads: Vec<Bytes> = payloads.iter().map(|payload| child.bytes(payload)).collect();
    assert_eq!(payloads, [Bytes::from(arguments(1)), Bytes::from_static(b"page 7")]);
    let fence = lineshaft_wire::Fence { epoch: leases.epoch, counter: leases.jobs[0].counter };
    child.succeed(failed, fence, b"done");

    // In the archive, with what was moved; and from there again.
    client.pass(2_000, 10);
    clock.advance(Duration::from_secs(61));
    client.pass(2_000, 10);
    let record = client.show(failed);
    assert_eq!((record.state, record.attempts.len()), (JobState::Completed, 2));
    assert_eq!(record.attempts[0].error, Some(error));
    assert_eq!(record.attempts[0].output, b"printed");
    let sequence = client.next_sequence();
    let Message::Enqueued(again) = client.ask(Retry { sequence, job: failed }) else { panic!("not retried") };
    let again = JobId::from_bytes(again.ids.as_chunks::<16>().0[0]).unwrap();
    assert_eq!(client.fetch(again), arguments(1));
    child.credit();
    let (leased, _, bytes) = child.leased();
    assert_eq!((leased, bytes), (again, Bytes::from(arguments(1))));
    stop(&engine);
}

#[test]
fn a_cold_file_goes_when_its_last_job_does() {
    let home = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let engine = start(home.path(), &clock);
    let mut client = Client::connect(&engine);
    let waiting = client.later(&arguments(2));
    client.pass_until_moved(home.path());
    let sequence = client.next_sequence();
    client.ask(lineshaft_wire::message::Cancel { sequence, job: waiting });
    let until = Instant::now() + Duration::from_secs(60);
    while files_in(home.path(), "cold") > 0 {
        client.pass(1_000, 1_000);
        assert!(Instant::now() < until, "the dead file stays");
    }
    stop(&engine);
}

/// A home whose cold file is gone used to be found out job by job; then it did not start, and the doctor had no word
/// about it.
#[test]
fn a_missing_cold_file_is_said_at_the_start_and_given_up_with_its_jobs() {
    let home = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let engine = start(home.path(), &clock);
    let mut client = Client::connect(&engine);
    let lost = client.later(&arguments(2));
    client.pass_until_moved(home.path());
    client.pass(1_000, 1_000);
    let whole = client.later(&arguments(3));
    stop(&engine);
    let files = std::fs::read_dir(home.path().join("cold")).unwrap();
    files.for_each(|file| std::fs::remove_file(file.unwrap().path()).unwrap());
    let Err(error) = open_with(FileDisk::new(home.path()), JournalOptions::default(), options(&clock)) else {
        panic!("it opened")
    };
    assert!(error.to_string().contains("cold/0"), "{error}");
    assert!(error.code().is_some());

    let diagnosis = diagnose(home.path(), &mut |_, _| ()).unwrap();
    assert!(!diagnosis.starts() && diagnosis.can_go_on(), "{diagnosis:?}");
    assert_eq!((diagnosis.incomplete.as_slice(), diagnosis.dead), (&[lost][..], 1));
    assert!(matches!(diagnosis.losses[0], Loss::PayloadFile { .. }), "{:?}", diagnosis.losses);
    diagnosis.accept("lost/then").unwrap();
    assert!(diagnose(home.path(), &mut |_, _| ()).unwrap().is_well());
    let engine = start(home.path(), &clock);
    let mut client = Client::connect(&engine);
    let record = client.show(lost);
    assert_eq!((record.state, record.reason.as_deref()), (JobState::Discarded, Some("payload_lost")));
    assert_eq!(client.fetch(whole), arguments(3));
    let sequence = client.next_sequence();
    let Message::Refused(refused) = client.ask(Retry { sequence, job: lost }) else { panic!("not refused") };
    assert!(refused.message.contains("are lost: it cannot run again"), "{}", refused.message);
    stop(&engine);
}

/// Blobs whose removal failed, or whose request died, used to stay until the next start.
#[test]
fn a_blob_that_nobody_needs_goes_while_the_engine_runs_and_others_stay() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path(), &Clock::default());
    let mut client = Client::connect(&engine);
    let large = vec![7; 2 << 20];
    let job = client.enqueue(&[&large])[0];
    let named = std::fs::read_dir(home.path().join("blob")).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(&named, home.path().join("blob/00000000000000aa")).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while files_in(home.path(), "blob") > 1 {
        assert!(Instant::now() < until, "the blob stays");
        client.archived();
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..10 {
        let another = client.enqueue(&[&large])[0];
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(client.fetch(another), large, "a sweep took what just came in");
    }
    assert!(named.exists());
    assert_eq!(client.fetch(job), large);
    stop(&engine);
}
