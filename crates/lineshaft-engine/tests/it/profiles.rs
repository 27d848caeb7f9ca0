//! Which attempts a child is told to profile.

use lineshaft_engine::open;
use lineshaft_wire::message::{
    Credit, Enqueue, Leases, Message, PROFILE_NEXT_MAX, PROFILE_TAG, ProfileNext, RefusalCode,
};

use crate::live::{Client, stop, worker};
use crate::world::{group, long_leases, sequence};

/// Whether each of the next `count` leases is to be profiled, in their order.
fn profiled(worker: &Client, count: usize) -> Vec<bool> {
    let credit = Credit { leases: count as u32, reset: false };
    worker.engine.request(worker.connection, 0, credit.into(), bytes::Bytes::new());
    let mut found = Vec::new();
    while found.len() < count {
        let leases: Leases = worker.mailbox.take(|it| match &it.message {
            Message::Leases(leases) => Some(leases.clone()),
            _ => None,
        });
        found.extend((0..leases.jobs.len() as u32).map(|at| leases.profiled.contains(&at)));
    }
    found
}

#[test]
fn attempts_of_jobs_with_the_tag_are_profiled_again_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path(), long_leases()).unwrap().0;
    let mut client = Client::connect(&engine);
    let mut tagged = group("shop.send", &[0]);
    tagged.tags = vec!["welcome".into(), PROFILE_TAG.into()];
    let other = group("shop.send", &[0]);
    let groups = vec![other.clone(), tagged, other];
    assert!(matches!(client.ask(Enqueue { sequence: sequence(1), groups }), Message::Enqueued(_)));
    stop(&engine);
    let engine = open(home.path(), long_leases()).unwrap().0;
    let worker = worker(&engine);
    assert_eq!(profiled(&worker, 3), [false, true, false]);
    stop(&engine);
}

#[test]
fn the_next_attempts_of_a_task_are_profiled_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path(), long_leases()).unwrap().0;
    let mut client = Client::connect(&engine);
    let next = |task: &str, count| ProfileNext { task: task.into(), count };
    assert!(matches!(client.ask(next("shop.send", 2)), Message::Done(_)));
    assert!(matches!(client.ask(next("shop.other", 2)), Message::Done(_)));
    let Message::Refused(refused) = client.ask(next("shop.send", PROFILE_NEXT_MAX + 1)) else {
        panic!("it was taken")
    };
    assert_eq!(refused.code, RefusalCode::BadRequest);
    client.enqueue(&[b"", b"", b"", b""]);
    let worker = worker(&engine);
    assert_eq!(profiled(&worker, 4), [true, true, false, false]);
    stop(&engine);
}
