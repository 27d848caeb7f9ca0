//! Cached results.

use std::sync::Arc;

use lineshaft_jobs::Limits;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{End, JobGroup, RefusalCode, Rules, Unique, UniqueWhile};

use super::shop::{Shop, group, ids};

const MINUTE_MS: u64 = 60_000;

fn cached_for(key: &str, period_ms: u64) -> JobGroup {
    let unique = Unique { key: key.into(), while_: UniqueWhile::Cached, period_ms: Some(period_ms) };
    JobGroup { unique: Some(unique), ..group() }
}

fn cached() -> JobGroup {
    cached_for("k", MINUTE_MS)
}

fn anew() -> JobGroup {
    JobGroup { anew: true, ..cached() }
}

/// A shop in which a cached job has just been completed.
fn warm() -> (Shop, JobId) {
    let mut shop = Shop::new();
    shop.child(1, 100);
    let job = run(&mut shop, cached());
    (shop, job)
}

fn run(shop: &mut Shop, group: JobGroup) -> JobId {
    let job = shop.enqueue(group);
    let lease = shop.lease();
    assert_eq!(lease.1, job, "it is a new one");
    shop.succeed(lease);
    job
}

#[test]
fn an_equal_call_joins_the_unfinished_job_and_is_answered_with_the_completed_one() {
    let mut shop = Shop::new();
    shop.child(1, 10);
    let job = shop.enqueue(cached());
    assert_eq!(shop.enqueue(cached()), job, "it is queued");
    let lease = shop.lease();
    let joined = shop.try_enqueue(vec![cached()]).expect("it runs");
    assert_eq!((ids(&joined)[0], joined.existing, joined.completed), (job, vec![0], Vec::new()));
    shop.pass(5 * MINUTE_MS);
    shop.succeed(lease);
    shop.pass(MINUTE_MS - 1);
    shop.leases();
    let found = shop.try_enqueue(vec![cached()]).expect("it is completed");
    assert_eq!((ids(&found)[0], found.existing, found.completed), (job, vec![0], vec![0]));
    assert_ne!(shop.enqueue(cached_for("l", MINUTE_MS)), job, "another key");
    shop.pass(1);
    assert_ne!(shop.enqueue(cached()), job, "before the engine has forgotten it");
}

#[test]
fn a_hit_writes_nothing_and_a_request_that_makes_a_job_too_is_remembered() {
    let (mut shop, job) = warm();
    let commits = |shop: &Shop| shop.machine.commits.values().map(Vec::len).max();
    let before = commits(&shop);
    assert_eq!(shop.enqueue(cached()), job);
    assert_eq!(commits(&shop), before, "only the clock");
    let both = shop.try_enqueue(vec![group(), cached()]).expect("one of them is known");
    assert_eq!((ids(&both)[1], both.existing, both.completed), (job, vec![1], vec![1]));
}

#[test]
fn results_are_cached_by_restarts_and_in_the_archive() {
    let (mut shop, job) = warm();
    let unfinished = shop.enqueue(cached_for("l", MINUTE_MS));
    shop.restart();
    assert_eq!(shop.enqueue(cached()), job);
    assert_eq!(shop.enqueue(cached_for("l", MINUTE_MS)), unfinished);
    shop.archive(1);
    shop.restart();
    let found = shop.try_enqueue(vec![cached()]).expect("it is archived");
    assert_eq!((ids(&found)[0], found.completed), (job, vec![0]));
    assert_eq!(shop.invalidate(&["k", "l"], None), 2, "both are known after a start");
}

#[test]
fn who_wants_a_younger_result_than_there_is_has_it_made() {
    let (mut shop, job) = warm();
    shop.pass(10_000);
    assert_eq!(shop.enqueue(cached_for("k", 10_001)), job);
    let other = run(&mut shop, cached_for("k", 10_000));
    assert_ne!(other, job);
    assert_eq!(shop.enqueue(cached()), other, "it has taken the place");
    shop.pass(10_000);
    shop.leases();
    assert_ne!(shop.enqueue(cached()), other, "for as long as was said of it");
}

