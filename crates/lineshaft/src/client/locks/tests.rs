//! What is said of locks and when, without a socket.

use lineshaft_wire::message::{LockKind, Refused};

use super::*;
use crate::client::commands::Commands;
use crate::client::hold::{LockLost, LockRequest};
use crate::client::{Reply, io_thread};

#[derive(Default)]
struct Sent(Vec<(u64, Message)>);

impl Sink for Sent {
    fn send(&mut self, id: u64, message: &Message, _: &[Bytes]) -> Result<(), Error> {
        self.0.push((id, message.clone()));
        Ok(())
    }
}

const TTL: Duration = Duration::from_secs(30);

struct Bench {
    locks: Locks,
    ledger: Ledger,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let (sender, _) = tokio::sync::mpsc::unbounded_channel();
        let commands = Commands::new(io_thread::get().unwrap(), sender);
        let mut bench =
            Self { locks: Locks::default(), ledger: Ledger::new(commands.downgrade()), now: Instant::now() };
        bench.connect(7);
        bench
    }

    fn connect(&mut self, session: u64) {
        self.ledger.greeted(Some(session));
        self.locks.connected(Some(session), self.now);
    }

    fn want(&mut self, token: u64) -> (Reply, Arc<Holding>) {
        let (slot, holding) = (Arc::new(Slot::default()), Arc::new(Holding::new(TTL)));
        let request = LockRequest {
            kind: LockKind::Mutex,
            key: "k".into(),
            permits: 1,
            party: 0,
            ttl: TTL,
            wait: true,
            program: "test".into(),
        };
        let asked = Asked { request, token, holding: Arc::clone(&holding), slot: Arc::clone(&slot) };
        self.locks.want(asked, self.now);
        (Reply::new(slot), holding)
    }

    /// What is said now.
    fn said(&mut self) -> Vec<(u64, Message)> {
        let mut sent = Sent::default();
        self.locks.ask(&mut self.ledger, &mut sent, self.now);
        sent.0
    }

    fn only(&mut self) -> (u64, Message) {
        let mut said = self.said();
        assert_eq!(said.len(), 1, "{said:?}");
        said.remove(0)
    }

    fn answer(&mut self, id: u64, message: impl Into<Message>) {
        self.locks.answer(id, message.into(), self.now).unwrap();
    }

    fn held(&mut self, token: u64) -> Arc<Holding> {
        let (mut reply, holding) = self.want(token);
        let (id, message) = self.only();
        assert!(matches!(message, Message::Acquire(_)), "{message:?}");
        self.answer(id, Acquired { fence: Some(token * 10), place: None });
        assert!(reply.is_ready());
        assert!(reply.wait_timeout(Duration::ZERO).unwrap().is_ok());
        holding
    }
}

fn is_renewal(message: &Message) -> bool {
    matches!(message, Message::RenewLocks(_))
}

#[test]
fn a_lock_is_renewed_every_fifth_and_given_back_once() {
    let mut bench = Bench::new();
    bench.held(1);
    assert_eq!(bench.said(), []);
    assert_eq!(bench.locks.next_wake(), Some(bench.now + TTL / 5));
    bench.now += TTL / 5;
    let (id, message) = bench.only();
    assert_eq!(message, RenewLocks { tokens: vec![1] }.into());
    bench.answer(id, LocksLost::default());
    assert_eq!(bench.locks.next_wake(), Some(bench.now + TTL / 5));
    let slot = Arc::new(Slot::default());
    bench.locks.release(1, Some(Arc::clone(&slot)), bench.now);
    let (id, message) = bench.only();
    assert_eq!(message, ReleaseLocks { tokens: vec![1] }.into());
    assert!(!Reply::new(Arc::clone(&slot)).is_ready());
    bench.answer(id, LocksLost::default());
    assert!(bench.locks.is_empty() && bench.locks.next_wake().is_none());
}

/// The server would take who has a lock and asks for another one first for somebody who waits for itself.
#[test]
fn what_is_given_back_is_given_back_before_something_else_is_asked_for() {
    let mut bench = Bench::new();
    bench.held(1);
    bench.locks.release(1, None, bench.now);
    bench.want(2);
    let said: Vec<Message> = bench.said().into_iter().map(|(_, message)| message).collect();
    assert!(matches!(said[..], [Message::ReleaseLocks(_), Message::Acquire(_)]), "{said:?}");
}

