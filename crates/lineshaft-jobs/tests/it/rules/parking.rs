//! Jobs that name something which their worker does not know.

use lineshaft_jobs::{Attach, Command};
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{
    AttachChild, End, JobGroup, ProcessKey, QueueVerb, RefusalCode, RunAfter, Unique, UniqueWhile,
};
use lineshaft_wire::{JobId, JobState};

use super::shop::{Lease, Shop, errored, group};

fn parked() -> End {
    End::Parked { missing: "type shop.Order".into() }
}

/// A child of worker `worker` that runs the tasks of the shop.
fn child_of(shop: &mut Shop, worker: u64, number: u32, credit: u32) -> u32 {
    let tasks = ["shop.send".into(), "shop.bill".into()];
    let attach = AttachChild {
        worker,
        worker_name: format!("host:{worker}").into(),
        number,
        process: ProcessKey::default(),
        tasks: tasks.to_vec(),
        queues: Vec::new(),
        held: Vec::new(),
        declared: Vec::new(),
        attach: 0,
    };
    let Ok(Told::Attached { child, .. }) = shop.run(Command::AttachChild(attach)) else {
        panic!("the child is not known")
    };
    shop.machine.state.attach(Attach { child, tasks: &tasks, queues: &[] });
    shop.machine.state.grant(child, credit, false);
    child
}

fn waits_for(shop: &Shop, job: JobId) -> String {
    shop.machine.record_of(job).waits_for.expect("it is available")
}

/// A job that worker 1 was leased and put aside.
fn a_parked_job(shop: &mut Shop) -> (JobId, Lease) {
    child_of(shop, 1, 1, 10);
    let job = shop.enqueue(group());
    let lease = shop.lease();
    shop.end(lease, parked());
    (job, lease)
}

#[test]
fn a_parked_job_uses_no_attempt_and_says_what_it_waits_for() {
    let mut shop = Shop::new();
    let (job, _) = a_parked_job(&mut shop);
    let record = shop.machine.record_of(job);
    assert_eq!((record.state, record.attempt, record.attempts.len()), (JobState::Available, 0, 0));
    assert_eq!(waits_for(&shop, job), "a worker that knows type shop.Order: host:1 does not");
    let queues = shop.machine.state.queue_reports();
    assert_eq!((queues[0].available, queues[0].parked), (1, 1));
}

#[test]
fn the_worker_that_did_not_know_it_is_not_asked_again() {
    let mut shop = Shop::new();
    let (job, _) = a_parked_job(&mut shop);
    assert_eq!(shop.leases(), []);
    child_of(&mut shop, 1, 2, 10);
    shop.pass(5_000);
    assert_eq!(shop.leases(), [], "a new child of the same worker knows no more");
    let other = shop.enqueue(group());
    assert_eq!(shop.leased_jobs(), [other], "others go on");
    assert_eq!(shop.state(job), JobState::Available);
}

#[test]
fn a_new_worker_gets_it_and_its_end_counts() {
    let mut shop = Shop::new();
    let (job, _) = a_parked_job(&mut shop);
    let other = child_of(&mut shop, 2, 1, 10);
    assert_eq!(waits_for(&shop, job), "a free slot");
    let lease = shop.lease();
    assert_eq!((lease.0, lease.1), (other, job));
    shop.succeed(lease);
    assert_eq!(shop.state(job), JobState::Completed);
    assert_eq!(shop.machine.state.queue_reports()[0].parked, 0);
}

#[test]
fn a_worker_that_was_there_already_is_asked_when_it_has_room() {
    let mut shop = Shop::new();
    let busy = child_of(&mut shop, 2, 1, 0);
    let (job, _) = a_parked_job(&mut shop);
    assert_eq!(shop.leases(), []);
    shop.machine.state.grant(busy, 1, false);
    assert_eq!(shop.lease().1, job);
}

#[test]
fn two_workers_that_do_not_know_it_do_not_pass_it_to_and_fro() {
    let mut shop = Shop::new();
    let (job, _) = a_parked_job(&mut shop);
    child_of(&mut shop, 2, 1, 10);
    let lease = shop.lease();
    shop.end(lease, parked());
    assert_eq!(shop.leases(), []);
    assert_eq!(waits_for(&shop, job), "a worker that knows type shop.Order: host:2 does not");
    child_of(&mut shop, 3, 1, 10);
    assert_eq!(shop.lease().1, job);
}

