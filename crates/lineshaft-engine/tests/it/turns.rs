//! Turns that the thread takes which brings the requests.

use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use bytes::Bytes;
use lineshaft_engine::{ConnectionId, Handle, Outbox, Outgoing, open};
use lineshaft_wire::message::Message;
use std::sync::Mutex;

use crate::world::{Mailbox, enqueue, hello, long_leases};

/// A mailbox that remembers which thread brought each answer.
struct Witness {
    mailbox: Arc<Mailbox>,
    deliverers: Mutex<Vec<(u64, ThreadId)>>,
}

impl Outbox for Witness {
    fn deliver(&self, messages: Vec<Outgoing>) {
        let here = thread::current().id();
        self.deliverers.lock().unwrap().extend(messages.iter().map(|it| (it.request_id, here)));
        self.mailbox.deliver(messages);
    }

    fn close(&self) {}
}

/// A producer that leaves its requests and then attends to the engine, as a server does.
struct Producer {
    engine: Handle,
    connection: ConnectionId,
    witness: Arc<Witness>,
    sent: u64,
}

impl Producer {
    fn connect(engine: &Handle) -> Self {
        let witness = Arc::new(Witness { mailbox: Mailbox::new(), deliverers: Mutex::default() });
        let connection = engine.connect(witness.clone());
        engine.request(connection, 1, hello(), Bytes::new());
        assert!(matches!(witness.mailbox.answer(1), Message::Welcome(_)));
        Self { engine: engine.clone(), connection, witness, sent: 0 }
    }

    /// Makes one job, or several in one request, and gives the thread that brought the answer.
    fn enqueue(&mut self, jobs: usize) -> ThreadId {
        self.sent += 1;
        let (message, payload) = enqueue(self.sent, "shop.send", &vec![&b"x"[..]; jobs]);
        self.engine.leave(self.connection, self.sent + 1, message, payload);
        self.engine.attend();
        self.deliverer(self.sent + 1)
    }

    fn deliverer(&self, request: u64) -> ThreadId {
        assert!(matches!(self.witness.mailbox.answer(request), Message::Enqueued(_)));
        let deliverers = self.witness.deliverers.lock().unwrap();
        deliverers.iter().find(|(answered, _)| *answered == request).expect("it was delivered").1
    }
}

#[test]
fn a_lone_request_is_answered_on_the_thread_that_brought_it() {
    let home = tempfile::tempdir().unwrap();
    let (engine, _) = open(home.path(), long_leases()).unwrap();
    let mut producer = Producer::connect(&engine);
    let here = thread::current().id();
    let alone = (0..50)
        .filter(|_| {
            thread::sleep(Duration::from_millis(2));
            producer.enqueue(1) == here
        })
        .count();
    assert!(alone > 0, "the engine was at rest at least once in fifty times");
    assert_ne!(producer.enqueue(1_000), here, "much work goes to the engine's thread");
    engine.stop();
    engine.join().unwrap();
}

/// A request that comes while another thread is about to end its turn must not lie until the next timer.
#[test]
fn no_request_is_left_lying_however_turns_and_arrivals_meet() {
    let home = tempfile::tempdir().unwrap();
    let (engine, _) = open(home.path(), long_leases()).unwrap();
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let mut producer = Producer::connect(&engine);
            thread::spawn(move || {
                for request in 0..300 {
                    producer.enqueue(1 + 20 * (request % 3));
                }
            })
        })
        .collect();
    for producer in producers {
        producer.join().unwrap();
    }
    engine.stop();
    engine.join().unwrap();
    let (engine, opened) = open(home.path(), long_leases()).unwrap();
    assert_eq!(opened.jobs, 4 * 100 * (1 + 21 + 41));
    engine.stop();
    engine.join().unwrap();
}