/// The grant may have lain in the socket of a process that was stopped, for longer than the lock was held.
#[test]
fn a_lock_that_was_waited_for_is_held_when_a_renewal_says_so() {
    let mut bench = Bench::new();
    let (reply, _) = bench.want(1);
    let (id, _) = bench.only();
    bench.now += 3 * TTL;
    bench.answer(id, Acquired { fence: Some(10), place: None });
    assert!(!reply.is_ready());
    let (id, message) = bench.only();
    assert!(is_renewal(&message));
    bench.answer(id, LocksLost { tokens: vec![1] });
    assert!(!reply.is_ready(), "it was lost before it was heard of");
    let (id, message) = bench.only();
    let Message::Acquire(again) = message else { panic!("{message:?}") };
    assert_eq!((again.token, again.waited_ms), (1, 90_000), "its place in line is the old one");
    bench.answer(id, Acquired { fence: Some(11), place: None });
    assert!(reply.is_ready());
}

#[test]
fn everything_is_said_again_over_the_next_connection() {
    let mut bench = Bench::new();
    let held = bench.held(1);
    let (wanted, _) = bench.want(2);
    assert_eq!(bench.said().len(), 1);
    bench.held(3);
    bench.locks.release(3, None, bench.now);
    assert_eq!(bench.said().len(), 1);
    bench.locks.disconnected(bench.now);
    bench.now += Duration::from_secs(1);
    bench.connect(7);
    let said: Vec<Message> = bench.said().into_iter().map(|(_, message)| message).collect();
    let [release, Message::Acquire(acquire), renew] = &said[..] else { panic!("{said:?}") };
    assert_eq!((acquire.token, acquire.waited_ms), (2, 1_000));
    assert_eq!(*release, ReleaseLocks { tokens: vec![3] }.into());
    assert_eq!(*renew, RenewLocks { tokens: vec![1] }.into());
    held.confirm(bench.now);
    bench.locks.disconnected(bench.now);
    bench.connect(8);
    assert!(bench.locks.entries.keys().eq([&2]), "another session holds nothing");
    held.lose();
    assert!(!wanted.is_ready());
}

#[test]
fn what_was_never_said_is_given_up_in_silence() {
    let mut bench = Bench::new();
    let (_reply, _) = bench.want(1);
    bench.locks.release(1, None, bench.now);
    assert_eq!(bench.said(), []);
    assert!(bench.locks.is_empty());
}

#[test]
fn a_lock_that_the_server_takes_away_is_lost() {
    let mut bench = Bench::new();
    bench.held(1);
    bench.locks.taken(&[1]);
    assert!(bench.locks.is_empty());
}

#[test]
fn a_server_that_stops_is_asked_again_and_another_refusal_is_believed() {
    let mut bench = Bench::new();
    let refused = |code| Refused { code, message: "no".into(), hint: None };
    let (mut reply, _) = bench.want(1);
    let (id, _) = bench.only();
    bench.answer(id, refused(RefusalCode::ShuttingDown));
    assert!(!reply.is_ready());
    bench.locks.disconnected(bench.now);
    bench.connect(7);
    let (id, _) = bench.only();
    bench.answer(id, refused(RefusalCode::QueueFull));
    let answer = reply.wait_timeout(Duration::ZERO).unwrap();
    assert!(matches!(answer, Err(Error::Refused { code: RefusalCode::QueueFull, .. })));
    assert!(bench.locks.is_empty());
}

#[test]
fn without_a_server_a_wait_fails_in_time_and_a_lock_is_lost_when_its_time_is_over() {
    let mut bench = Bench::new();
    bench.held(1);
    let (mut reply, _) = bench.want(2);
    assert_eq!(bench.said().len(), 1);
    bench.locks.disconnected(bench.now);
    assert_eq!(bench.locks.next_wake(), Some(bench.now + TTL), "nothing is renewed meanwhile");
    bench.locks.expire(bench.now + Duration::from_secs(1), Some((&Error::Closed, bench.now)));
    assert!(matches!(reply.wait_timeout(Duration::ZERO), Some(Err(Error::Closed))));
    assert!(!bench.locks.is_empty());
    bench.locks.expire(bench.now + TTL, None);
    assert!(bench.locks.is_empty());
    let lost = Holding::new(TTL);
    lost.lose();
    assert_eq!(format!("{}", LockLost::Expired), "it was not renewed in time");
}
