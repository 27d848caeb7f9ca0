//! The rules of sessions, windows, deadlines and resending, without a socket.

mod joining;

use std::sync::Arc;

use lineshaft_wire::JobId;
use lineshaft_wire::message::{Cancel, Changed, Ping, Refused, Shutdown};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::client::actor::Command;
use crate::client::{Reply, Slot, io_thread};

/// What was sent: request id and place in the session.
#[derive(Default)]
struct Sent(Vec<(u64, Option<Sequence>)>);

impl Sink for Sent {
    fn send(&mut self, id: u64, message: &Message, _: &[Bytes]) -> Result<(), Error> {
        self.0.push((id, message.sequence()));
        Ok(())
    }
}

struct Bench {
    ledger: Ledger,
    receiver: UnboundedReceiver<Command>,
    /// Keeps the way open.
    _commands: Commands,
    now: Instant,
}

const SECOND: Duration = Duration::from_secs(1);

impl Bench {
    fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        let commands = Commands::new(io_thread::get().unwrap(), sender);
        let mut ledger = Ledger::new(commands.downgrade());
        ledger.greeted(Some(7));
        Self { ledger, receiver, _commands: commands, now: Instant::now() }
    }

    fn push(&mut self, message: impl Into<Message>, payload_bytes: usize) -> Reply {
        let slot = Arc::new(Slot::default());
        let payload = vec![Bytes::from(vec![0; payload_bytes])];
        let request = Request {
            message: message.into(),
            payload,
            deadline: self.now + SECOND,
            patience: SECOND,
            callers: Arc::clone(&slot).into(),
        };
        self.ledger.push(request);
        Reply::new(slot)
    }

    fn mutate(&mut self) -> Reply {
        self.push(cancel(), 0)
    }

    /// Ids and numbers of what is sent now.
    fn admit(&mut self) -> Vec<(u64, Option<Sequence>)> {
        let mut sent = Sent::default();
        self.ledger.admit(&mut sent);
        sent.0
    }

    fn resend(&mut self) -> Vec<(u64, Option<Sequence>)> {
        let mut sent = Sent::default();
        self.ledger.resend(&mut sent);
        sent.0
    }

    fn answer(&mut self, id: u64) {
        assert_eq!(self.ledger.answer(id, Changed::default().into(), Bytes::new()), Effect::None);
    }

    fn refuse(&mut self, id: u64) -> Effect {
        let refused =
            Refused { code: RefusalCode::OutcomeUnknown, message: "unknown session".into(), hint: None };
        self.ledger.answer(id, refused.into(), Bytes::new())
    }

    fn unpark(&mut self, id: u64) -> (Reply, Vec<(u64, Option<Sequence>)>) {
        let (slot, mut sent) = (Arc::new(Slot::default()), Sent::default());
        let deadline = self.now + 2 * SECOND;
        let again = Again {
            request: "Cancel",
            deadline,
            patience: SECOND,
            caller: Caller { slot: Arc::clone(&slot), part: None },
        };
        self.ledger.unpark(id, again, Some(&mut sent));
        (Reply::new(slot), sent.0)
    }
}