#[test]
fn retry_offers_it_to_everyone_again() {
    let mut shop = Shop::new();
    let (job, _) = a_parked_job(&mut shop);
    shop.retry(job).expect("a parked job can be retried");
    assert_eq!(shop.lease().1, job);
    let running = shop.retry(job);
    assert_eq!(running, Err(RefusalCode::WrongState));
}

#[test]
fn it_is_parked_after_a_restart_too() {
    let mut shop = Shop::new();
    let (job, _) = a_parked_job(&mut shop);
    shop.restart();
    child_of(&mut shop, 1, 1, 10);
    assert_eq!(shop.leases(), []);
    assert_eq!(waits_for(&shop, job), "a worker that knows type shop.Order: host:1 does not");
    child_of(&mut shop, 2, 1, 10);
    assert_eq!(shop.lease().1, job);
}

#[test]
fn an_attempt_that_began_ends_the_parking() {
    let mut shop = Shop::new();
    let (job, _) = a_parked_job(&mut shop);
    child_of(&mut shop, 2, 1, 10);
    let lease = shop.lease();
    shop.end(lease, End::Cancelled);
    assert_eq!(shop.leased_jobs(), [job], "worker 1 may be asked again");
}

#[test]
fn a_paused_queue_keeps_it_until_it_is_resumed() {
    let mut shop = Shop::new();
    let (job, _) = a_parked_job(&mut shop);
    shop.queue("default", QueueVerb::Pause);
    child_of(&mut shop, 2, 1, 10);
    assert_eq!((shop.leases(), waits_for(&shop, job)), (Vec::new(), "queue default is paused".to_owned()));
    shop.queue("default", QueueVerb::Resume);
    assert_eq!(shop.lease().1, job);
}

#[test]
fn it_can_be_cancelled_purged_and_can_expire() {
    let mut shop = Shop::new();
    child_of(&mut shop, 1, 1, 10);
    let cancelled = shop.enqueue(group());
    let purged = shop.enqueue(JobGroup { queue: "mail".into(), ..group() });
    let expired = shop.enqueue(JobGroup { expires: Some(RunAfter::In(1_000)), ..group() });
    for lease in shop.leases() {
        shop.end(lease, parked());
    }
    shop.cancel(cancelled).expect("it does not run");
    assert_eq!(shop.queue("mail", QueueVerb::Purge), 1);
    shop.pass(1_000);
    shop.leases();
    let reason = |text: &str| Some(text.to_owned());
    assert_eq!(shop.ended(cancelled), (JobState::Cancelled, reason("cancelled")));
    assert_eq!(shop.ended(purged), (JobState::Cancelled, reason("purged")));
    assert_eq!(shop.ended(expired), (JobState::Discarded, reason("expired")));
}

#[test]
fn a_job_that_is_cancelled_meanwhile_is_not_parked() {
    let mut shop = Shop::new();
    child_of(&mut shop, 1, 1, 10);
    let job = shop.enqueue(group());
    let lease = shop.lease();
    shop.cancel(job).expect("it runs");
    shop.end(lease, parked());
    assert_eq!(shop.state(job), JobState::Cancelled);
}

#[test]
fn a_parked_job_keeps_its_equals_out() {
    let mut shop = Shop::new();
    child_of(&mut shop, 1, 1, 10);
    let unique = Some(Unique { key: "u".into(), while_: UniqueWhile::Queued, period_ms: None });
    let job = shop.enqueue(JobGroup { unique: unique.clone(), ..group() });
    let lease = shop.lease();
    shop.end(lease, parked());
    assert_eq!(shop.enqueue(JobGroup { unique, ..group() }), job);
}

#[test]
fn workers_that_are_gone_are_forgotten_and_no_job_is_offered_to_more_than_64() {
    let mut shop = Shop::new();
    let (job, _) = a_parked_job(&mut shop);
    for worker in 2..200 {
        let child = child_of(&mut shop, worker, 1, 10);
        let lease = shop.lease();
        shop.end(lease, parked());
        shop.run(Command::ChildVanished { child }).expect("a death is never refused");
    }
    for worker in 200..300 {
        child_of(&mut shop, worker, 1, 10);
        if let [lease] = shop.leases()[..] {
            assert!(worker < 264, "offered to worker {worker}");
            shop.end(lease, parked());
        }
    }
    assert!(waits_for(&shop, job).starts_with("a worker that knows"));
    shop.retry(job).expect("a parked job can be retried");
    let lease = shop.lease();
    shop.end(lease, errored(&[]));
    assert_eq!(shop.state(job), JobState::Discarded);
}
