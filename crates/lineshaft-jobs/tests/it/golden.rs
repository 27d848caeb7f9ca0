//! The bytes of every change. They are on people's disks: an encoding that changes here loses their jobs.

use std::fmt::Write;
use std::sync::Arc;

use lineshaft_jobs::change::{Move, MovedValue, Name, NewJobs, Request, RulesRef, RunAt, Success};
use lineshaft_jobs::{Account, CachedValue, Change, NewHolder, Next, Notes, Place, Stored};
use lineshaft_wire::message::{LockKind, OnFailure, ProcessKey, Rules, Unique, UniqueWhile};
use lineshaft_wire::{JobId, Measures, Outcome};

fn check(change: &Change, expected: &str) {
    let mut body = Vec::new();
    change.encode(&mut body);
    let hex = body.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all");
        hex
    });
    assert_eq!(hex, expected, "{change:?}");
    assert_eq!(Change::decode(&body).expect("it reads"), (change.clone(), &[][..]));
}

fn job() -> JobId {
    JobId::direct(1_790_000_000_000, 0, 3, 1)
}

fn request() -> Request {
    Request { session: 1, number: 300, lowest: 299 }
}

fn rules() -> Rules {
    Rules {
        max_attempts: 5,
        timeout_ms: None,
        retry_on: vec!["x.Busy".to_owned()],
        retry_never: vec!["x.Gone".to_owned()],
        ..Rules::default()
    }
}

fn new_jobs() -> NewJobs {
    NewJobs {
        task: Name::Text("shop.send".into()),
        queue: Name::Known(1),
        rules: RulesRef::New(Arc::new(rules())),
        priority: 5,
        run_at: Some(RunAt::Wall(1_790_000_000_500)),
        expires_ms: Some(1_790_000_000_600),
        deadline_ms: Some(1_790_000_000_700),
        unique: Some(Unique { key: "u".into(), while_: UniqueWhile::Queued, period_ms: Some(300) }),
        idempotency_key: Some("i".into()),
        tags: vec![Name::Known(2), Name::Text("red".into())],
        notes: Notes::Metadata("{}".into()),
        retry_of: Some(job()),
        arguments: vec![Stored::Inline(300), Stored::Blob { id: 77, length: 2_000_000 }],
    }
}

fn plain_jobs() -> NewJobs {
    NewJobs {
        task: Name::Known(0),
        rules: RulesRef::Known(0),
        run_at: Some(RunAt::Logical(9)),
        expires_ms: None,
        deadline_ms: None,
        unique: None,
        idempotency_key: None,
        tags: Vec::new(),
        notes: Notes::None,
        retry_of: None,
        arguments: vec![Stored::NONE],
        ..new_jobs()
    }
}

#[test]
fn clock_and_start() {
    check(&Change::Clock { wall_ms: 1_790_000_000_000, logical_ms: 130 }, "0080d8c1a28c348201");
    check(&Change::Started { epoch: 1_790_000_000, nonce: 7 }, "0180f7c4d50607");
}

#[test]
fn sessions() {
    check(&Change::SessionOpened, "02");
    check(&Change::SessionClosed { session: 300 }, "03ac02");
    check(&Change::SessionsFrom { next: 300 }, "1cac02");
    check(&Change::FinishedFrom { number: 300 }, "1eac02");
    check(&Change::PlacesSwept, "1f");
    check(
        &Change::Answered { request: request(), state: Some(6), cancelling: true, jobs: 4 },
        "0501ac02ab0201060104",
    );
}

#[test]
fn new_jobs_in_full_and_in_short() {
    let groups = vec![new_jobs(), plain_jobs()];
    check(
        &Change::Enqueued { request: request(), groups, existing: vec![(2, job())] },
        "0401ac02ab0202010973686f702e73656e64000101050300e807c0cf240106782e427573790106782e476f6e65000180b89929050100f4dbc1a28c3401d8dcc1a28c3401bcddc1a28c340101750101ac02010169020002010372656401027b7d011001a0c4506c00780080000000c00000010200ac02014d80897a000000010000050101090000000000000001000001021001a0c4506c00780080000000c0000001",
    );
}

