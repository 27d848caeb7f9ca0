//! Pausing, resuming, purging.

use lineshaft_wire::JobState;
use lineshaft_wire::message::{JobGroup, QueueVerb, RunAfter};

use super::shop::{Shop, group, ids};

#[test]
fn a_paused_queue_leases_nothing_and_resumes_in_order() {
    let mut shop = Shop::new();
    shop.queue("mail", QueueVerb::Pause);
    let mail = |shop: &mut Shop| shop.enqueue(JobGroup { queue: "mail".into(), ..group() });
    let first = mail(&mut shop);
    let other = shop.enqueue(group());
    let second = mail(&mut shop);
    let child = shop.child(1, 1);
    assert_eq!(shop.leased_jobs(), [other]);
    assert_eq!(shop.machine.record_of(first).waits_for.as_deref(), Some("queue mail is paused"));
    shop.restart();
    shop.child(2, 1);
    assert_eq!(shop.leased_jobs(), [], "a restart does not resume it");
    shop.machine.state.grant(child, 1, false);
    shop.queue("mail", QueueVerb::Resume);
    shop.machine.state.grant(2, 1, false);
    assert_eq!(shop.leased_jobs(), [first, second]);
}

#[test]
fn a_purge_cancels_what_does_not_run_in_bounded_steps() {
    let mut shop = Shop::new();
    shop.try_enqueue(vec![JobGroup { lengths: vec![0; 10_000], ..group() }]).expect("ten thousand jobs");
    shop.child(1, 3);
    assert_eq!(shop.leases().len(), 3);
    assert_eq!(shop.queue("default", QueueVerb::Purge), 9_997);
    let later = shop.enqueue(group());
    let mut steps = Vec::new();
    while shop.machine.state.is_due(shop.machine.now) {
        let before = shop.machine.state.unarchived();
        for entry in shop.machine.state.tick(shop.machine.now) {
            shop.machine.record(entry);
        }
        steps.push(shop.machine.state.unarchived() - before);
    }
    assert_eq!(steps, [4_096, 4_096, 1_805, 0]);
    assert_eq!((shop.state(later), shop.machine.state.unfinished()), (JobState::Available, 4));
}

/// A waiting job whose time came while the purge was under way got a new place in line and so escaped it.
#[test]
fn a_job_that_comes_due_during_a_purge_does_not_escape_it() {
    let mut shop = Shop::new();
    shop.try_enqueue(vec![JobGroup { lengths: vec![0; 5_000], ..group() }]).expect("five thousand jobs");
    let waiting = JobGroup { run_after: Some(RunAfter::In(10)), lengths: vec![0; 5], ..group() };
    let waiting = ids(&shop.try_enqueue(vec![waiting]).expect("five jobs"));
    shop.queue("default", QueueVerb::Purge);
    shop.pass(10);
    shop.machine.settle();
    for job in waiting {
        assert_eq!(shop.ended(job), (JobState::Cancelled, Some("purged".to_owned())));
    }
}

#[test]
fn a_queue_without_jobs_can_be_paused_purged_and_resumed() {
    let mut shop = Shop::new();
    for verb in [QueueVerb::Pause, QueueVerb::Purge, QueueVerb::Purge, QueueVerb::Pause, QueueVerb::Resume] {
        assert_eq!(shop.queue("empty", verb), 0);
    }
    shop.machine.settle();
    assert_eq!(shop.machine.state.queue_reports(), []);
}
