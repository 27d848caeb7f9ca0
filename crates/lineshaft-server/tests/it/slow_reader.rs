//! A peer that asks for much and reads nothing costs the server little memory, and the others nothing.

use std::time::Duration;

use lineshaft_wire::message::{Fetch, Message, PayloadKind, RefusalCode, Status};

use crate::support::{Client, OTHER_SERVER, OtherProcess, TestServer, frame};

const MEBIBYTE: usize = 1 << 20;

fn fetch(job: lineshaft_wire::JobId) -> Fetch {
    Fetch { job, payload: PayloadKind::Arguments }
}

fn status_requests(count: u64) -> Vec<u8> {
    (1..=count).flat_map(|request_id| frame(request_id, &Status {}.into(), b"")).collect()
}

/// A gibibyte of answers for a reader that never reads: what is queued are references, and one frame's bytes.
#[test]
fn a_thousand_unread_payloads_of_a_mebibyte_cost_little_memory() {
    let home = tempfile::tempdir().unwrap();
    let server = OtherProcess::start(OTHER_SERVER, home.path());
    let mut neighbour = Client::connect(home.path()).greeted();
    let mut client = Client::connect(home.path()).greeted();
    let job = client.enqueue(&vec![7; MEBIBYTE]);
    client.call(1000, fetch(job), b"");
    let before = server.resident_bytes();
    for request_id in 1..=1000 {
        client.send(request_id, fetch(job), b"");
    }
    neighbour.ping();
    std::thread::sleep(Duration::from_millis(500));
    let grown = server.resident_bytes().saturating_sub(before) >> 20;
    assert!(grown < 32, "grown by {grown} MiB");
    neighbour.ping();
    for request_id in 1..=1000 {
        let (_, frame) = client.receive().unwrap();
        assert_eq!((frame.header.request_id, frame.payload.len()), (request_id, MEBIBYTE));
    }
}

#[test]
fn a_socket_that_takes_nothing_is_closed_as_too_slow() {
    let server = TestServer::start_with(|options| options.limits.write_stall = Duration::from_millis(200));
    let mut client = server.client();
    let job = client.enqueue(&vec![7; MEBIBYTE]);
    for request_id in 1..=20 {
        client.send(request_id, fetch(job), b"");
    }
    std::thread::sleep(Duration::from_millis(500));
    let refused = client.closing_refusal();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (RefusalCode::TooSlow, "nothing was read from the connection for 200ms")
    );
    server.client().ping();
}

#[test]
fn answers_that_pile_up_in_memory_are_given_up() {
    let server = TestServer::start_with(|options| options.limits.outbox_bytes = 16 << 10);
    let mut client = server.client();
    client.send_bytes(&status_requests(2000));
    std::thread::sleep(Duration::from_millis(300));
    let refused = client.closing_refusal();
    assert_eq!(refused.message, "more than 16384 bytes wait to be read by this client");
    server.client().ping();
}

/// The window closes when requests are unanswered, and opens when answers leave: nothing is lost, whatever its size.
#[test]
fn a_full_window_only_makes_its_peer_wait() {
    let server = TestServer::start_with(|options| {
        options.limits.unanswered_requests = 4;
        options.limits.unanswered_bytes = 100;
    });
    let mut client = server.client();
    client.send_bytes(&status_requests(3000));
    let mut answered: Vec<u64> = (0..3000)
        .map(|_| {
            let (message, frame) = client.receive().unwrap();
            assert!(matches!(message, Message::StatusReport(_)), "{message:?}");
            frame.header.request_id
        })
        .collect();
    answered.sort_unstable();
    assert!(answered.into_iter().eq(1..=3000));
}
