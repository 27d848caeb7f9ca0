//! The running engine on a disk that fails, or answers late.

use std::time::{Duration, Instant};

use lineshaft_engine::{Options, open_on};
use lineshaft_jobs::Limits;
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use lineshaft_wire::code;
use lineshaft_wire::message::Message;

use crate::live::{Client, worker};
use crate::world::enqueue;

#[test]
fn a_failed_sync_stops_the_engine_and_the_restart_is_right() {
    for skipped in 1..=2 {
        let disk = SimulatedDisk::new();
        let (engine, _) = open_on(disk.clone(), Options::default()).unwrap();
        let mut client = Client::connect(&engine);
        let jobs = client.enqueue(&[b"acknowledged"]);
        // Let what is written ahead come to rest.
        std::thread::sleep(Duration::from_millis(1_500));
        disk.fail_at(disk.operations() + skipped);
        let (message, payload) = enqueue(2, "shop.send", &[b"never acknowledged"]);
        let request = client.send(message, payload);
        let error = engine.join().expect_err("it goes on");
        assert_eq!(error.code(), Some(code::STORE_FAILED), "{error}");
        let answered = client.mailbox.has(|outgoing| outgoing.request_id == request);
        assert!(!answered, "an answer left before it was durable");
        assert!(client.mailbox.is_closed(), "the connection stays open");

        let (engine, _) = open_on(disk.power_loss(Loss::Some(skipped)), Options::default()).unwrap();
        let mut client = Client::connect(&engine);
        client.show(jobs[0]);
        client.enqueue(&[b"goes on"]);
        engine.stop();
        engine.join().unwrap();
    }
}

/// Renewals come in while the engine waits for the disk, and nobody hears them.
#[test]
fn a_disk_that_stands_still_for_longer_than_a_lease_costs_no_lease() {
    let disk = SimulatedDisk::new();
    let limits = Limits { lease_ms: 4_000, ..Limits::default() };
    let (engine, _) = open_on(disk.clone(), Options { limits, ..Options::default() }).unwrap();
    let mut client = Client::connect(&engine);
    client.enqueue(&[b"long"]);
    let mut worker = worker(&engine);
    worker.credit();
    let (job, fence, _) = worker.leased();
    let renewed_at = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    // Whatever comes: now the engine has heard all that was sent before.
    client.enqueue(&[b"another"]);
    disk.stall(Duration::from_secs(9));
    let waiting = client.send_enqueue(&[b"other"]);
    assert!(engine.has_heard(renewed_at) && !engine.outlasts(renewed_at), "it does not stand still yet");
    std::thread::sleep(Duration::from_secs(2));
    assert!(engine.outlasts(renewed_at), "a renewal is answered in its place");
    assert!(matches!(client.mailbox.answer(waiting), Message::Enqueued(_)));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!engine.outlasts(renewed_at), "it goes on");
    worker.succeed(job, fence, b"result");
    let record = client.show(job);
    assert_eq!(record.attempts.len(), 1);
    engine.stop();
    engine.join().unwrap();
}