fn cancel() -> Cancel {
    Cancel { sequence: UNPLACED, job: JobId::direct(1, 0, 1, 1) }
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what was sent")]
fn place(number: u64, lowest: u64) -> Option<Sequence> {
    Some(Sequence { number, lowest })
}

fn outcome(reply: &mut Reply) -> Result<Message, Error> {
    reply.wait_timeout(Duration::ZERO).expect("it is answered").map(|(message, _)| message)
}

/// The next command. It may be held for a while by the I/O that all tests of this process share.
fn next(receiver: &mut UnboundedReceiver<Command>) -> Command {
    let deadline = Instant::now() + 30 * SECOND;
    loop {
        match receiver.try_recv() {
            Ok(command) => return command,
            Err(_) => assert!(Instant::now() < deadline, "nothing was asked"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_open(reply: &Reply) -> bool {
    !reply.is_ready()
}

#[test]
fn mutating_requests_are_numbered_in_order_and_name_the_lowest_unanswered() {
    let mut bench = Bench::new();
    let (mut first, _second) = (bench.mutate(), bench.mutate());
    assert_eq!(bench.admit(), [(2, place(1, 1)), (3, place(2, 1))]);
    bench.answer(2);
    assert!(outcome(&mut first).is_ok());
    let _third = bench.mutate();
    assert_eq!(bench.admit(), [(4, place(3, 2))]);
}

#[test]
fn what_is_open_is_resent_unchanged_and_reads_too() {
    let mut bench = Bench::new();
    let _replies = (bench.mutate(), bench.push(Ping {}, 0), bench.mutate());
    let mut sent = bench.admit();
    sent.sort_by_key(|(id, _)| *id);
    bench.ledger.disconnected();
    assert_eq!(bench.resend(), sent);
    assert_eq!(sent, [(2, place(1, 1)), (3, None), (4, place(2, 1))]);
}

#[test]
fn the_window_counts_from_the_lowest_unanswered_number() {
    let mut bench = Bench::new();
    let _replies: Vec<Reply> = (0..=WINDOW).map(|_| bench.mutate()).collect();
    assert_eq!(bench.admit().len() as u64, WINDOW);
    bench.answer(3);
    assert!(bench.admit().is_empty(), "the lowest is still unanswered");
    bench.answer(2);
    assert_eq!(bench.admit(), [(2 + WINDOW, place(WINDOW + 1, 3))]);
}

#[test]
fn payload_on_its_way_is_bounded_but_one_large_request_passes_alone() {
    let mut bench = Bench::new();
    let _replies =
        (bench.push(cancel(), 70 << 20), bench.push(cancel(), 40 << 20), bench.push(cancel(), 40 << 20));
    assert_eq!(bench.admit().len(), 1);
    bench.answer(2);
    assert_eq!(bench.admit(), [(3, place(2, 2))]);
    bench.answer(3);
    assert_eq!(bench.admit(), [(4, place(3, 3))]);
}

#[test]
fn a_request_whose_reply_is_dropped_while_it_waits_is_not_sent() {
    let mut bench = Bench::new();
    bench.ledger.greeted(None);
    drop(bench.mutate());
    let _kept = bench.mutate();
    bench.ledger.greeted(Some(7));
    assert_eq!(bench.admit(), [(3, place(1, 1))]);
    assert_eq!(bench.ledger.deadlines.len(), 1);
}

#[test]
fn abandoned_requests_do_not_pile_up() {
    let mut bench = Bench::new();
    bench.ledger.greeted(None);
    for _ in 0..10 * SWEEP_FROM {
        drop(bench.mutate());
    }
    assert!(bench.ledger.mutations_waiting.len() <= SWEEP_FROM);
    assert_eq!(bench.ledger.mutations_waiting.len(), bench.ledger.deadlines.len());
}

#[test]
fn a_deadline_before_sending_is_a_timeout_or_what_kept_it_from_being_sent() {
    let mut bench = Bench::new();
    bench.ledger.greeted(None);
    let (mut first, mut second) = (bench.mutate(), bench.mutate());
    bench.ledger.deadlines.retain(|(_, id)| *id == 2);
    bench.ledger.expire(bench.now + SECOND, None);
    assert!(matches!(outcome(&mut first), Err(Error::Timeout { request: "Cancel", .. })));
    bench.ledger.deadlines.insert((bench.now + SECOND, 3));
    bench.ledger.expire(bench.now + SECOND, Some(&Error::no_server("x", "y")));
    assert!(matches!(outcome(&mut second), Err(Error::NoServer { .. })));
    assert!(!bench.ledger.has_work());
}

#[test]
fn a_deadline_after_sending_is_an_unknown_outcome_that_can_be_asked_for_again() {
    let mut bench = Bench::new();
    let mut reply = bench.mutate();
    bench.admit();
    bench.ledger.expire(bench.now + SECOND, None);
    let Err(Error::OutcomeUnknown(unknown)) = outcome(&mut reply) else { panic!() };
    assert_eq!((unknown.place(), unknown.request()), ((7, 1), "Cancel"));
    assert!(!bench.ledger.has_work(), "nobody waits for it now");
    bench.ledger.disconnected();
    assert!(bench.resend().is_empty(), "a parked request is not resent by itself");

    let (again, sent) = bench.unpark(2);
    assert_eq!(sent, [(2, place(1, 1))], "the same place in the session");
    bench.answer(2);
    assert!(!is_open(&again));
    let (mut third, sent) = bench.unpark(2);
    assert!(
        sent.is_empty() && outcome(&mut third).is_ok(),
        "the outcome is kept as long as somebody may ask"
    );
    assert!(bench.ledger.unanswered.is_empty(), "but its place is free");
    bench.ledger.forget(2);
    assert!(bench.ledger.open.is_empty() && bench.ledger.deadlines.is_empty());
}

#[test]
fn an_answer_that_comes_after_the_deadline_is_kept_for_whoever_asks_again() {
    let mut bench = Bench::new();
    let _reply = bench.mutate();
    bench.admit();
    bench.ledger.expire(bench.now + SECOND, None);
    bench.answer(2);
    for _ in 0..2 {
        let (mut again, sent) = bench.unpark(2);
        assert!(sent.is_empty());
        assert!(outcome(&mut again).is_ok());
    }
    let _next = bench.mutate();
    assert_eq!(bench.admit(), [(3, place(2, 2))], "its number is answered");
}

#[test]
fn dropping_the_unknown_outcome_frees_its_place() {
    let mut bench = Bench::new();
    let mut reply = bench.mutate();
    bench.admit();
    bench.ledger.expire(bench.now + SECOND, None);
    drop(outcome(&mut reply));
    let Command::Forget { id } = next(&mut bench.receiver) else { panic!() };
    bench.ledger.forget(id);
    let (mut again, _) = bench.unpark(id);
    assert!(matches!(outcome(&mut again), Err(Error::Refused { code: RefusalCode::OutcomeUnknown, .. })));
    assert!(bench.ledger.deadlines.is_empty() && bench.ledger.unanswered.is_empty());
}

#[test]
fn an_outcome_that_stays_unknown_is_kept_for_its_last_holder() {
    let mut bench = Bench::new();
    let mut reply = bench.mutate();
    bench.admit();
    bench.ledger.expire(bench.now + SECOND, None);
    let first = outcome(&mut reply);
    let (mut again, _) = bench.unpark(2);
    bench.ledger.expire(bench.now + 2 * SECOND, None);
    assert!(matches!(outcome(&mut again), Err(Error::OutcomeUnknown(_))));
    drop(first);
    bench.ledger.forget(2);
    assert!(is_open(&bench.unpark(2).0), "the second holder may still ask");
}

/// It was sent a second time behind the first copy, whose refusal was believed while the server carried out the second.
#[test]
fn a_request_is_sent_once_over_each_connection() {
    let mut bench = Bench::new();
    let _reply = bench.mutate();
    bench.admit();
    bench.ledger.expire(bench.now + SECOND, None);
    let (mut again, sent) = bench.unpark(2);
    assert_eq!(sent, [], "its answer comes over this connection, or the connection ends");
    bench.ledger.disconnected();
    assert_eq!(bench.resend(), [(2, place(1, 1))]);
    assert_eq!(bench.unpark(2).1, [], "somebody else asks too");
    let refused = Refused { code: RefusalCode::StoreFull, message: "full".into(), hint: None };
    bench.ledger.answer(2, refused.into(), Bytes::new());
    assert!(matches!(outcome(&mut again), Err(Error::Refused { code: RefusalCode::StoreFull, .. })));
}

#[test]
fn a_parked_request_gives_way_when_the_window_is_needed() {
    let mut bench = Bench::new();
    let _parked = bench.mutate();
    bench.admit();
    bench.ledger.expire(bench.now + SECOND, None);
    bench.now += SECOND;
    let _replies: Vec<Reply> = (0..WINDOW).map(|_| bench.mutate()).collect();
    assert_eq!(bench.admit().len() as u64, WINDOW);
    let (mut again, _) = bench.unpark(2);
    assert!(outcome(&mut again).is_err());
}

#[test]
fn parked_requests_are_kept_for_five_minutes() {
    let mut bench = Bench::new();
    let _reply = bench.mutate();
    bench.admit();
    bench.ledger.expire(bench.now + SECOND, None);
    assert_eq!(bench.ledger.next_deadline(), Some(bench.now + SECOND + PARKED_FOR));
    bench.ledger.expire(bench.now + SECOND + PARKED_FOR, None);
    assert!(bench.ledger.open.is_empty() && bench.ledger.unanswered.is_empty());
}

#[test]
fn a_request_sent_once_and_refused_for_its_session_goes_into_a_new_one() {
    let mut bench = Bench::new();
    let (first, second) = (bench.mutate(), bench.mutate());
    bench.admit();
    assert_eq!(bench.refuse(2), Effect::SessionLost { from: 1 });
    bench.ledger.session_lost(1);
    assert!(is_open(&first) && is_open(&second));
    assert!(bench.ledger.needs_session() && bench.admit().is_empty());
    bench.ledger.greeted(Some(8));
    assert_eq!(bench.admit(), [(2, place(1, 1)), (3, place(2, 1))]);
}

#[test]
fn a_server_that_refuses_every_session_is_believed_in_the_end() {
    let mut bench = Bench::new();
    let mut reply = bench.mutate();
    for session in 0..u64::from(RENEWALS_MAX) {
        bench.admit();
        assert_eq!(bench.refuse(2), Effect::SessionLost { from: 1 });
        bench.ledger.session_lost(1);
        bench.ledger.greeted(Some(session));
    }
    bench.admit();
    assert_eq!(bench.refuse(2), Effect::None);
    assert!(matches!(outcome(&mut reply), Err(Error::Refused { .. })));
}

#[test]
fn what_was_resent_into_a_forgotten_session_has_an_unknown_outcome() {
    let mut bench = Bench::new();
    let mut sent_before = bench.mutate();
    bench.admit();
    bench.ledger.disconnected();
    let waiting = bench.mutate();
    bench.ledger.greeted(Some(8));
    assert!(matches!(outcome(&mut sent_before), Err(Error::OutcomeUnknown(_))));
    assert!(is_open(&waiting));
    assert!(bench.resend().is_empty());
    assert_eq!(bench.admit(), [(3, place(1, 1))]);
}

#[test]
fn a_server_asked_to_stop_answers_by_closing_and_its_successor_is_not_asked() {
    let mut bench = Bench::new();
    let mut reply = bench.push(Shutdown::default(), 0);
    bench.admit();
    bench.ledger.disconnected();
    assert_eq!(outcome(&mut reply).unwrap(), Message::Done(Done {}));
    assert!(bench.resend().is_empty());
}

#[test]
fn failing_for_good_tells_apart_what_was_sent() {
    let mut bench = Bench::new();
    let (mut sent, mut read) = (bench.mutate(), bench.push(Ping {}, 0));
    bench.admit();
    let mut unsent = bench.mutate();
    bench.ledger.fail_all(bench.now, &Error::no_server("x", "y"));
    assert!(matches!(outcome(&mut sent), Err(Error::OutcomeUnknown(_))));
    assert!(matches!(outcome(&mut read), Err(Error::NoServer { .. })));
    assert!(matches!(outcome(&mut unsent), Err(Error::NoServer { .. })));
    assert_eq!(bench.ledger.next_deadline(), Some(bench.now + PARKED_FOR));
}
