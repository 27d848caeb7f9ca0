//! Attempts of tasks in Rust are profiled, for each of the reasons.
#![allow(clippy::unused_async)] // A coroutine that computes, and awaits nothing.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use lineshaft::profile::{Kind, Profile};
use lineshaft::task::{Error as TaskError, Result};
use lineshaft::{Call, Client, Error, Job, Worker};
use lineshaft_wire::Looks;
use lineshaft_wire::log_record::{LogFilter, LogRecord};
use lineshaft_wire::message::{ListLogs, PROFILE_LOGGER};

use super::with_client;

/// Nothing here takes so long; a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a body: long enough to be seen a few times on a busy machine.
const LASTS: Duration = Duration::from_millis(400);
/// Runs after which it is known what is long.
const RUNS: usize = 120;

#[inline(never)]
fn computes(lasts: Duration) -> u64 {
    let until = Instant::now() + lasts;
    let mut sum = 0;
    while Instant::now() < until {
        sum += black_box((0..100).sum::<u64>());
    }
    sum
}

/// Waits, computes and waits.
#[lineshaft::task(name = "profiles.works")]
async fn works() -> u64 {
    tokio::time::sleep(LASTS).await;
    let sum = computes(LASTS);
    tokio::time::sleep(LASTS).await;
    sum
}

#[lineshaft::task(name = "profiles.works_blocking")]
fn works_blocking() -> u64 {
    computes(LASTS)
}

#[lineshaft::task(name = "profiles.each", profile = true)]
async fn each() -> u64 {
    computes(LASTS)
}

#[lineshaft::task(name = "profiles.none", profile = 0)]
async fn none(lasts_ms: u64) -> u64 {
    computes(Duration::from_millis(lasts_ms))
}

#[lineshaft::task(name = "profiles.lasts")]
async fn lasts(lasts_ms: u64) -> u64 {
    if lasts_ms > 0 { computes(Duration::from_millis(lasts_ms)) } else { 0 }
}

#[lineshaft::task(name = "profiles.lasts_blocking")]
fn lasts_blocking(lasts_ms: u64) {
    rests(Duration::from_millis(lasts_ms));
}

#[inline(never)]
fn rests(lasts: Duration) {
    thread::sleep(lasts);
    black_box(());
}

#[lineshaft::task(name = "profiles.fails")]
async fn fails(panics: bool) -> Result<()> {
    computes(LASTS);
    assert!(!panics, "went off");
    Err(TaskError::new("no"))
}

#[lineshaft::task(name = "profiles.hangs", timeout = "500ms")]
async fn hangs() {
    tokio::time::sleep(PATIENCE * 2).await;
}

async fn profiled<R>(job: &Job<R>) -> Profile {
    job.profile().await.unwrap().expect("it was profiled")
}

async fn record_of<R>(client: &Client, job: &Job<R>) -> LogRecord {
    let logger = Some(PROFILE_LOGGER.into());
    let filter = LogFilter { job: Some(job.id()), logger, ..LogFilter::default() };
    let list = ListLogs { filter, count: 10, newest_first: true, ..ListLogs::default() };
    client.raw().logs(list, None).await.unwrap().records.remove(0)
}

/// The part of the time of threads that a function has, with what it calls.
fn share_of(profile: &Profile, name: &str) -> f64 {
    let found = profile.hot_functions(1_000).into_iter().find(|one| one.name.ends_with(name));
    let function = found.unwrap_or_else(|| panic!("{name} was not seen in {:?}", profile.tracks()));
    function.total.wall_ns as f64 / profile.total(Kind::Thread).wall_ns as f64
}

async fn end_of<R: serde::de::DeserializeOwned>(job: &Job<R>) -> Result<R, Error> {
    tokio::time::timeout(PATIENCE, job.result()).await.expect("it ends")
}

#[test]
fn a_coroutine_is_seen_where_it_computes_and_apart_from_that_where_it_waits() {
    with_client(async |client| {
        let worker = Worker::new(&client).task(works::TASK).start().unwrap();
        let job = client.enqueue(works::call().profile(true)).await.unwrap();
        end_of(&job).await.unwrap();
        let profile = profiled(&job).await;
        assert!(share_of(&profile, "::computes") > 0.9, "{:?}", profile.hot_functions(9));
        // The standard library's, into which most of it is inlined, may be of no line.
        let lines: Vec<_> = profile.stacks().flat_map(|(stack, _)| stack.calls).collect();
        let is_here = |file: &str, line: u32| file.ends_with("face/profiles.rs") && line > 0;
        assert!(lines.iter().any(|(frame, line)| is_here(frame.file, *line)), "{lines:?}");
        let (computed, waited) = (profile.total(Kind::Thread), profile.total(Kind::Awaiting));
        assert!(computed.samples > 2 && waited.wall_ns >= LASTS.as_nanos() as u64, "{computed:?} {waited:?}");
        assert!(computed.wall_ns >= LASTS.as_nanos() as u64 / 2, "{computed:?}");
        let stacks: Vec<_> = profile.stacks().collect();
        let is_of_the_runtime = |name: &str| name.contains("tokio::runtime") || name.contains("__lineshaft");
        let outside =
            stacks.iter().find(|(stack, _)| stack.calls.iter().any(|call| is_of_the_runtime(call.0.name)));
        assert_eq!(outside, None, "what calls the body is no part of it");
        let record = record_of(&client, &job).await;
        let (task, message) = (&*record.task, &*record.message);
        assert!(task == "profiles.works" && message.starts_with("profiled "), "{record:?}");
        assert!(
            message.contains(" samples: ") && message.ends_with("awaited: profiles.works 100 %"),
            "{message}"
        );
        worker.stop().await.unwrap();
    });
}

