//! What stops an engine, or keeps one from opening, as its error and as the code of its page.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_engine::{ConnectionId, Error, Handle, Options, Outbox, Outgoing, inspect, open_on};
use lineshaft_store::{Append, Home, Journal, Options as JournalOptions, PayloadRef, SegmentJournal};
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::code;
use lineshaft_wire::message::Message;

use crate::live::{Client, stop};
use crate::world::{Mailbox, enqueue, hello};

const PATIENCE: Duration = Duration::from_secs(60);

/// As a version that is newer and does not say so would leave it.
#[test]
fn a_commit_that_holds_no_change_is_refused_with_its_place() {
    let disk = SimulatedDisk::new();
    let (engine, _) = open_on(disk.clone(), Options::default()).unwrap();
    Client::connect(&engine).enqueue(&[b"arguments"]);
    stop(&engine);
    let home = Home::open(disk.clone()).unwrap();
    let (mut journal, recovery) = SegmentJournal::open(&home, JournalOptions::default()).unwrap();
    let (epoch, head) = (recovery.epoch, recovery.head);
    let (expected_lsn, previous_crc) = (head.lsn + 1, head.crc);
    let append = Append { epoch, nonce: epoch, expected_lsn, previous_crc, body: &[0xff; 8] };
    journal.append(append).unwrap();
    drop((journal, home));

    let Err(error) = open_on(disk, Options::default()) else { panic!("it opens") };
    assert!(matches!(error, Error::Commit { lsn, offset: 0, .. } if lsn == expected_lsn), "{error}");
    assert_eq!(error.code(), Some(code::COMMITS_DAMAGED));
}

#[test]
fn what_is_no_home_has_no_page() {
    let Err(error) = inspect::check_is_home(Path::new("/nowhere")) else { panic!("it is a home") };
    assert!(matches!(error, Error::NoHome { .. }), "{error}");
    assert_eq!(error.code(), None);
}

#[test]
fn nothing_is_read_from_an_engine_that_has_ended() {
    let (engine, _) = open_on(SimulatedDisk::new(), Options::default()).unwrap();
    let payloads = engine.payloads();
    assert_eq!(payloads.read(&PayloadRef::Empty).unwrap(), "");
    stop(&engine);
    let error = payloads.read(&PayloadRef::Empty).unwrap_err();
    assert!(matches!(error, Error::Ended), "{error}");
    assert_eq!(error.code(), Some(code::ENGINE_FAILED));
}

/// A connection that panics when it is told that something was enqueued.
struct Broken(Arc<Mailbox>);

impl Outbox for Broken {
    fn deliver(&self, messages: Vec<Outgoing>) {
        let breaks = messages.iter().any(|it| matches!(it.message, Message::Enqueued(_)));
        assert!(!breaks, "a connection broke");
        self.0.deliver(messages);
    }

    fn close(&self) {}
}

fn connect_broken(engine: &Handle) -> ConnectionId {
    let mailbox = Mailbox::new();
    let connection = engine.connect(Arc::new(Broken(Arc::clone(&mailbox))));
    engine.request(connection, 1, hello(), Bytes::new());
    assert!(matches!(mailbox.answer(1), Message::Welcome(_)));
    connection
}

/// Its other threads went on, and a server waited for them instead of ending: nobody was answered any more.
#[test]
fn a_panic_in_a_turn_ends_the_engine() {
    for attends in [false, true] {
        let disk = SimulatedDisk::new();
        let (engine, _) = open_on(disk.clone(), Options::default()).unwrap();
        let connection = connect_broken(&engine);
        let (message, payload) = enqueue(1, "shop.send", &[b"arguments"]);
        if attends {
            let engine = engine.clone();
            let turn = move || {
                engine.leave(connection, 2, message, payload);
                engine.attend();
            };
            // It panics there if the engine was at rest.
            drop(thread::spawn(turn).join());
        } else {
            engine.request(connection, 2, message, payload);
        }
        let (sender, ended) = mpsc::channel();
        let joined = engine.clone();
        thread::spawn(move || sender.send(joined.join()));
        let error = ended.recv_timeout(PATIENCE).expect("it ends").expect_err("it goes on");
        assert!(matches!(error, Error::Panicked(_)), "{error}");
        assert_eq!(error.code(), Some(code::ENGINE_FAILED));

        let (engine, opened) = open_on(disk, Options::default()).unwrap();
        assert_eq!(opened.jobs, 1, "its commit was durable");
        stop(&engine);
    }
}
