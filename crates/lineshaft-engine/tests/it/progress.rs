//! How far an attempt is, as its body says.

use bytes::Bytes;
use lineshaft_engine::open_on;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::message::{Message, Progress, Show};
use lineshaft_wire::{Fence, JobId};
use serde_bytes::ByteBuf;

use crate::live::{Client, stop, worker};
use crate::world::long_leases;

/// Says it over the connection of `client`; nobody answers.
fn say(client: &Client, job: JobId, fence: Fence, value: &[u8]) {
    let progress = Progress { job, fence, value: ByteBuf::from(value) };
    client.engine.request(client.connection, 0, progress.into(), Bytes::new());
}

fn shown(client: &mut Client, job: JobId) -> Option<Vec<u8>> {
    let Message::Shown(shown) = client.ask(Show { job }) else { panic!("it is not shown") };
    shown.progress.map(ByteBuf::into_vec)
}

#[test]
fn the_newest_progress_of_an_attempt_is_shown_while_it_runs() {
    let (engine, _) = open_on(SimulatedDisk::new(), long_leases()).unwrap();
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b"arguments"])[0];
    let mut worker = worker(&engine);
    worker.credit();
    let (_, fence, _) = worker.leased();
    assert_eq!(shown(&mut client, job), None);
    say(&worker, job, fence, b"half");
    assert_eq!(shown(&mut client, job).as_deref(), Some(&b"half"[..]));
    let newest = [7; 4_096];
    say(&worker, job, fence, &newest);
    assert_eq!(shown(&mut client, job).as_deref(), Some(&newest[..]));
    worker.succeed(job, fence, b"result");
    assert_eq!(shown(&mut client, job), None, "it has ended");
    say(&worker, job, fence, b"late");
    assert_eq!(shown(&mut client, job), None);
    stop(&engine);
}

#[test]
fn progress_that_is_too_large_or_of_somebody_else_is_passed_over() {
    let (engine, _) = open_on(SimulatedDisk::new(), long_leases()).unwrap();
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b"arguments"])[0];
    let mut worker = worker(&engine);
    worker.credit();
    let (_, fence, _) = worker.leased();
    say(&worker, job, fence, b"half");
    say(&worker, job, fence, &[7; 4_097]);
    say(&worker, job, Fence { counter: fence.counter + 1, ..fence }, b"of another attempt");
    say(&client, job, fence, b"of a client");
    assert_eq!(shown(&mut client, job).as_deref(), Some(&b"half"[..]));
    stop(&engine);
}
