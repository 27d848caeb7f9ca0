//! What attempts log on its way to a server that goes away, or does not take it.

use std::time::Duration;

use lineshaft_wire::message::{AddLogs, Done, Message, RefusalCode};
use lineshaft_wire::{JobId, LogRecord};

use super::peer::{Peer, World, returned};
use crate::worker::child::logs::Pushed;

const LEASE: Duration = Duration::from_secs(60);

fn log(world: &World, message: &str) {
    let record = LogRecord {
        time_us: 1,
        level: 20,
        job: JobId::direct(1_000, 0, 1, 1),
        attempt: 1,
        task: "task".into(),
        worker: "test".into(),
        logger: "shop".into(),
        message: message.into(),
        fields: Vec::new(),
        place: None,
        exception: None,
        attachment: None,
    };
    if world.shared.logs.push(&record) == Pushed::KeptAndNew {
        world.shared.wake.notify_one();
    }
}

/// The next batch: request, number of the first, messages.
fn next(peer: &mut Peer) -> (u64, u64, Vec<String>) {
    let (request, AddLogs { first, records, .. }) = peer.until(|message| match message {
        Message::AddLogs(logs) => Some(logs.clone()),
        _ => None,
    });
    (request, first, records.into_iter().map(|record| record.message.into()).collect())
}

#[test]
fn what_was_not_confirmed_is_sent_again_over_a_new_connection() {
    let world = World::new();
    let (mut peer, _) = world.attach(LEASE);
    log(&world, "one");
    let (request, first, messages) = next(&mut peer);
    assert_eq!((first, &messages[..]), (1, &["one".to_owned()][..]));
    peer.send(request, &Done {}.into(), b"");
    log(&world, "two");
    assert_eq!(next(&mut peer).1, 2);
    drop(peer);
    let (mut peer, _) = world.attach(LEASE);
    let (_, first, messages) = next(&mut peer);
    assert_eq!((first, &messages[..]), (2, &["two".to_owned()][..]));
}

#[test]
fn what_was_logged_comes_before_the_end() {
    let world = World::new();
    let (mut peer, _) = world.attach(LEASE);
    peer.lease(1..=1);
    world.run_one(|job| {
        log(&world, "in the body");
        returned(job)
    });
    let (_, kind) = peer.until(|message| match message {
        Message::AddLogs(_) => Some("logs"),
        Message::Finish(_) => Some("end"),
        _ => None,
    });
    assert_eq!(kind, "logs");
    peer.finish();
}

#[test]
fn what_was_logged_comes_before_the_end_over_a_new_connection_too() {
    let world = World::new();
    let (mut peer, _) = world.attach(LEASE);
    peer.lease(1..=1);
    world.run_one(|job| {
        log(&world, "in the body");
        returned(job)
    });
    peer.finish();
    drop(peer);
    let (mut peer, _) = world.attach(LEASE);
    let (_, kind) = peer.until(|message| match message {
        Message::AddLogs(_) => Some("logs"),
        Message::Finish(_) => Some("end"),
        _ => None,
    });
    assert_eq!(kind, "logs");
}

#[test]
fn what_is_refused_for_want_of_room_is_sent_again_and_what_is_wrong_is_not() {
    let world = World::new();
    let (mut peer, _) = world.attach(LEASE);
    log(&world, "one");
    let request = next(&mut peer).0;
    peer.refuse(request, RefusalCode::StoreFull);
    let (request, first, messages) = next(&mut peer);
    assert_eq!((first, &messages[..]), (1, &["one".to_owned()][..]));
    peer.refuse(request, RefusalCode::TooLarge);
    log(&world, "two");
    let (_, first, messages) = next(&mut peer);
    assert_eq!((first, &messages[..]), (2, &["two".to_owned()][..]));
}
