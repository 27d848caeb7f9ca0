//! What becomes of a job when an attempt does not return.

use lineshaft_jobs::{Command, Payloads};
use lineshaft_testkit::model::Happened;
use lineshaft_wire::message::{End, Finish, OtherEnd, Rules};
use lineshaft_wire::{ErrorRecord, JobState, Measures};

use super::shop::{Lease, Shop, crashed, errored, group, with_rules};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The delay before the attempt after `failures` failures, with this chance.
fn backoff(first_ms: u64, limit_ms: u64, failures: u32, random: u64) -> u64 {
    let rules = Rules {
        max_attempts: 10_000,
        backoff_first_ms: first_ms,
        backoff_max_ms: limit_ms,
        ..Rules::default()
    };
    let mut shop = Shop::new();
    let job = shop.enqueue(with_rules(rules));
    let child = shop.child(1, 1);
    let mut delay = 0;
    for _ in 0..failures {
        let lease = shop.lease();
        shop.machine.state.grant(child, 1, false);
        shop.machine.begin();
        shop.machine.now.random = random;
        end_without_a_new_commit(&mut shop, lease);
        let record = shop.machine.record_of(job);
        assert_eq!(record.state, JobState::Retryable);
        delay = record.scheduled_at.expect("it waits") - shop.machine.now.wall_ms;
        shop.pass(delay);
        shop.machine.state.renew(child, shop.machine.now.logical_ms);
    }
    delay
}

fn end_without_a_new_commit(shop: &mut Shop, lease: Lease) {
    let (child, job, fence) = lease;
    let end = OtherEnd {
        job,
        fence,
        started_at: 0,
        finished_at: 0,
        end: errored(&[]),
        output_length: 0,
        measures: Measures::default(),
    };
    let finish = Finish { others: vec![end], ..Finish::default() };
    let payloads = Payloads::default();
    shop.machine.run(Command::Finish { child, finish, payloads }).expect("the lease stands");
}

#[test]
fn backoff_doubles_up_to_its_limit_with_full_jitter() {
    let most = u64::MAX;
    for (first_ms, limit_ms, failures, random, expected) in [
        (1_000, 600_000, 1, most, 1_000),
        (1_000, 600_000, 1, 0, 0),
        (1_000, 600_000, 1, most / 2, 500),
        (1_000, 600_000, 2, most, 2_000),
        (1_000, 600_000, 4, most, 8_000),
        (1_000, 10_000, 5, most, 10_000),
        (0, 600_000, 3, most, 0),
        (1_000, 10_000, 70, most, 10_000),
    ] {
        assert_eq!(
            backoff(first_ms, limit_ms, failures, random),
            expected,
            "{first_ms} {limit_ms} {failures} {random}"
        );
    }
}

/// Ends the first attempt and says what became of the job.
fn after(rules: Rules, end: End) -> (JobState, Option<String>) {
    let mut shop = Shop::new();
    let job = shop.enqueue(with_rules(rules));
    shop.child(1, 1);
    let lease = shop.lease();
    shop.end(lease, end);
    shop.ended(job)
}

#[test]
fn classes_decide_whether_an_error_is_retried() {
    let retried = (JobState::Retryable, None);
    let never = (JobState::Discarded, Some("never_retried".to_owned()));
    for (retry_on, retry_never, raised, expected) in [
        (&[][..], &[][..], &["x.Any"][..], &retried),
        (&[], &[], &[], &retried),
        (&["x.Busy"], &[], &["x.Busy", "x.Base"], &retried),
        (&["x.Base"], &[], &["x.Busy", "x.Base"], &retried),
        (&["x.Busy"], &[], &["x.Base"], &never),
        (&["x.Busy"], &[], &[], &never),
        (&[], &["x.Gone"], &["x.Gone", "x.Base"], &never),
        (&[], &["x.Base"], &["x.Gone", "x.Base"], &never),
        (&["x.Base"], &["x.Gone"], &["x.Gone", "x.Base"], &never),
        (&["x.Base"], &["x.Gone"], &["x.Busy", "x.Base"], &retried),
    ] {
        let (retry_on, retry_never) = (names(retry_on), names(retry_never));
        let rules = Rules { max_attempts: 3, retry_on, retry_never, ..Rules::default() };
        assert_eq!(&after(rules.clone(), errored(raised)), expected, "{rules:?} {raised:?}");
    }
}

