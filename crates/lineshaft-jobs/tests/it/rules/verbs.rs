//! Cancelling, retrying, deleting.

use lineshaft_jobs::Answer;
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{Changed, End, JobGroup, RefusalCode, Rules, RunAfter};
use lineshaft_wire::{JobId, JobState};

use super::shop::{Shop, crashed, errored, group, with_rules};

/// A job brought into a state.
fn job_in(state: JobState) -> (Shop, JobId) {
    let mut shop = Shop::new();
    let scheduled = state == JobState::Scheduled;
    let rules = Rules { max_attempts: if state == JobState::Retryable { 2 } else { 1 }, ..Rules::default() };
    let run_after = scheduled.then_some(RunAfter::In(1_000));
    let job = shop.enqueue(JobGroup { run_after, ..with_rules(rules) });
    if matches!(state, JobState::Scheduled | JobState::Available) {
        return (shop, job);
    }
    shop.child(1, 1);
    let lease = shop.lease();
    match state {
        JobState::Completed => shop.succeed(lease),
        JobState::Retryable | JobState::Discarded => shop.end(lease, errored(&[])),
        JobState::Cancelled => shop.end(lease, End::CancelledItself { reason: "enough".into() }),
        _ => {}
    }
    assert_eq!(shop.state(job), state);
    (shop, job)
}

#[test]
fn cancel_ends_what_waits_marks_what_runs_and_leaves_what_is_finished() {
    use JobState::{Available, Cancelled, Completed, Discarded, Retryable, Running, Scheduled};
    for (before, after, cancelling) in [
        (Scheduled, Cancelled, false),
        (Available, Cancelled, false),
        (Retryable, Cancelled, false),
        (Running, Running, true),
        (Completed, Completed, false),
        (Cancelled, Cancelled, false),
        (Discarded, Discarded, false),
    ] {
        let (mut shop, job) = job_in(before);
        for _ in 0..2 {
            let changed = Changed { state: Some(after), cancelling, jobs: 1 };
            assert_eq!(shop.cancel(job), Ok(Told::Answer(Answer::Changed(changed))), "{before}");
        }
        assert_eq!(shop.state(job), after);
    }
}

#[test]
fn a_marked_job_is_cancelled_however_its_attempt_ends_unless_it_succeeds() {
    for (end, expected) in [
        (Some(errored(&[])), JobState::Cancelled),
        (Some(crashed()), JobState::Cancelled),
        (Some(End::Cancelled), JobState::Cancelled),
        (Some(End::Snoozed { delay_ms: 1 }), JobState::Cancelled),
        (None, JobState::Completed),
    ] {
        let mut shop = Shop::new();
        let job = shop.enqueue(with_rules(Rules { max_attempts: 5, ..Rules::default() }));
        shop.child(1, 1);
        let lease = shop.lease();
        shop.cancel(job).expect("it runs");
        match end {
            Some(end) => shop.end(lease, end),
            None => shop.succeed(lease),
        }
        assert_eq!(shop.state(job), expected);
        assert!(!shop.machine.record_of(job).cancelling);
    }
}

#[test]
fn retry_means_now_for_what_waits_and_a_new_job_for_what_is_finished() {
    for (before, expected) in [
        (JobState::Scheduled, "now"),
        (JobState::Retryable, "now"),
        (JobState::Available, "refused"),
        (JobState::Running, "refused"),
        (JobState::Completed, "elsewhere"),
        (JobState::Cancelled, "elsewhere"),
        (JobState::Discarded, "elsewhere"),
    ] {
        let (mut shop, job) = job_in(before);
        let seen = match shop.retry(job) {
            Ok(Told::Answer(_)) if shop.state(job) == JobState::Available => "now",
            Ok(Told::NotInMemory(_)) => "elsewhere",
            Err(RefusalCode::WrongState) => "refused",
            other => panic!("{before}: {other:?}"),
        };
        assert_eq!(seen, expected, "{before}");
    }
}

#[test]
fn only_finished_jobs_can_be_deleted() {
    for before in [JobState::Scheduled, JobState::Available, JobState::Running, JobState::Retryable] {
        let (mut shop, job) = job_in(before);
        assert_eq!(shop.delete(job), Err(RefusalCode::WrongState), "{before}");
    }
}

#[test]
fn a_deleted_job_is_unknown_to_every_verb() {
    let (mut shop, job) = job_in(JobState::Completed);
    shop.delete(job).expect("it is finished");
    assert!(shop.machine.state.is_deleted(job));
    assert_eq!(shop.cancel(job), Ok(Told::NotInMemory(job)));
    assert_eq!(shop.retry(job), Ok(Told::NotInMemory(job)));
    assert_eq!(shop.delete(job), Err(RefusalCode::JobNotFound));
}

#[test]
fn an_id_that_never_was_is_not_in_memory() {
    let mut shop = Shop::new();
    shop.enqueue(group());
    for unknown in
        [JobId::direct(1, 0, 0, 0), JobId::direct(1, 0, u32::MAX, 7), JobId::direct(1, 2_047, 0, 0)]
    {
        assert_eq!(shop.cancel(unknown), Ok(Told::NotInMemory(unknown)));
    }
    let named: JobId = "0199b1c2-7a5e-7000-8000-000000000001".parse().expect("a named id");
    assert_eq!(shop.delete(named), Ok(Told::NotInMemory(named)));
}