#[test]
fn a_job_whose_result_is_cached() {
    let unique = Unique { key: "u".into(), while_: UniqueWhile::Cached, period_ms: Some(300) };
    let groups = vec![NewJobs { unique: Some(unique), ..plain_jobs() }];
    check(
        &Change::Enqueued { request: request(), groups, existing: Vec::new() },
        "0401ac02ab02010000000100000501010900000101750201ac020000000001000000",
    );
}

#[test]
fn jobs_with_a_context() {
    let check_notes = |metadata, expected| {
        let notes = Notes::new(metadata, Some("{}".into()));
        let groups = vec![NewJobs { notes, ..plain_jobs() }];
        check(&Change::Enqueued { request: request(), groups, existing: Vec::new() }, expected);
    };
    check_notes(None, "0401ac02ab02010000000100000501010900000000000200027b7d0001000000");
    check_notes(Some("m".into()), "0401ac02ab02010000000100000501010900000000000201016d027b7d0001000000");
}

#[test]
fn handlers_of_failures() {
    let handler = OnFailure {
        task: "shop.tell".into(),
        queue: "mail".into(),
        priority: 2,
        expires_ms: Some(300),
        deadline_ms: None,
        tags: vec!["red".into()],
        rules: Arc::new(rules()),
        version: 1,
    };
    let handled = |handler| Arc::new(Rules { on_failure: Some(Arc::new(handler)), ..rules() });
    let versioned = handled(OnFailure { version: 300, ..handler.clone() });
    let jobs = NewJobs { rules: RulesRef::Handled(handled(handler)), ..plain_jobs() };
    check(
        &Change::Spawned { jobs, failed: vec![300] },
        "190000000102050300e807c0cf240106782e427573790106782e476f6e65000180b89929010973686f702e74656c6c046d61696c0201ac02000103726564050300e807c0cf240106782e427573790106782e476f6e65000180b89929050101090000000000000001000001ac02",
    );
    let jobs = NewJobs { rules: RulesRef::Versioned(versioned), ..plain_jobs() };
    check(
        &Change::Spawned { jobs, failed: vec![300] },
        "190000000103050300e807c0cf240106782e427573790106782e476f6e65000180b89929010973686f702e74656c6c046d61696c0201ac02000103726564050300e807c0cf240106782e427573790106782e476f6e65000180b8992901ac02050101090000000000000001000001ac02",
    );
}

#[test]
fn children() {
    let process = ProcessKey { pid: 4_242, start_time: 99 };
    check(
        &Change::ChildAttached { child: 5, worker: 7, name: "host:7/1".into(), number: 1, process },
        "06050708686f73743a372f3101922163",
    );
    check(&Change::ChildGone { child: 5 }, "0705");
    check(&Change::Leased { child: 5, slots: vec![1, 300] }, "08050201ac02");
    check(&Change::Released { slots: vec![300] }, "0901ac02");
    check(&Change::ChildrenAbsent, "20");
    check(&Change::ChildReturned { child: 300 }, "21ac02");
    check(&Change::AbsencesCredited { still_ms: 300 }, "22ac02");
}

#[test]
fn locks() {
    let holder = NewHolder {
        session: 300,
        token: 2,
        kind: LockKind::Semaphore,
        key: "till".into(),
        permits: 3,
        ttl_ms: 30_000,
        program: "a.py".into(),
        pid: 4_242,
        party: 7,
        place: 1,
    };
    check(
        &Change::BarrierOpened { holders: vec![holder.clone()] },
        "2501ac0202010474696c6c03b0ea0104612e707992210701",
    );
    check(&Change::Locked { holder }, "23ac0202010474696c6c03b0ea0104612e707992210701");
    check(&Change::Unlocked { fences: vec![300], taken: true }, "2401ac0201");
    check(&Change::Passed { limiter: "api".into(), next_ns: 300 }, "2603617069ac02");
}

#[test]
fn entries_of_the_cache() {
    let entry = CachedValue {
        key: "a".into(),
        tags: vec!["t".into()],
        due_ms: Some(300),
        stale_ms: 0,
        idle_ms: None,
        since: 7,
    };
    let entries = vec![(entry, Stored::Inline(4))];
    check(&Change::EntriesStored { entries }, "2801016101017401ac020000070004");
    check(&Change::EntriesGone { keys: vec!["a".into(), "bc".into()] }, "29020161026263");
    let (keys, tags) = (vec!["a".into()], vec!["t".into()]);
    check(&Change::EntriesInvalidated { keys, tags, all: true }, "2a01016101017401");
    let moved = MovedValue { key: "a".into(), from: Place { lsn: 5, offset: 300, length: 4 }, offset: 32 };
    check(&Change::EntriesMoved { file: 300, moves: vec![moved] }, "2bac0201016105ac020420");
}

