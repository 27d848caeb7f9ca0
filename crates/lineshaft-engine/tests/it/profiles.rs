//! Which attempts a child is told to profile.

use lineshaft_engine::open;
use lineshaft_wire::Looks;
use lineshaft_wire::message::{
    Credit, Enqueue, Leases, Message, PROFILE_MEMORY_TAG, PROFILE_NATIVE_TAG, PROFILE_NEXT_MAX, PROFILE_TAG,
    ProfileNext, RefusalCode,
};

use crate::live::{Client, stop, worker};
use crate::world::{group, long_leases, sequence};

/// How each of the next `count` leases is to be looked at, in their order.
fn looks(worker: &Client, count: usize) -> Vec<Looks> {
    let credit = Credit { leases: count as u32, reset: false };
    worker.engine.request(worker.connection, 0, credit.into(), bytes::Bytes::new());
    let mut found = Vec::new();
    while found.len() < count {
        let leases: Leases = worker.mailbox.take(|it| match &it.message {
            Message::Leases(leases) => Some(leases.clone()),
            _ => None,
        });
        found.extend((0..leases.jobs.len() as u32).map(|at| looks_at(&leases, at)));
    }
    found
}

fn looks_at(leases: &Leases, at: u32) -> Looks {
    let plain = if leases.profiled.contains(&at) { Looks::PLAIN } else { Looks::NONE };
    let closer = leases.looks.iter().find(|(position, _)| *position == at).map(|(_, looks)| *looks);
    // Children of before know nothing of it.
    assert!(closer.is_none() || plain.is_profiled(), "{leases:?}");
    plain | closer.unwrap_or_default()
}

#[test]
fn attempts_of_jobs_with_the_tag_are_profiled_again_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path(), long_leases()).unwrap().0;
    let mut client = Client::connect(&engine);
    let tagged = |tags: &[&str]| {
        let mut group = group("shop.send", &[0]);
        group.tags = tags.iter().map(|tag| (*tag).into()).collect();
        group
    };
    let groups = vec![
        tagged(&["welcome"]),
        tagged(&["welcome", PROFILE_TAG]),
        tagged(&[PROFILE_MEMORY_TAG]),
        tagged(&[PROFILE_NATIVE_TAG, PROFILE_MEMORY_TAG]),
        tagged(&[]),
    ];
    assert!(matches!(client.ask(Enqueue { sequence: sequence(1), groups }), Message::Enqueued(_)));
    stop(&engine);
    let engine = open(home.path(), long_leases()).unwrap().0;
    let worker = worker(&engine);
    let both = Looks::MEMORY | Looks::NATIVE;
    assert_eq!(looks(&worker, 5), [Looks::NONE, Looks::PLAIN, Looks::MEMORY, both, Looks::NONE]);
    stop(&engine);
}

#[test]
fn the_next_attempts_of_a_task_are_profiled_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path(), long_leases()).unwrap().0;
    let mut client = Client::connect(&engine);
    let next = |task: &str, count| ProfileNext { task: task.into(), count, looks: Looks::MEMORY };
    assert!(matches!(client.ask(next("shop.send", 2)), Message::Done(_)));
    assert!(matches!(client.ask(next("shop.other", 2)), Message::Done(_)));
    let Message::Refused(refused) = client.ask(next("shop.send", PROFILE_NEXT_MAX + 1)) else {
        panic!("it was taken")
    };
    assert_eq!(refused.code, RefusalCode::BadRequest);
    client.enqueue(&[b"", b"", b"", b""]);
    let worker = worker(&engine);
    assert_eq!(looks(&worker, 4), [Looks::MEMORY, Looks::MEMORY, Looks::NONE, Looks::NONE]);
    stop(&engine);
}