#[test]
fn every_way_to_end_has_its_consequence() {
    let discarded = |reason: &str| (JobState::Discarded, Some(reason.to_owned()));
    let error = ErrorRecord::default;
    let often = || Rules { max_attempts: 2, ..Rules::default() };
    let once = || Rules { at_most_once: true, ..often() };
    for (rules, end, expected) in [
        (Rules::default(), errored(&[]), discarded("max_attempts")),
        (often(), errored(&[]), (JobState::Retryable, None)),
        (often(), End::TimedOut { error: error() }, (JobState::Retryable, None)),
        (Rules::default(), End::TimedOut { error: error() }, discarded("max_attempts")),
        (often(), crashed(), (JobState::Available, None)),
        (Rules { max_crashes: 1, ..often() }, crashed(), discarded("crashes")),
        (once(), errored(&[]), discarded("at_most_once")),
        (once(), End::TimedOut { error: error() }, discarded("at_most_once")),
        (once(), crashed(), discarded("maybe_ran")),
        (
            often(),
            End::Rejected { reason: "result_unencodable".into(), error: error() },
            discarded("result_unencodable"),
        ),
        (once(), End::Snoozed { delay_ms: 5 }, (JobState::Scheduled, None)),
        (
            often(),
            End::CancelledItself { reason: "sold out".into() },
            (JobState::Cancelled, Some("sold out".to_owned())),
        ),
        (often(), End::Cancelled, (JobState::Available, None)),
        (once(), End::Cancelled, discarded("maybe_ran")),
        (often(), End::Released, (JobState::Available, None)),
        (often(), End::Lost { error: error() }, (JobState::Available, None)),
        (once(), End::Lost { error: error() }, discarded("maybe_ran")),
    ] {
        assert_eq!(after(rules, end.clone()), expected, "{end:?}");
    }
}

#[test]
fn crashes_and_failures_are_counted_apart_and_snoozes_not_at_all() {
    let mut shop = Shop::new();
    let rules = Rules { max_attempts: 2, max_crashes: 2, backoff_first_ms: 0, ..Rules::default() };
    let job = shop.enqueue(with_rules(rules));
    shop.child(1, 10);
    for end in [crashed(), errored(&[]), End::Snoozed { delay_ms: 0 }, End::Snoozed { delay_ms: 0 }] {
        let lease = shop.lease();
        shop.end(lease, end);
    }
    let lease = shop.lease();
    shop.release(lease);
    let record = shop.machine.record_of(job);
    assert_eq!((record.attempt, record.crashes, record.attempts.len()), (1, 1, 4));
    let lease = shop.lease();
    shop.end(lease, crashed());
    assert_eq!(shop.ended(job), (JobState::Discarded, Some("crashes".to_owned())));
}

#[test]
fn what_the_task_asks_for_overrides_backoff_and_not_max_attempts() {
    let asks =
        |retry_after_ms| End::Errored { error: ErrorRecord::default(), retry_after_ms: Some(retry_after_ms) };
    let mut shop = Shop::new();
    let job = shop.enqueue(with_rules(Rules { max_attempts: 2, ..Rules::default() }));
    shop.child(1, 2);
    let lease = shop.lease();
    shop.end(lease, asks(123_456));
    assert_eq!(shop.machine.record_of(job).scheduled_at, Some(shop.machine.now.wall_ms + 123_456));
    shop.retry(job).expect("it waits");
    let lease = shop.lease();
    shop.end(lease, asks(1));
    assert_eq!(shop.ended(job), (JobState::Discarded, Some("max_attempts".to_owned())));
}