#[test]
fn attempts() {
    let (started_ms, took_ms) = (1_790_000_000_000, 12);
    let end = Success { slot: 300, started_ms, took_ms, result: Stored::Inline(2), output: Stored::NONE };
    check(&Change::Succeeded { ends: vec![end] }, "0a01ac0280d8c1a28c340c00020000");
    let measures = Measures { ran_us: Some(300), cpu_us: Some(200), ..Measures::default() };
    let short = (300, Account::new(7, measures));
    let collected = Measures { collected_us: Some(5), cache_hits: Some(0), ..measures };
    let long = (1, Account::new(0, collected));
    let attempts = vec![short, long];
    check(&Change::Measured { attempts }, "2c02ac020703ac02c8010001002bac02c8010100050000");
    let with_gil = (1, Account::new(0, Measures { gil_us: Some(150), ..collected }));
    check(
        &Change::Measured { attempts: vec![with_gil, (2, Account::new(3, measures))] },
        "2c0201006bac02c80101000500009601020303ac02c80100",
    );
    check(&Change::Checkpointed { slot: 300, value: Stored::Inline(4) }, "1aac020004");
    let ended = |outcome, next| Change::Ended {
        slot: 1,
        outcome,
        started_ms: 2,
        finished_ms: 3,
        error: Stored::Inline(4),
        output: Stored::Blob { id: 5, length: 6 },
        next,
    };
    check(&ended(Outcome::Lost, Next::Available), "0b01040203000401050600");
    check(&ended(Outcome::Errored, Next::Retry(300)), "0b01010203000401050601ac02");
    check(&ended(Outcome::Snoozed, Next::Snooze(300)), "0b01060203000401050602ac02");
    check(&ended(Outcome::Cancelled, Next::Cancel("a".into())), "0b010502030004010506030161");
    check(&ended(Outcome::Crashed, Next::Discard("b".into())), "0b010302030004010506040162");
}

#[test]
fn moved_payloads() {
    let from = Place { lsn: 7, offset: 300, length: 5 };
    let again = Move { slot: 1, from: Place::cold(9, 40, 6), offset: 50 };
    check(
        &Change::Moved { file: 300, moves: vec![Move { slot: 300, from, offset: 40 }, again] },
        "1dac0202ac0207ac0205280109a8808080080632",
    );
}

#[test]
fn what_becomes_of_waiting_and_finished_jobs() {
    check(&Change::Promoted { slots: vec![1, 2] }, "0c020102");
    check(&Change::Readied { slots: vec![1, 2] }, "2d020102");
    check(&Change::CancelMarked { slot: 1 }, "0d01");
    check(&Change::Cancelled { slots: vec![1, 2], reason: "purged".into() }, "0e02010206707572676564");
    check(&Change::Parked { slot: 300, missing: "type x.Y".into() }, "16ac02087479706520782e59");
    check(&Change::PutOff { slot: 300, until_ms: 300, reason: "a".into() }, "1bac02ac020161");
    check(&Change::Discarded { slots: vec![1, 2], reason: "expired".into() }, "170201020765787069726564");
    check(&Change::Archived { count: 1_000 }, "0fe807");
    check(&Change::Deleted { job: job(), finalized_ms: 300 }, "101001a0c4506c00780080000000c0000001ac02");
    check(&Change::DeletedDropped { finalized_before_ms: 300 }, "11ac02");
}

#[test]
fn queues_and_keys() {
    check(&Change::QueuePaused { queue: Name::Known(3), paused: true }, "12000301");
    check(&Change::QueuePaused { queue: Name::Text("mail".into()), paused: false }, "1201046d61696c00");
    check(&Change::PurgeStarted { queue: Name::Known(3) }, "130003");
    check(&Change::PurgeEnded { queue: 3 }, "1403");
    check(&Change::PeriodsEnded { keys: vec!["a".into(), "bc".into()] }, "18020161026263");
    check(&Change::KeysExpired { keys: vec!["a".into(), "bc".into()] }, "15020161026263");
    check(&Change::KeysFreed { keys: vec!["a".into(), "bc".into()] }, "27020161026263");
}
