//! Jobs that must begin or end by a time.

use lineshaft_jobs::Limits;
use lineshaft_wire::message::{End, JobGroup, QueueVerb, Rules, RunAfter};
use lineshaft_wire::{ErrorRecord, JobState, Outcome};

use super::shop::{Shop, crashed, errored, group, with_rules};

fn ended(state: JobState, reason: &str) -> (JobState, Option<String>) {
    (state, Some(reason.to_owned()))
}

fn expiring(milliseconds: u64) -> JobGroup {
    JobGroup { expires: Some(RunAfter::In(milliseconds)), ..group() }
}

fn with_deadline(milliseconds: u64, rules: Rules) -> JobGroup {
    JobGroup { deadline: Some(RunAfter::In(milliseconds)), ..with_rules(rules) }
}

fn retried() -> Rules {
    Rules { max_attempts: 10, backoff_first_ms: 0, ..Rules::default() }
}

#[test]
fn a_job_that_did_not_begin_in_time_is_discarded_without_an_attempt() {
    let mut shop = Shop::new();
    let job = shop.enqueue(expiring(1_000));
    let other = shop.enqueue(group());
    shop.pass(999);
    assert_eq!((shop.leases(), shop.state(job)), (Vec::new(), JobState::Available));
    shop.pass(1);
    shop.leases();
    assert_eq!(shop.ended(job), ended(JobState::Discarded, "expired"));
    assert!(shop.machine.record_of(job).attempts.is_empty());
    assert_eq!(shop.state(other), JobState::Available);
}

#[test]
fn a_job_that_came_too_late_is_never_leased() {
    let mut shop = Shop::new();
    shop.child(1, 10);
    let past = shop.machine.now.wall_ms - 1;
    let expired = shop.enqueue(JobGroup { expires: Some(RunAfter::At(past)), ..group() });
    let dead = shop.enqueue(JobGroup { deadline: Some(RunAfter::At(past)), ..group() });
    assert_eq!(shop.leased_jobs(), []);
    assert_eq!(shop.ended(expired), ended(JobState::Discarded, "expired"));
    assert_eq!(shop.ended(dead), ended(JobState::Discarded, "deadline"));
}

#[test]
fn a_job_that_began_does_not_expire_any_more() {
    let mut shop = Shop::new();
    shop.child(1, 10);
    let job = shop.enqueue(JobGroup { expires: Some(RunAfter::In(1_000)), ..with_rules(retried()) });
    let lease = shop.lease();
    shop.pass(2_000);
    shop.leases();
    assert_eq!(shop.state(job), JobState::Running);
    shop.end(lease, errored(&["x.Busy"]));
    assert_eq!(shop.lease().1, job, "it is retried after the time by which it had to begin");
}

#[test]
fn a_job_handed_back_unbegun_expires() {
    let mut shop = Shop::new();
    shop.child(1, 1);
    let job = shop.enqueue(expiring(1_000));
    let lease = shop.lease();
    shop.pass(1_500);
    shop.release(lease);
    assert_eq!(shop.leased_jobs(), []);
    assert_eq!(shop.ended(job), ended(JobState::Discarded, "expired"));
}

/// A resource that did not open counted as a beginning, so that a job never expired however long it stayed closed.
#[test]
fn a_job_put_off_before_its_body_was_called_uses_no_attempt_and_expires() {
    let mut shop = Shop::new();
    shop.child(1, 10);
    let job = shop.enqueue(expiring(1_000));
    for delay_ms in [300, 5_000] {
        let lease = shop.lease();
        shop.end(lease, End::PutOff { delay_ms, reason: "resource db did not open: refused".into() });
        let record = shop.machine.record_of(job);
        assert_eq!((record.state, record.attempts.len()), (JobState::Scheduled, 0));
        assert_eq!((record.attempt, record.reason), (0, None));
        assert_eq!(record.waits_for.as_deref(), Some("its time: resource db did not open: refused"));
        shop.pass(400);
    }
    shop.pass(300);
    assert_eq!(shop.leased_jobs(), []);
    assert_eq!(shop.ended(job), ended(JobState::Discarded, "expired"));
}

#[test]
fn a_job_put_off_may_be_retried_at_once_and_is_cancelled_if_that_was_asked_for() {
    let mut shop = Shop::new();
    shop.child(1, 10);
    let put_off = || End::PutOff { delay_ms: 60_000, reason: "down".into() };
    let job = shop.enqueue(with_rules(retried()));
    let lease = shop.lease();
    shop.end(lease, put_off());
    shop.restart();
    shop.child(1, 10);
    shop.retry(job).expect("it waits");
    let lease = shop.lease();
    assert_eq!(shop.machine.record_of(job).waits_for, None);
    shop.cancel(job).expect("it runs");
    shop.end(lease, put_off());
    assert_eq!(shop.ended(job), ended(JobState::Cancelled, "cancelled"));
}

#[test]
fn a_scheduled_job_expires_before_its_time_comes() {
    let mut shop = Shop::new();
    shop.child(1, 1);
    let job = shop.enqueue(JobGroup { run_after: Some(RunAfter::In(2_000)), ..expiring(1_000) });
    let both = shop.enqueue(JobGroup { run_after: Some(RunAfter::In(1_000)), ..expiring(1_000) });
    shop.pass(1_000);
    assert_eq!(shop.leased_jobs(), []);
    assert_eq!(shop.ended(job), ended(JobState::Discarded, "expired"));
    assert_eq!(shop.ended(both), ended(JobState::Discarded, "expired"));
}

