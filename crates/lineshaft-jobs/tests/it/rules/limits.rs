//! Every table has a cap, and a full one says its name.

use lineshaft_jobs::{Command, Limits, Payloads};
use lineshaft_wire::message::{Enqueue, JobGroup, RefusalCode, Rules, RunAfter, Sequence};

use super::shop::{Shop, group, with_rules};

fn named(task: &str, tags: &[&str]) -> JobGroup {
    JobGroup { task: task.into(), tags: tags.iter().map(|tag| (*tag).into()).collect(), ..group() }
}

fn with_key(key: &str) -> JobGroup {
    JobGroup { idempotency_key: Some(key.into()), ..group() }
}

/// The refusal of the last request, after those before it went well.
fn check(limits: Limits, before: Vec<JobGroup>, last: Vec<JobGroup>, expected: &str) {
    let mut shop = Shop::with(limits);
    for group in before {
        shop.enqueue(group);
    }
    let request = Enqueue { sequence: Sequence { number: 100, lowest: 100 }, groups: last };
    shop.machine.begin();
    let command = Command::Enqueue { session: 1, request, arguments: Payloads::default() };
    let refusal = shop.machine.run(command).expect_err("the table is full");
    assert_eq!((refusal.code, refusal.message.as_str()), (RefusalCode::QueueFull, expected));
    assert!(refusal.hint.is_some());
}

#[test]
fn a_full_table_refuses_with_its_name() {
    let jobs = Limits { jobs: 2, ..Limits::default() };
    check(jobs, vec![group()], vec![group(), group()], "jobs in memory: 1 of 2 used, no room for 2 more");
    let names = Limits { names: 3, ..Limits::default() };
    let last = vec![named("shop.new", &["red"])];
    check(names, vec![group()], last, "distinct names: 2 of 3 used, no room for 2 more");
    let rules = Limits { rules: 1, ..Limits::default() };
    let last = vec![with_rules(Rules { max_attempts: 2, ..Rules::default() })];
    check(rules, vec![group()], last, "distinct sets of rules: 1 of 1 used, no room for 1 more");
    let keys = Limits { idempotency_keys: 1, ..Limits::default() };
    check(
        keys,
        vec![with_key("a")],
        vec![with_key("b")],
        "idempotency keys: 1 of 1 used, no room for 1 more",
    );
}

/// A name was counted once for every job that brought it.
#[test]
fn names_and_rules_that_a_request_repeats_are_counted_once() {
    let mut shop = Shop::with(Limits { names: 3, rules: 1, ..Limits::default() });
    let repeated = vec![named("shop.send", &["red"]); 10];
    assert!(shop.try_enqueue(repeated).is_ok());
}

#[test]
fn names_are_free_again_when_nobody_uses_them() {
    let mut shop = Shop::with(Limits { names: 2, ..Limits::default() });
    for task in ["shop.one", "shop.two", "shop.three"] {
        let job = shop.enqueue(named(task, &[]));
        shop.cancel(job).expect("it is queued");
        shop.archive(1);
    }
}

#[test]
fn senseless_requests_are_refused_and_change_nothing() {
    let too_many = Rules { retry_on: vec!["x.Any".to_owned(); 65], ..Rules::default() };
    for (group, expected) in [
        (JobGroup { priority: 0, ..group() }, RefusalCode::BadRequest),
        (JobGroup { priority: 10, ..group() }, RefusalCode::BadRequest),
        (JobGroup { lengths: Vec::new(), ..group() }, RefusalCode::BadRequest),
        (named("", &[]), RefusalCode::BadRequest),
        (named("shop send", &[]), RefusalCode::BadRequest),
        (named(&"t".repeat(256), &[]), RefusalCode::BadRequest),
        (named("shop.send", &["a\nb"]), RefusalCode::BadRequest),
        (named("shop.send", &["tag"; 17]), RefusalCode::TooLarge),
        (JobGroup { metadata: Some("m".repeat(4_097).into()), ..group() }, RefusalCode::TooLarge),
        (JobGroup { context: Some("c".repeat(4_097).into()), ..group() }, RefusalCode::TooLarge),
        (JobGroup { lengths: vec![0, 0], ..with_key("a") }, RefusalCode::BadRequest),
        (JobGroup { run_after: Some(RunAfter::In(u64::MAX)), ..group() }, RefusalCode::BadRequest),
        (JobGroup { run_after: Some(RunAfter::At(u64::MAX)), ..group() }, RefusalCode::BadRequest),
        (with_rules(Rules { max_attempts: 0, ..Rules::default() }), RefusalCode::BadRequest),
        (with_rules(Rules { max_crashes: 101, ..Rules::default() }), RefusalCode::BadRequest),
        (with_rules(Rules { timeout_ms: Some(0), ..Rules::default() }), RefusalCode::BadRequest),
        (with_rules(Rules { backoff_max_ms: u64::MAX, ..Rules::default() }), RefusalCode::BadRequest),
        (with_rules(too_many), RefusalCode::TooLarge),
    ] {
        let mut shop = Shop::new();
        assert_eq!(shop.try_enqueue(vec![group.clone()]), Err(expected), "{group:?}");
        assert_eq!(shop.machine.state.jobs(), 0);
    }
}

#[test]
fn more_is_archived_than_there_is_without_harm() {
    let mut shop = Shop::new();
    let job = shop.enqueue(group());
    shop.cancel(job).expect("it is queued");
    shop.archive(u32::MAX);
    assert_eq!((shop.machine.state.jobs(), shop.machine.state.archived()), (0, 1));
}
