//! Jobs of a version of their task go to children that run it.

use std::sync::Arc;

use lineshaft_jobs::{Attach, Command};
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{AttachChild, Filter, JobGroup, OnFailure, ProcessKey, RefusalCode, Rules};
use lineshaft_wire::{JobId, JobState};

use super::shop::{Shop, group};

/// A child that runs these tasks, in the versions that they say.
fn child_of(shop: &mut Shop, number: u32, tasks: &[&str]) -> u32 {
    let tasks: Vec<Arc<str>> = tasks.iter().map(|task| Arc::from(*task)).collect();
    let attach = AttachChild {
        worker: u64::from(number),
        worker_name: "host:7".into(),
        number,
        process: ProcessKey::default(),
        tasks: tasks.clone(),
        queues: Vec::new(),
        held: Vec::new(),
        declared: Vec::new(),
        attach: 0,
    };
    let Ok(Told::Attached { child, .. }) = shop.run(Command::AttachChild(attach)) else {
        panic!("the child is not known")
    };
    shop.machine.state.attach(Attach { child, tasks: &tasks, queues: &[] });
    shop.machine.state.grant(child, 100, false);
    child
}

fn jobs_of(shop: &mut Shop, tasks: [&str; 3]) -> [JobId; 3] {
    tasks.map(|task| shop.enqueue(JobGroup { task: task.into(), ..group() }))
}

fn waits_for(shop: &Shop, job: JobId) -> String {
    shop.machine.record_of(job).waits_for.expect("it is available")
}

const SEND: [&str; 3] = ["shop.send", "shop.send v2", "shop.send v3"];

#[test]
fn a_child_is_leased_jobs_of_the_versions_that_it_runs() {
    for (runs, expected) in [
        ("shop.send", &[0, 1, 2][..]),
        ("shop.send v1", &[0]),
        ("shop.send v3", &[2]),
        ("shop.send v2-3", &[1, 2]),
        ("shop.send v2-9", &[1, 2]),
        ("shop.bill", &[]),
    ] {
        let mut shop = Shop::new();
        let jobs = jobs_of(&mut shop, SEND);
        child_of(&mut shop, 1, &[runs]);
        let expected: Vec<JobId> = expected.iter().map(|at| jobs[*at]).collect();
        assert_eq!(shop.leased_jobs(), expected, "{runs}");
    }
}

#[test]
fn the_position_of_a_lease_is_that_of_the_entry_with_its_version() {
    let mut shop = Shop::new();
    let child = child_of(&mut shop, 1, &["shop.bill v1", "shop.send v2-3", "shop.send v1"]);
    let jobs = jobs_of(&mut shop, SEND);
    assert_eq!(shop.leases().len(), 3);
    let state = &shop.machine.state;
    let position = |job| state.task_position(child, state.slot_of(job).unwrap());
    assert_eq!(jobs.map(position), [Some(2), Some(1), Some(1)]);
}

#[test]
fn a_job_says_which_versions_are_run_if_its_own_is_not() {
    let mut shop = Shop::new();
    let [first, second, third] = jobs_of(&mut shop, SEND);
    child_of(&mut shop, 1, &["shop.bill v1"]);
    assert_eq!(waits_for(&shop, third), "a worker: no worker knows shop.send v3 in queue default");
    child_of(&mut shop, 2, &["shop.send v1"]);
    child_of(&mut shop, 3, &["shop.send v4-5"]);
    assert_eq!(
        waits_for(&shop, second),
        "a worker: no worker knows shop.send v2 in queue default, only v1, v4-5"
    );
    assert_eq!(shop.machine.state.unknown_tasks(), ["shop.send v2".into(), "shop.send v3".into()]);
    assert_eq!(shop.leased_jobs(), [first]);
    child_of(&mut shop, 4, &["shop.send v2-3"]);
    assert_eq!(shop.leased_jobs(), [second, third]);
}

#[test]
fn unfinished_jobs_are_counted_by_version_wherever_they_are() {
    let mut shop = Shop::new();
    for task in ["shop.send", "shop.send v2", "shop.send v2"] {
        shop.enqueue(JobGroup { task: task.into(), ..group() });
    }
    let counts = |shop: &Shop| {
        let reports = shop.machine.state.task_reports();
        reports.iter().map(|report| (report.task.to_string(), report.unfinished)).collect::<Vec<_>>()
    };
    let both = [("shop.send v2".to_owned(), 2), ("shop.send".to_owned(), 1)];
    assert_eq!(counts(&shop), both);
    child_of(&mut shop, 1, &["shop.send"]);
    let leases = shop.leases();
    assert_eq!(counts(&shop), both, "running ones have not ended");
    leases.into_iter().for_each(|lease| shop.succeed(lease));
    assert_eq!(counts(&shop), []);
}

#[test]
fn a_filter_finds_every_version_or_one() {
    let mut shop = Shop::new();
    jobs_of(&mut shop, SEND);
    let found = |task: &str| {
        let filter = Filter { task: Some(task.into()), ..Filter::default() };
        shop.machine.state.page(&filter, 0, 10).slots.len()
    };
    assert_eq!(["shop.send", "shop.send v2", "shop.send v1", "shop.bill"].map(found), [3, 1, 1, 0]);
}

#[test]
fn a_handler_of_failures_is_a_job_of_its_version() {
    let mut shop = Shop::new();
    let handler = OnFailure {
        task: "shop.tell".into(),
        queue: "default".into(),
        priority: 5,
        expires_ms: None,
        deadline_ms: None,
        tags: Vec::new(),
        rules: Arc::default(),
        version: 2,
    };
    let rules = Rules { on_failure: Some(Arc::new(handler)), ..Rules::default() };
    let failed = shop.enqueue(JobGroup { rules: Arc::new(rules), ..group() });
    child_of(&mut shop, 1, &["shop.send", "shop.tell v1"]);
    let lease = shop.lease();
    shop.end(lease, super::shop::errored(&[]));
    assert_eq!(shop.state(failed), JobState::Discarded);
    assert_eq!(shop.leased_jobs(), []);
    assert_eq!(shop.machine.state.unknown_tasks(), ["shop.tell v2".into()]);
}

#[test]
fn what_is_no_version_is_refused() {
    let mut shop = Shop::new();
    for task in ["shop.send v1", "shop.send v0", "shop.send v2-3", "shop.send 2", "shop.send v2147483648"] {
        let refused = shop.try_enqueue(vec![JobGroup { task: task.into(), ..group() }]);
        assert_eq!(refused.unwrap_err(), RefusalCode::BadRequest, "{task}");
    }
}
