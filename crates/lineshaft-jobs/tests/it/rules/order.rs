//! Which job goes next, and to whom.

use lineshaft_wire::message::{JobGroup, QueueVerb, RunAfter};
use lineshaft_wire::{Fence, JobId, JobState};

use super::shop::{Shop, group, ids};

/// Jobs by queue, task and priority in the order of enqueueing, and the order in which they must go.
fn check(jobs: &[(&str, &str, u8)], expected: &[usize]) {
    let mut shop = Shop::new();
    let jobs: Vec<JobId> = jobs
        .iter()
        .map(|(queue, task, priority)| {
            shop.enqueue(JobGroup {
                queue: (*queue).into(),
                task: (*task).into(),
                priority: *priority,
                ..group()
            })
        })
        .collect();
    shop.child(1, 100);
    let expected: Vec<JobId> = expected.iter().map(|at| jobs[*at]).collect();
    assert_eq!(shop.leased_jobs(), expected);
}

#[test]
fn jobs_of_one_priority_go_first_in_first_out_across_queues_and_tasks() {
    let (send, bill) = ("shop.send", "shop.bill");
    check(
        &[("a", send, 5), ("b", bill, 5), ("a", bill, 5), ("b", send, 5), ("a", send, 5)],
        &[0, 1, 2, 3, 4],
    );
}

#[test]
fn a_lower_priority_number_goes_first() {
    let send = "shop.send";
    check(&[("a", send, 9), ("b", send, 5), ("a", send, 1), ("b", send, 5)], &[2, 1, 3, 0]);
}

#[test]
fn jobs_that_no_child_knows_wait_and_say_so() {
    let mut shop = Shop::new();
    let job = shop.enqueue(JobGroup { task: "shop.unknown".into(), ..group() });
    shop.child(1, 1);
    assert_eq!(shop.leased_jobs(), []);
    let waits_for = shop.machine.record_of(job).waits_for;
    assert_eq!(waits_for.as_deref(), Some("a worker: no worker knows shop.unknown in queue default"));
}

#[test]
fn what_is_handed_back_goes_before_what_came_later() {
    let mut shop = Shop::new();
    let jobs: Vec<JobId> = (0..6).map(|_| shop.enqueue(group())).collect();
    let child = shop.child(1, 4);
    let leases = shop.leases();
    for at in [2, 0, 3] {
        shop.release(leases[at]);
    }
    shop.machine.state.grant(child, 10, false);
    assert_eq!(shop.leased_jobs(), [0, 2, 3, 4, 5].map(|at| jobs[at]));
}

/// Handing back used to look for each job's place from the front of the line, which took a step for every job that
/// had come back before it: minutes for the leases of a dead host.
#[test]
fn tens_of_thousands_of_lost_leases_come_back_in_order() {
    let mut shop = Shop::new();
    let many = JobGroup { lengths: vec![0; 16_384], ..group() };
    let jobs = ids(&shop.try_enqueue(vec![many.clone()]).expect("one full batch"));
    shop.try_enqueue(vec![many]).expect("and those behind it");
    let children: Vec<u32> = (0..16).map(|number| shop.child(number, 1_024)).collect();
    assert_eq!(shop.leases().len(), 16_384);
    for child in children {
        shop.run(lineshaft_jobs::Command::ChildVanished { child }).expect("a death is never refused");
    }
    for number in 100..116 {
        shop.child(number, 1_024);
    }
    assert_eq!(shop.leased_jobs(), jobs);
}

#[test]
fn children_with_credit_take_turns_and_share_a_short_line() {
    let mut shop = Shop::new();
    let children = [shop.child(1, 10), shop.child(2, 10), shop.child(3, 0), shop.child(4, 10)];
    for _ in 0..2 {
        shop.try_enqueue(vec![JobGroup { lengths: vec![0; 6], ..group() }]).expect("six jobs");
        let mut counts = children.map(|_| 0);
        for (child, ..) in shop.leases() {
            counts[children.iter().position(|it| *it == child).expect("a known child")] += 1;
        }
        assert_eq!((counts.iter().sum::<i32>(), counts[2]), (6, 0));
        assert!([0, 1, 3].iter().all(|at| (1..=3).contains(&counts[*at])), "{counts:?}");
    }
}

#[test]
fn a_child_never_gets_more_than_its_credit() {
    let mut shop = Shop::new();
    shop.try_enqueue(vec![JobGroup { lengths: vec![0; 10], ..group() }]).expect("ten jobs");
    let child = shop.child(1, 3);
    assert_eq!(shop.leases().len(), 3);
    shop.machine.state.grant(child, 2, true);
    shop.machine.state.grant(child, 1, false);
    assert_eq!(shop.leases().len(), 3);
}

#[test]
fn fences_grow_with_every_lease_and_every_start() {
    let mut shop = Shop::new();
    let jobs = [shop.enqueue(group()), shop.enqueue(group())];
    shop.child(1, 2);
    let fence = |counter| Fence { epoch: 1, counter };
    assert_eq!(shop.leases(), [(1, jobs[0], fence(1)), (1, jobs[1], fence(2))]);
    shop.restart();
    shop.enqueue(group());
    shop.child_holding(1, 1, vec![(jobs[0], fence(1)), (jobs[1], fence(2))]);
    assert_eq!(shop.lease().2, Fence { epoch: 2, counter: 1 });
}

#[test]
fn a_job_waits_for_its_time_and_then_goes_behind_those_in_line() {
    let mut shop = Shop::new();
    let late = shop.enqueue(JobGroup { run_after: Some(RunAfter::In(1_000)), ..group() });
    let now = shop.machine.now.wall_ms;
    let later = shop.enqueue(JobGroup { run_after: Some(RunAfter::At(now + 2_000)), ..group() });
    let past = shop.enqueue(JobGroup { run_after: Some(RunAfter::At(now)), ..group() });
    assert_eq!(
        [late, later, past].map(|job| shop.state(job)).map(JobState::as_str),
        ["scheduled", "scheduled", "available"]
    );
    shop.pass(999);
    shop.queue("default", QueueVerb::Pause);
    shop.child(1, 10);
    assert_eq!((shop.leased_jobs(), shop.state(late)), (vec![], JobState::Scheduled));
    shop.pass(1_001);
    shop.machine.settle();
    shop.queue("default", QueueVerb::Resume);
    assert_eq!(shop.leased_jobs(), [past, late, later]);
}

/// The timers of jobs that wait for a wall time run on a wheel, whose time cannot go back. A clock set back made them
/// come out early, be found not due, and never come again.
#[test]
fn a_wall_clock_set_back_neither_hastens_nor_loses_a_job() {
    let mut shop = Shop::new();
    let first = shop.enqueue(JobGroup { run_after: Some(RunAfter::In(100_000)), ..group() });
    shop.pass(50_000);
    shop.machine.settle();
    shop.machine.now.wall_ms -= 40_000;
    let second = shop.enqueue(JobGroup { run_after: Some(RunAfter::In(30_000)), ..group() });
    let available = |shop: &mut Shop| {
        shop.machine.settle();
        [first, second].map(|job| shop.state(job) == JobState::Available)
    };
    assert_eq!(available(&mut shop), [false, false]);
    shop.pass(29_999);
    assert_eq!(available(&mut shop), [false, false]);
    shop.pass(1);
    assert_eq!(available(&mut shop), [false, true]);
    shop.pass(59_999);
    assert_eq!(available(&mut shop), [false, true]);
    shop.pass(1);
    assert_eq!(available(&mut shop), [true, true]);
}