#[test]
fn a_body_that_may_block_is_seen_and_who_does_not_ask_gets_no_profile() {
    with_client(async |client| {
        let worker = Worker::new(&client).task(works_blocking::TASK).start().unwrap();
        let asked = works_blocking::call().profile(true);
        let (asked, other) = (client.enqueue(asked).await.unwrap(), works_blocking::call().profile(false));
        let other = client.enqueue(other).await.unwrap();
        end_of(&asked).await.unwrap();
        end_of(&other).await.unwrap();
        let profile = profiled(&asked).await;
        assert!(share_of(&profile, "::computes") > 0.9, "{:?}", profile.hot_functions(9));
        assert!(profile.total(Kind::Thread).samples > 2);
        assert_eq!(other.profile().await.unwrap(), None);
        worker.stop().await.unwrap();
    });
}

#[test]
fn a_task_says_the_share_of_its_attempts_that_are_profiled() {
    with_client(async |client| {
        let worker = Worker::new(&client).task(each::TASK).task(none::TASK).start().unwrap();
        let (of_each, of_none) = (client.enqueue(each::call()).await, client.enqueue(none::call(10)).await);
        let (of_each, of_none) = (of_each.unwrap(), of_none.unwrap());
        let asked = client.enqueue(none::call(400).profile(true)).await.unwrap();
        for job in [&of_each, &of_none, &asked] {
            end_of(job).await.unwrap();
        }
        share_of(&profiled(&of_each).await, "::computes");
        assert_eq!(of_none.profile().await.unwrap(), None);
        share_of(&profiled(&asked).await, "::computes");
        worker.stop().await.unwrap();
    });
}

#[test]
fn the_next_attempts_of_a_task_are_profiled_by_command() {
    with_client(async |client| {
        client.raw().profile_next("profiles.works_blocking", 1, Looks::MEMORY, None).await.unwrap();
        let worker = Worker::new(&client).task(works_blocking::TASK).slots(1).start().unwrap();
        let first = client.enqueue(works_blocking::call()).await.unwrap();
        end_of(&first).await.unwrap();
        let second = client.enqueue(works_blocking::call()).await.unwrap();
        end_of(&second).await.unwrap();
        share_of(&profiled(&first).await, "::computes");
        assert_eq!(second.profile().await.unwrap(), None);
        worker.stop().await.unwrap();
    });
}

/// The coroutines are run by the worker itself by then, one after the other.
#[test]
fn an_attempt_that_runs_for_long_is_profiled_by_itself() {
    with_client(async |client| {
        let worker = Worker::new(&client).task(lasts::TASK).task(lasts_blocking::TASK).task(none::TASK);
        let worker = worker.start().unwrap();
        let quick = (0..RUNS).flat_map(|_| ["lasts", "lasts_blocking", "none"]);
        let quick =
            quick.map(|task| Call::<lineshaft::value::Value>::new(&format!("profiles.{task}")).arg(&0));
        for job in client.enqueue_many(quick).await.unwrap() {
            end_of(&job).await.unwrap();
        }
        let long = client.enqueue(lasts::call(3_000)).await.unwrap();
        end_of(&long).await.unwrap();
        let blocks = client.enqueue(lasts_blocking::call(3_000)).await.unwrap();
        end_of(&blocks).await.unwrap();
        let unseen = client.enqueue(none::call(2_000)).await.unwrap();
        end_of(&unseen).await.unwrap();
        // What was run by the worker itself ends first, so that others are not held up by what is kept of it.
        let until = Instant::now() + PATIENCE;
        while long.profile().await.unwrap().is_none() {
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        share_of(&profiled(&long).await, "::computes");
        assert!(record_of(&client, &long).await.fields.contains(&("why".into(), "\"slow\"".into())));
        share_of(&profiled(&blocks).await, "::rests");
        assert_eq!(unseen.profile().await.unwrap(), None, "its task wants none");
        worker.stop().await.unwrap();
    });
}

#[test]
fn a_body_that_fails_panics_or_is_stopped_leaves_its_profile() {
    with_client(async |client| {
        let worker = Worker::new(&client).task(fails::TASK).task(hangs::TASK).start().unwrap();
        for panics in [false, true] {
            let job = client.enqueue(fails::call(panics).profile(true)).await.unwrap();
            assert!(matches!(end_of(&job).await, Err(Error::TaskFailed(_))));
            share_of(&profiled(&job).await, "::computes");
        }
        let job = client.enqueue(hangs::call().profile(true)).await.unwrap();
        assert!(matches!(end_of(&job).await, Err(Error::TaskTimeout(_))));
        let profile = profiled(&job).await;
        assert!(profile.total(Kind::Awaiting).wall_ns > 100_000_000);
        worker.stop().await.unwrap();
    });
}
