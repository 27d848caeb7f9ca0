//! Attempts that take more memory than their tasks may.

use std::time::Duration;

use lineshaft::worker::{Kind, Options};
use lineshaft_wire::{JobState, Outcome};

use super::programs::LIMIT;
use super::support::{Worker, World, gated, open_gate, outcomes, wait_for_words};

/// What a busy machine may let an attempt take before it is looked at again.
const LATE: u64 = 512 << 20;

#[test]
fn an_attempt_above_its_limit_is_killed_and_three_are_enough() {
    let world = World::new();
    let _worker = world.worker();
    let [job] = world.enqueue("grow", &["2000"])[..] else { panic!() };
    let record = world.ended(job);
    assert_eq!((record.state, record.reason.as_deref()), (JobState::Discarded, Some("crashes")));
    assert_eq!(outcomes(&record), [Some(Outcome::Crashed); 3]);
    for attempt in &record.attempts {
        let error = attempt.error.as_ref().unwrap();
        assert!(error.message.starts_with("took "), "{error:?}");
        let end = "more than its limit of 200MiB; the process was killed by signal 9 (SIGKILL)";
        assert!(error.message.ends_with(end), "{error:?}");
        let peak = error.rss_peak_bytes.unwrap();
        assert!((LIMIT..LIMIT + LATE).contains(&peak), "{error:?}");
        assert_eq!(error.signal, Some(9));
    }
}

#[test]
fn what_an_attempt_starts_counts_as_its_own() {
    let world = World::new();
    let _worker = world.worker();
    let [job] = world.enqueue("grow-elsewhere", &["400"])[..] else { panic!() };
    let record = world.ended(job);
    assert_eq!(outcomes(&record), [Some(Outcome::Crashed); 3]);
    assert!(record.attempts[0].error.as_ref().unwrap().message.starts_with("took "), "{record:?}");
}

#[test]
fn an_attempt_within_its_limit_goes_on() {
    let world = World::new();
    let _worker = world.worker();
    let jobs = world.enqueue("grow", &["20", "60", "20"]);
    world.ends(&jobs);
    for job in jobs {
        assert_eq!(outcomes(&world.record(job)), [Some(Outcome::Succeeded)]);
    }
}

/// Whose process is killed for another's sake runs again, and nothing is counted.
#[test]
fn the_neighbours_of_an_attempt_above_its_limit_are_released() {
    let world = World::new();
    let options = Options { kind: Kind::Thread, slots: 2, ..world.options() };
    let _worker = Worker::start(Options { grace: Duration::from_millis(300), ..options });
    let file = world.file("ledger");
    let [neighbour] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    wait_for_words(&file);
    let [job] = world.enqueue("grow", &["2000"])[..] else { panic!() };
    let record = world.ended(job);
    assert_eq!(outcomes(&record), [Some(Outcome::Crashed); 3]);
    open_gate(&file);
    let record = world.ended(neighbour);
    let (last, before) = record.attempts.split_last().unwrap();
    assert_eq!(
        (record.state, record.crashes, last.outcome),
        (JobState::Completed, 0, Some(Outcome::Succeeded))
    );
    assert!(
        !before.is_empty() && before.iter().all(|attempt| attempt.outcome == Some(Outcome::Released)),
        "{record:?}"
    );
}
