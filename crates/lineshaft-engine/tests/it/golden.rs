//! Homes as earlier versions left them: each opens, and holds the jobs that it held. See `tests/golden/README.md`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_engine::inspect::{Exported, ExportedJob, export};
use lineshaft_engine::{Clock, Error, Options, Retention, open, put_snapshot, recover};
use lineshaft_jobs::Limits;
use lineshaft_store::{FileDisk, Home, Journal, SegmentJournal};
use lineshaft_wire::ErrorRecord;
use lineshaft_wire::message::{
    Acquire, CacheGet, CacheInvalidate, CacheSet, Cancel, ChangeQueue, Changed, Checkpoint, End, Enqueue,
    Filter, JobGroup, ListLocks, LockKind, Message, NewEntry, OnFailure, QueueVerb, Rules, RunAfter, Status,
    Unique, UniqueWhile,
};

use crate::live::{Client, stop, worker};
use crate::world::{group, long_leases};

/// A time that no test lives to see, Unix milliseconds.
const NEXT_CENTURY: u64 = 4_102_444_800_000;

/// Name, packed files, jobs as text.
pub(crate) const HOMES: [(&str, &[u8], &str); 4] = [
    ("1-first", include_bytes!("../golden/1-first.home"), include_str!("../golden/1-first.jobs")),
    ("2-pages", include_bytes!("../golden/2-pages.home"), include_str!("../golden/2-pages.jobs")),
    ("3-absent", include_bytes!("../golden/3-absent.home"), include_str!("../golden/3-absent.jobs")),
    ("4-shared", include_bytes!("../golden/4-shared.home"), include_str!("../golden/4-shared.jobs")),
];

#[test]
fn every_golden_home_holds_its_jobs() {
    for (name, packed, expected) in HOMES {
        let home = tempfile::tempdir().unwrap();
        unpack(packed, home.path());
        assert_eq!(described(home.path()), expected, "{name}");
        // The same when an engine has worked in it, and left what it writes itself.
        let engine = open(home.path(), options(&Clock::default())).unwrap().0;
        stop(&engine);
        assert_eq!(described(home.path()), expected, "{name} after a start");
    }
}

#[test]
fn looking_at_a_golden_home_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    unpack(HOMES[0].1, home.path());
    let before = packed(home.path());
    described(home.path());
    assert!(before == packed(home.path()));
}

/// Who held a lock, and what was cached, before the snapshot and behind it.
#[test]
fn a_golden_home_holds_its_locks_and_its_cache() {
    let (_, packed, _) = HOMES.into_iter().find(|(name, ..)| *name == "4-shared").unwrap();
    let home = tempfile::tempdir().unwrap();
    unpack(packed, home.path());
    // What it writes itself is read again.
    for _ in 0..2 {
        let engine = open(home.path(), options(&Clock::default())).unwrap().0;
        let mut client = Client::connect(&engine);
        let list = ListLocks { key: None, after: None, limit: 100 };
        let Message::Locks(locks) = client.ask(list) else { panic!("no locks") };
        let held: Vec<_> = locks.locks.iter().map(|lock| (&*lock.key, lock.held)).collect();
        assert_eq!(held, [("first", 1), ("second", 1)]);
        let keys = ["first page", "first price", "second page", "second price"].map(Into::into).to_vec();
        let Message::CacheFound(found) = client.ask(CacheGet { keys, peek: true }) else {
            panic!("no cache")
        };
        let is_there: Vec<bool> = found.entries.iter().map(Option::is_some).collect();
        assert_eq!(is_there, [false, true, true, true]);
        drop(client);
        stop(&engine);
    }
}

/// Makes a home of the present version; `LINESHAFT_GOLDEN` names it.
#[test]
#[ignore = "writes a file of the source"]
fn make() {
    let name = std::env::var("LINESHAFT_GOLDEN").expect("LINESHAFT_GOLDEN names the home");
    let home = tempfile::tempdir().unwrap();
    first_life(home.path());
    // Without its child, which is absent in the snapshot and back afterwards.
    stop(&open(home.path(), options(&Clock::default())).unwrap().0);
    take_snapshot(home.path());
    second_life(home.path());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    fs::write(golden.join(format!("{name}.home")), packed(home.path())).unwrap();
    fs::write(golden.join(format!("{name}.jobs")), described(home.path())).unwrap();
}

pub(crate) fn options(clock: &Clock) -> Options {
    // A golden home is years old.
    let retention = Retention { age: Duration::from_secs(1 << 32), bytes: u64::MAX };
    Options { retention, clock: clock.clone(), ..long_leases() }
}