#[test]
fn no_attempt_begins_after_the_deadline() {
    for end in [errored(&["x.Busy"]), crashed(), End::Snoozed { delay_ms: 5 }, End::Cancelled] {
        let mut shop = Shop::new();
        shop.child(1, 10);
        let job = shop.enqueue(with_deadline(1_000, retried()));
        let lease = shop.lease();
        shop.pass(500);
        shop.end(lease, end.clone());
        shop.pass(5);
        let lease = shop.lease();
        shop.pass(500);
        shop.end(lease, end);
        assert_eq!(shop.ended(job), ended(JobState::Discarded, "deadline"));
    }
}

#[test]
fn a_job_that_waits_to_be_retried_is_discarded_at_its_deadline() {
    let mut shop = Shop::new();
    shop.child(1, 1);
    let job = shop.enqueue(with_deadline(1_000, retried()));
    let lease = shop.lease();
    shop.end(lease, End::Errored { error: ErrorRecord::default(), retry_after_ms: Some(60_000) });
    shop.pass(999);
    shop.leases();
    assert_eq!(shop.state(job), JobState::Retryable);
    shop.pass(1);
    shop.leases();
    assert_eq!(shop.ended(job), ended(JobState::Discarded, "deadline"));
}

#[test]
fn an_attempt_has_no_more_time_than_its_job() {
    let mut shop = Shop::new();
    shop.child(1, 1);
    let rules = Rules { timeout_ms: Some(60_000), ..retried() };
    let job = shop.enqueue(with_deadline(1_000, rules));
    shop.pass(400);
    let lease = shop.lease();
    let slot = shop.machine.state.slot_of(job).expect("it runs");
    assert_eq!(shop.machine.state.lease_view(slot).timeout_ms, Some(600));
    shop.pass(599);
    shop.end(lease, End::TimedOut { error: ErrorRecord::default() });
    let record = shop.machine.record_of(job);
    assert_eq!(record.attempts[0].outcome, Some(Outcome::TimedOut));
    assert_eq!(
        shop.ended(job),
        ended(JobState::Discarded, "deadline"),
        "though its clock was a moment early"
    );
}

#[test]
fn a_timeout_long_before_the_deadline_is_retried() {
    let mut shop = Shop::new();
    shop.child(1, 2);
    let rules = Rules { timeout_ms: Some(100), ..retried() };
    let job = shop.enqueue(with_deadline(60_000, rules));
    let lease = shop.lease();
    shop.pass(100);
    shop.end(lease, End::TimedOut { error: ErrorRecord::default() });
    assert_eq!(shop.lease().1, job);
}

#[test]
fn a_cancelled_job_is_cancelled_after_its_deadline_too() {
    let mut shop = Shop::new();
    shop.child(1, 1);
    let job = shop.enqueue(with_deadline(1_000, retried()));
    let lease = shop.lease();
    shop.cancel(job).expect("it runs");
    shop.pass(2_000);
    shop.end(lease, End::TimedOut { error: ErrorRecord::default() });
    assert_eq!(shop.ended(job), ended(JobState::Cancelled, "cancelled"));
}

#[test]
fn ten_thousand_jobs_expire_in_bounded_steps_and_none_of_them_is_leased() {
    let mut shop = Shop::new();
    shop.child(1, 1_000);
    shop.queue("default", QueueVerb::Pause);
    shop.try_enqueue(vec![JobGroup { lengths: vec![0; 10_000], ..expiring(1_000) }]).expect("many jobs");
    shop.queue("default", QueueVerb::Resume);
    shop.machine.now.wall_ms += 1_000;
    shop.machine.begin();
    let first = shop.machine.state.tick(shop.machine.now);
    for entry in first {
        shop.machine.record(entry);
    }
    assert_eq!(shop.machine.state.unarchived(), 4_096);
    assert_eq!(shop.machine.state.next_lease(u32::MAX), None, "the others are due");
    assert!(shop.machine.state.is_due(shop.machine.now));
    assert_eq!(shop.leases(), []);
    assert_eq!(shop.machine.state.unarchived(), 10_000);
}

#[test]
fn limits_outlive_a_restart() {
    let mut shop = Shop::new();
    let expiring = shop.enqueue(expiring(1_000));
    let dead = shop.enqueue(with_deadline(2_000, retried()));
    shop.restart();
    shop.pass(1_000);
    shop.leases();
    assert_eq!(shop.ended(expiring), ended(JobState::Discarded, "expired"));
    shop.restart();
    shop.pass(1_000);
    shop.leases();
    assert_eq!(shop.ended(dead), ended(JobState::Discarded, "deadline"));
}

/// It was left to the purge, and leased before that came to it.
#[test]
fn a_job_that_is_too_late_is_not_leased_before_a_purge_comes_to_it() {
    let mut shop = Shop::with(Limits { step: 2, ..Limits::default() });
    (0..4).for_each(|_| _ = shop.enqueue(group()));
    let late = shop.enqueue(with_deadline(10, Rules::default()));
    shop.child(1, 10);
    shop.queue("default", QueueVerb::Purge);
    shop.pass(10);
    for entry in shop.machine.state.tick(shop.machine.now) {
        shop.machine.record(entry);
    }
    while let Some(change) = shop.machine.state.next_lease(10) {
        shop.machine.record(change.into());
    }
    assert_eq!(shop.ended(late), ended(JobState::Discarded, "deadline"));
}