#[test]
fn only_a_completed_job_is_answered_with() {
    let mut shop = Shop::new();
    shop.child(1, 100);
    let cancelled = shop.enqueue(JobGroup { queue: "other".into(), ..cached() });
    shop.cancel(cancelled).expect("it is queued");
    let failed = shop.enqueue(cached());
    assert_ne!(failed, cancelled);
    let lease = shop.lease();
    shop.end(lease, super::shop::errored(&["x.Gone"]));
    let next = shop.enqueue(cached());
    assert_ne!(next, failed);
    let lease = shop.lease();
    shop.end(lease, End::Snoozed { delay_ms: 1 });
    assert_eq!(shop.enqueue(cached()), next, "it waits");
}

#[test]
fn a_job_made_anew_takes_the_place_of_a_completed_and_of_a_running_one() {
    let (mut shop, job) = warm();
    let second = shop.enqueue(anew());
    assert_ne!(second, job);
    let running = shop.lease();
    let third = shop.enqueue(anew());
    assert_eq!(shop.enqueue(cached()), third);
    shop.restart();
    assert_eq!(shop.enqueue(cached()), third, "a loaded index agrees");
    shop.child_holding(1, 1, vec![(running.1, running.2)]);
    let lease = shop.lease();
    shop.succeed(lease);
    assert_eq!(shop.enqueue(cached()), third);
    shop.succeed(running);
    assert_eq!(shop.enqueue(cached()), third, "the replaced one came to its end later");
}

#[test]
fn what_is_invalidated_is_made_again_and_what_runs_meanwhile_is_not_kept() {
    let (mut shop, job) = warm();
    assert_eq!(shop.invalidate(&["k", "nobody's"], None), 1);
    let running = shop.enqueue(cached());
    assert_ne!(running, job);
    let lease = shop.lease();
    assert_eq!(shop.invalidate(&["k"], None), 1);
    shop.restart();
    let lease = (shop.child_holding(1, 1, vec![(lease.1, lease.2)]), lease.1, lease.2);
    let other = shop.enqueue(cached());
    assert_ne!(other, running);
    shop.succeed(lease);
    assert_eq!(shop.enqueue(cached()), other, "the one that ran is nobody's");
}

#[test]
fn a_prefix_lets_go_of_its_keys_step_by_step_and_of_no_others() {
    let mut shop = Shop::with(Limits { step: 2, ..Limits::default() });
    shop.child(1, 100);
    let keys = ["a 1", "a 2", "a 3", "b 1"];
    for key in keys {
        run(&mut shop, cached_for(key, MINUTE_MS));
    }
    let plain =
        Unique { key: "a unique".into(), while_: UniqueWhile::Unfinished, period_ms: Some(MINUTE_MS) };
    let plain = || JobGroup { unique: Some(plain.clone()), queue: "other".into(), ..group() };
    let unique = shop.enqueue(plain());
    assert_eq!([0; 3].map(|_| shop.invalidate(&[], Some("a "))), [2, 1, 0]);
    assert_eq!(shop.enqueue(plain()), unique, "that is no cached result");
    assert_eq!(shop.invalidate(&keys, None), 1);
}

#[test]
fn a_result_that_is_gone_is_made_again() {
    let (mut shop, job) = warm();
    shop.delete(job).expect("it is finished");
    let second = run(&mut shop, cached());
    assert_ne!(second, job, "it was deleted");
    shop.machine.state.set_history_from(shop.machine.now.wall_ms + 1);
    assert_eq!(shop.enqueue(cached()), second, "it is in memory");
    shop.archive(2);
    assert_ne!(shop.enqueue(cached()), second, "its block was dropped");
}

#[test]
fn a_result_is_cached_for_some_time_and_no_longer_than_it_is_kept() {
    let mut shop = Shop::with(Limits { unique_periods: 1, ..Limits::default() });
    shop.child(1, 100);
    let no_result = Rules { keep_result: false, ..Rules::default() };
    let no_period = Unique { key: "k".into(), while_: UniqueWhile::Cached, period_ms: None };
    for wrong in [
        cached_for("k", 86_400_001),
        JobGroup { rules: Arc::new(no_result), ..cached() },
        JobGroup { unique: Some(no_period), ..group() },
        JobGroup { anew: true, ..group() },
    ] {
        assert_eq!(shop.try_enqueue(vec![wrong]), Err(RefusalCode::BadRequest));
    }
    run(&mut shop, cached_for("k", 86_400_000));
    assert_eq!(shop.try_enqueue(vec![cached_for("l", 1)]), Err(RefusalCode::QueueFull));
}