/// What a snapshot covers: archived jobs, and some of every kind that waits.
fn first_life(home: &Path) {
    let clock = Clock::default();
    let engine = open(home, options(&clock)).unwrap().0;
    let mut client = Client::connect(&engine);
    let mut workers = worker(&engine);
    for result in [&b"one"[..], b"two"] {
        client.enqueue(&[b"archived"]);
        workers.credit();
        let (job, fence, _) = workers.leased();
        workers.succeed(job, fence, result);
    }
    let dropped = client.enqueue(&[b"archived and cancelled"])[0];
    let sequence = client.next_sequence();
    client.ask(Cancel { sequence, job: dropped });
    clock.advance(Duration::from_secs(61));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let Message::StatusReport(report) = client.ask(Status {}) else { panic!("no status") };
        if report.archived == 3 {
            break;
        }
        assert!(Instant::now() < deadline, "{report:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    make_jobs(&mut client, b"before the snapshot");
    share(&mut client, "first", 1);
    checkpointed(&mut client, &mut workers);
    stop(&engine);
}

/// What stands behind the snapshot: jobs of every kind, a dead letter with its handler, one that runs.
fn second_life(home: &Path) {
    let engine = open(home, options(&Clock::default())).unwrap().0;
    let mut client = Client::connect(&engine);
    let mut workers = worker(&engine);
    let handler = OnFailure {
        task: "shop.apologise".into(),
        queue: "mail".into(),
        priority: 3,
        expires_ms: None,
        deadline_ms: None,
        tags: vec!["handler".into()],
        rules: Arc::default(),
        version: 2,
    };
    let rules = Rules { max_attempts: 1, on_failure: Some(Arc::new(handler)), ..Rules::default() };
    enqueue(
        &mut client,
        JobGroup { rules: Arc::new(rules), priority: 1, ..group("shop.send", &[4]) },
        b"dead",
    );
    workers.credit();
    let (job, fence, _) = workers.leased();
    let error =
        ErrorRecord { types: vec!["builtins.ValueError".into()], message: "no".into(), ..Default::default() };
    workers.fail(job, fence, End::Errored { error, retry_after_ms: None });
    enqueue(&mut client, JobGroup { priority: 1, ..group("shop.send", &[8]) }, b"finished");
    workers.credit();
    let (job, fence, _) = workers.leased();
    workers.succeed(job, fence, b"three");
    make_jobs(&mut client, b"behind the snapshot");
    share(&mut client, "second", 2);
    let sequence = client.next_sequence();
    let keys = vec!["first price".into()];
    client.ask(CacheInvalidate { sequence, keys, tags: Vec::new(), all: false });
    cache(&mut client, price("first"));
    enqueue(&mut client, JobGroup { priority: 1, ..group("shop.send", &[7]) }, b"running");
    workers.credit();
    workers.leased();
    let sequence = client.next_sequence();
    client.ask(ChangeQueue { sequence, queue: "mail".into(), verb: QueueVerb::Pause });
    stop(&engine);
}

/// Bytes of arguments that are a blob.
const LARGE: usize = (1 << 20) + 9;

/// Jobs that wait, each with something of its own.
fn make_jobs(client: &mut Client, arguments: &'static [u8]) {
    let length = arguments.len() as u32;
    let plain = || JobGroup { task: "shop.pack".into(), ..group("", &[length]) };
    enqueue(client, plain(), arguments);
    enqueue(client, JobGroup { run_after: Some(RunAfter::At(NEXT_CENTURY)), ..plain() }, arguments);
    let unique = Unique {
        key: std::str::from_utf8(arguments).unwrap().into(),
        while_: UniqueWhile::Unfinished,
        period_ms: None,
    };
    let special = JobGroup {
        priority: 2,
        tags: vec!["red".into(), "blue".into()],
        metadata: Some("of order 7".into()),
        idempotency_key: Some(std::str::from_utf8(arguments).unwrap().into()),
        unique: Some(unique),
        ..plain()
    };
    enqueue(client, special, arguments);
    enqueue(client, JobGroup { lengths: vec![LARGE as u32], ..plain() }, &vec![b'L'; LARGE]);
}

/// A lock that is held, and two cached values, of which one was computed from the other.
fn share(client: &mut Client, name: &str, token: u64) {
    let acquire = Acquire {
        kind: LockKind::Mutex,
        key: name.into(),
        permits: 1,
        token,
        ttl_ms: 86_400_000,
        wait: false,
        waited_ms: 0,
        program: "shop.py".into(),
        pid: 4_242,
        party: 0,
    };
    let Message::Acquired(acquired) = client.ask(acquire) else { panic!("no lock") };
    assert!(acquired.fence.is_some());
    cache(client, price(name));
    let sources = vec![format!("{name} price").into()];
    cache(client, NewEntry { key: format!("{name} page").into(), sources, length: 5, ..NewEntry::default() });
}

fn price(name: &str) -> NewEntry {
    let tags = vec!["prices".into()];
    NewEntry { key: format!("{name} price").into(), tags, length: 5, ..NewEntry::default() }
}

fn cache(client: &mut Client, entry: NewEntry) {
    let request = CacheSet { sequence: client.next_sequence(), entries: vec![entry] };
    let request = client.send(request, Bytes::from_static(b"value"));
    assert!(matches!(client.mailbox.answer(request), Message::Changed(Changed { jobs: 1, .. })));
}

/// A job that failed and left a checkpoint, and is tried again in an hour.
fn checkpointed(client: &mut Client, workers: &mut Client) {
    client.enqueue(&[b"resumes"]);
    workers.credit();
    let (job, fence, _) = workers.leased();
    workers.send(Checkpoint { job, fence, length: 6 }, Bytes::from_static(b"page 7"));
    let error = ErrorRecord { message: "once".into(), ..ErrorRecord::default() };
    let end = End::Errored { error, retry_after_ms: Some(3_600_000) };
    workers.fail(job, fence, end);
}

fn enqueue(client: &mut Client, group: JobGroup, arguments: &[u8]) {
    let request = Enqueue { sequence: client.next_sequence(), groups: vec![group] };
    let request = client.send(request, Bytes::copy_from_slice(arguments));
    assert!(matches!(client.mailbox.answer(request), Message::Enqueued(_)));
}

fn take_snapshot(path: &Path) {
    let home = Home::open(FileDisk::new(path)).unwrap();
    let (mut journal, recovery) = SegmentJournal::open(&home, lineshaft_store::Options::default()).unwrap();
    let mut state = recover(&mut journal, &recovery, Limits::default()).unwrap().state;
    put_snapshot(&journal.handle(), journal.head(), state.begin_snapshot()).unwrap();
}

/// Every job of a home, a line each.
pub(crate) fn described(home: &Path) -> String {
    let mut text = String::new();
    export::<Error>(home, &Filter::default(), |exported| {
        let Exported::Job(job) = exported else { panic!("{exported:?}") };
        writeln!(text, "{}", line(&job)).unwrap();
        Ok(())
    })
    .unwrap();
    text
}

fn line(job: &ExportedJob) -> String {
    let record = &job.record;
    let attempts = record.attempts.iter().map(|attempt| {
        let error = attempt.error.as_ref().map(|error| &error.message);
        format!("{:?} {error:?} {}", attempt.outcome, short(&attempt.output))
    });
    let payloads =
        [&job.arguments, &job.result, &job.checkpoint].map(|payload| short(payload.as_ref().unwrap()));
    format!(
        "{} {} {} {} priority={} created={} scheduled={:?} reason={:?} tags={:?} metadata={:?} failure_of={:?} handled_by={:?} \
         attempts={:?} {payloads:?}",
        record.id,
        record.task,
        record.queue,
        record.state,
        record.priority,
        record.created_at,
        record.scheduled_at.filter(|at| *at == NEXT_CENTURY),
        record.reason,
        record.tags,
        record.metadata,
        record.failure_of.map(|id| id.to_string()),
        record.handled_by.map(|id| id.to_string()),
        attempts.collect::<Vec<_>>(),
    )
}

fn short(bytes: &[u8]) -> String {
    if bytes.len() <= 64 {
        bytes.escape_ascii().to_string()
    } else {
        format!("{} bytes of {}", bytes.len(), bytes[0])
    }
}

/// The files of a home in one: path, length, and the bytes up to the zeros at the end of each.
pub(crate) fn packed(home: &Path) -> Vec<u8> {
    let mut paths: Vec<String> =
        home.join("FORMAT").exists().then(|| "FORMAT".to_owned()).into_iter().collect();
    for directory in ["seg", "cold", "snap", "blob", "archive"] {
        let files = fs::read_dir(home.join(directory)).into_iter().flatten();
        paths
            .extend(files.map(|file| format!("{directory}/{}", file.unwrap().file_name().to_str().unwrap())));
    }
    paths.sort();
    let mut bytes = Vec::new();
    for path in paths {
        let content = fs::read(home.join(&path)).unwrap();
        let kept = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for number in [path.len(), content.len(), kept] {
            bytes.extend((number as u64).to_le_bytes());
        }
        bytes.extend(path.as_bytes());
        bytes.extend(&content[..kept]);
    }
    // What is large in it is one letter a million times: the second time takes the rest of that away.
    lz4_flex::compress_prepend_size(&lz4_flex::compress_prepend_size(&bytes))
}

pub(crate) fn unpack(packed: &[u8], home: &Path) {
    let unpack = |bytes: &[u8]| lz4_flex::decompress_size_prepended(bytes).unwrap();
    let bytes = unpack(&unpack(packed));
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (numbers, after) = rest.split_at(24);
        let [path, length, kept] =
            [0, 8, 16].map(|at| u64::from_le_bytes(numbers[at..at + 8].try_into().unwrap()) as usize);
        let (path, after) = after.split_at(path);
        let path = home.join(std::str::from_utf8(path).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut content = after[..kept].to_vec();
        content.resize(length, 0);
        fs::write(path, content).unwrap();
        rest = &after[kept..];
    }
}