#[test]
fn a_task_that_says_when_to_try_again_is_tried_again_whatever_the_classes_say() {
    let rules = Rules { max_attempts: 2, retry_never: names(&["x.Gone"]), ..Rules::default() };
    let error = ErrorRecord { types: names(&["x.Gone"]), ..ErrorRecord::default() };
    let seen = after(rules, End::Errored { error, retry_after_ms: Some(5) });
    assert_eq!(seen, (JobState::Retryable, None));
}

/// A worker that asks when to try again must know whether that will be.
#[test]
fn a_lease_says_whether_another_attempt_follows() {
    let rules = [
        Rules { max_attempts: 3, backoff_first_ms: 0, ..Rules::default() },
        Rules::default(),
        Rules { max_attempts: 3, at_most_once: true, ..Rules::default() },
    ];
    for rules in rules {
        let mut shop = Shop::new();
        let job = shop.enqueue(with_rules(rules.clone()));
        let child = shop.child(1, 9);
        let mut ends = [errored(&[]), End::TimedOut { error: ErrorRecord::default() }].into_iter().cycle();
        // Neither of these counts.
        for end in [End::Snoozed { delay_ms: 0 }, crashed()].into_iter().take_while(|_| !rules.at_most_once) {
            let lease = shop.lease();
            shop.end(lease, end);
            shop.machine.state.grant(child, 1, false);
        }
        loop {
            let lease = shop.lease();
            let slot = shop.machine.state.slot_of(job).expect("it is leased");
            let has_retry = shop.machine.state.lease_view(slot).has_retry;
            shop.end(lease, ends.next().expect("there are more"));
            assert_eq!(has_retry, shop.state(job) != JobState::Discarded, "{rules:?}");
            if !has_retry {
                break;
            }
            shop.machine.state.grant(child, 1, false);
        }
    }
}

#[test]
fn a_delay_is_at_most_a_hundred_years() {
    let hundred_years_ms = 100 * 366 * 86_400_000;
    let mut shop = Shop::new();
    let job = shop.enqueue(group());
    shop.child(1, 1);
    let lease = shop.lease();
    shop.end(lease, End::Snoozed { delay_ms: u64::MAX });
    assert_eq!(shop.machine.record_of(job).scheduled_at, Some(shop.machine.now.wall_ms + hundred_years_ms));
}

#[test]
fn a_reason_is_at_most_4_kib() {
    let reason = "ä".repeat(3_000);
    let (_, kept) = after(Rules::default(), End::CancelledItself { reason: reason.into() });
    assert_eq!(kept, Some("ä".repeat(2_048)));
}

#[test]
fn the_newest_32_attempts_are_shown_and_their_numbers_go_on() {
    let mut shop = Shop::new();
    let job = shop.enqueue(group());
    shop.child(1, 100);
    for _ in 0..40 {
        let lease = shop.lease();
        shop.end(lease, End::Snoozed { delay_ms: 0 });
    }
    let attempts = shop.machine.record_of(job).attempts;
    assert_eq!(
        attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(),
        (9..=40).collect::<Vec<_>>()
    );
}

#[test]
fn what_an_attempt_that_is_shown_no_more_left_behind_is_free() {
    let mut shop = Shop::new();
    shop.enqueue(group());
    shop.child(1, 100);
    let mut freed = Vec::new();
    for blob in 0..40 {
        let (child, job, fence) = shop.lease();
        shop.machine.begin();
        let end = End::Snoozed { delay_ms: 0 };
        let end = OtherEnd {
            job,
            fence,
            started_at: 0,
            finished_at: 0,
            end,
            output_length: 1,
            measures: Measures::default(),
        };
        let finish = Finish { others: vec![end], ..Finish::default() };
        let payloads = Payloads { bytes: vec![b'x'].into(), blobs: vec![(0, blob)] };
        let (_, happened) =
            shop.machine.run(Command::Finish { child, finish, payloads }).expect("the lease stands");
        freed.extend(happened);
    }
    assert_eq!(freed, (0..8).map(Happened::BlobFreed).collect::<Vec<_>>());
}
