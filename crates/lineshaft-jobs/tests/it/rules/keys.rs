//! Unique keys, idempotency keys, sessions.

use std::sync::Arc;

use lineshaft_jobs::{Command, Payloads};
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{End, Enqueue, JobGroup, RefusalCode, Rules, Sequence, Unique, UniqueWhile};
use lineshaft_wire::{ErrorRecord, JobId};

use super::shop::{Shop, group, ids};

fn unique(key: &str, while_: UniqueWhile) -> JobGroup {
    let rules = Arc::new(Rules { max_attempts: 9, ..Rules::default() });
    JobGroup { unique: Some(Unique { key: key.into(), while_, period_ms: None }), rules, ..group() }
}

fn queued() -> JobGroup {
    unique("k", UniqueWhile::Queued)
}

fn with_key(key: &str) -> JobGroup {
    JobGroup { idempotency_key: Some(key.into()), ..group() }
}

#[test]
fn a_unique_key_keeps_others_out_until_the_job_is_finished() {
    let mut shop = Shop::new();
    let twin = || unique("k", UniqueWhile::Unfinished);
    let job = shop.enqueue(twin());
    assert_eq!(shop.enqueue(twin()), job);
    shop.child(1, 10);
    let lease = shop.lease();
    assert_eq!(shop.enqueue(twin()), job, "it runs");
    shop.end(lease, End::Snoozed { delay_ms: 1_000 });
    assert_eq!(shop.enqueue(twin()), job, "it waits");
    shop.restart();
    assert_eq!(shop.enqueue(twin()), job, "the engine was started again");
    shop.cancel(job).expect("it waits");
    assert_ne!(shop.enqueue(twin()), job);
}

#[test]
fn a_unique_key_while_queued_is_free_from_the_first_run_on() {
    let mut shop = Shop::new();
    let job = shop.enqueue(queued());
    assert_eq!(shop.enqueue(queued()), job);
    shop.child(1, 1);
    let lease = shop.lease();
    let other = shop.enqueue(queued());
    assert_ne!(other, job);
    shop.end(lease, End::Errored { error: ErrorRecord::default(), retry_after_ms: None });
    shop.cancel(other).expect("it is queued");
    assert_ne!(shop.enqueue(queued()), job, "it waits, but it has run");
}

#[test]
fn a_job_handed_back_before_it_ran_keeps_others_out_again() {
    let mut shop = Shop::new();
    let job = shop.enqueue(queued());
    shop.child(1, 1);
    let lease = shop.lease();
    shop.release(lease);
    assert_eq!(shop.enqueue(queued()), job);
}

/// Whose key it is was a matter of what the index held, and a loaded index gave it to the older job.
#[test]
fn a_job_handed_back_after_its_twin_came_in_gives_up_its_key_for_good() {
    let mut shop = Shop::new();
    let job = shop.enqueue(queued());
    shop.child(1, 1);
    let lease = shop.lease();
    let twin = shop.enqueue(queued());
    shop.release(lease);
    assert_eq!(shop.enqueue(queued()), twin);
    shop.restart();
    assert_eq!(shop.enqueue(queued()), twin, "after a restart too");
    shop.cancel(twin).expect("it is queued");
    let third = shop.enqueue(queued());
    assert!(third != job && third != twin);
}

#[test]
fn an_idempotency_key_answers_with_its_job_until_it_expires() {
    let mut shop = Shop::new();
    let job = shop.enqueue(with_key("order-1"));
    shop.child(1, 1);
    let lease = shop.lease();
    shop.succeed(lease);
    shop.archive(1);
    let again = shop.try_enqueue(vec![group(), with_key("order-1")]).expect("the key is known");
    assert_eq!((ids(&again)[1], again.existing), (job, vec![1]));
    for (passes, same) in [(86_399_999, true), (1, false)] {
        shop.pass(passes);
        shop.machine.state.touch_session(1, shop.machine.now.logical_ms);
        shop.machine.settle();
        assert_eq!(shop.enqueue(with_key("order-1")) == job, same, "after {passes} ms more");
    }
}

#[test]
fn one_request_names_a_key_once() {
    let mut shop = Shop::new();
    for twins in [vec![with_key("a"), with_key("a")], vec![queued(), queued()]] {
        assert_eq!(shop.try_enqueue(twins), Err(RefusalCode::BadRequest));
    }
    let known = shop.enqueue(with_key("a"));
    let both = shop.try_enqueue(vec![with_key("a"), with_key("a")]).expect("both are known by now");
    assert_eq!(ids(&both), [known, known]);
}

fn resend(shop: &mut Shop, number: u64, lowest: u64) -> Result<Told, RefusalCode> {
    let request = Enqueue { sequence: Sequence { number, lowest }, groups: vec![group()] };
    shop.run(Command::Enqueue { session: 1, request, arguments: Payloads::default() })
}

#[test]
fn a_request_sent_again_makes_nothing_and_is_answered_the_same() {
    let mut shop = Shop::new();
    let first = resend(&mut shop, 1, 1);
    assert!(first.is_ok());
    assert_eq!(resend(&mut shop, 1, 1), first);
    shop.restart();
    assert_eq!((resend(&mut shop, 1, 1), shop.machine.state.jobs()), (first, 1));
}

#[test]
fn an_outcome_that_was_forgotten_is_unknown_and_never_carried_out_again() {
    let mut shop = Shop::new();
    for number in 1..=3 {
        resend(&mut shop, number, number).expect("a new request");
    }
    for (number, lowest, expected) in [
        (2, 2, RefusalCode::OutcomeUnknown),
        (0, 0, RefusalCode::BadRequest),
        (4, 5, RefusalCode::BadRequest),
        (1_027, 3, RefusalCode::BadRequest),
        (u64::MAX, 3, RefusalCode::BadRequest),
    ] {
        assert_eq!(resend(&mut shop, number, lowest), Err(expected), "{number} with lowest {lowest}");
    }
    assert_eq!(shop.machine.state.jobs(), 3);
    assert!(resend(&mut shop, 1_026, 3).is_ok(), "the last number of the window");
}

#[test]
fn a_session_ends_ten_minutes_after_its_last_request() {
    let mut shop = Shop::new();
    resend(&mut shop, 1, 1).expect("a new request");
    shop.pass(599_999);
    shop.machine.settle();
    assert!(resend(&mut shop, 1, 1).is_ok());
    shop.pass(1);
    shop.machine.settle();
    assert_eq!(resend(&mut shop, 2, 2), Err(RefusalCode::OutcomeUnknown));
}

#[test]
fn ids_of_archived_jobs_are_never_given_again() {
    let mut shop = Shop::new();
    let mut seen: Vec<JobId> = Vec::new();
    for _ in 0..5 {
        let job = shop.enqueue(group());
        assert!(!seen.contains(&job));
        shop.cancel(job).expect("it is queued");
        shop.archive(1);
        assert_eq!(shop.machine.state.slot_of(job), None);
        seen.push(job);
    }
}

fn for_a_period(key: &str, period_ms: u64) -> JobGroup {
    let unique = Unique { key: key.into(), while_: UniqueWhile::Queued, period_ms: Some(period_ms) };
    JobGroup { unique: Some(unique), ..group() }
}

#[test]
fn a_unique_key_with_a_period_is_held_until_its_end_whatever_becomes_of_the_job() {
    let mut shop = Shop::new();
    shop.child(1, 10);
    let job = shop.enqueue(for_a_period("k", 60_000));
    let lease = shop.lease();
    shop.succeed(lease);
    assert_eq!(shop.enqueue(for_a_period("k", 60_000)), job, "it has ended");
    shop.archive(1);
    shop.restart();
    shop.pass(59_999);
    shop.leases();
    assert_eq!(shop.enqueue(for_a_period("k", 60_000)), job, "it is archived");
    assert_eq!(shop.machine.state.next_due().0, Some(shop.machine.now.wall_ms + 1));
    shop.pass(1);
    shop.leases();
    assert_ne!(shop.enqueue(for_a_period("k", 60_000)), job);
}

#[test]
fn a_period_that_ends_before_its_job_changes_nothing() {
    let mut shop = Shop::new();
    let job = shop.enqueue(for_a_period("k", 1));
    shop.pass(10);
    shop.leases();
    assert_eq!(shop.enqueue(for_a_period("k", 1)), job);
}

#[test]
fn a_period_of_nothing_and_a_full_table_of_them_are_refused() {
    let mut shop = Shop::with(lineshaft_jobs::Limits { unique_periods: 1, ..Default::default() });
    assert_eq!(shop.try_enqueue(vec![for_a_period("k", 0)]), Err(RefusalCode::BadRequest));
    shop.enqueue(for_a_period("k", 1_000));
    assert_eq!(shop.try_enqueue(vec![for_a_period("l", 1_000)]), Err(RefusalCode::QueueFull));
}
