//! Children that are gone, or silent: the engine by itself, its time as the test wants it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_engine::{Clock, ConnectionId, Options, SimulatedClock, Stepped};
use lineshaft_ipc::process::ProcessId;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::message::{AttachChild, Credit, Finish, Message, ProcessKey, Renew, Show, Succeeded};
use lineshaft_wire::{Fence, JobId, JobState, Outcome};

use crate::crashes::journal_options;
use crate::world::{Mailbox, attach_child, enqueue, hello};

/// How long each life of the engine is, where it is killed again and again.
const LIFE: Duration = Duration::from_millis(800);
const LEASE: Duration = Duration::from_secs(15);
/// Of another host: nobody can see whether it lives.
const FAR: ProcessKey = ProcessKey { pid: 0, start_time: 0 };

/// A home, and the engine that works in it.
struct House {
    disk: SimulatedDisk,
    clock: SimulatedClock,
    engine: Stepped<SimulatedDisk>,
    lives: u32,
}

impl House {
    fn new() -> Self {
        let (disk, clock) = (SimulatedDisk::new(), SimulatedClock::new(1_790_000_000_000));
        Self { engine: start(&disk, &clock), disk, clock, lives: 1 }
    }

    /// The engine is killed, and there is another one.
    fn restart(&mut self) {
        self.disk = self.disk.restart();
        self.engine = start(&self.disk, &self.clock);
        self.lives += 1;
    }

    /// Time passes, and the engine does what is to be done.
    fn run(&mut self, time: Duration) {
        let end = self.clock.passed() + time;
        loop {
            let rest = self.engine.turn().expect("the disk is well").expect("nobody stops it");
            let waiting: Vec<_> = self.engine.waiting().collect();
            waiting.into_iter().for_each(|aside| self.engine.work(aside));
            let left = end.saturating_sub(self.clock.passed());
            if left.is_zero() {
                return;
            }
            self.clock.pass(rest.max(Duration::from_millis(1)).min(left));
        }
    }

    fn connect(&self) -> Peer {
        let mailbox = Mailbox::new();
        Peer { connection: self.engine.handle().connect(mailbox.clone()), mailbox, requests: 0 }
    }

    fn send(&self, peer: &mut Peer, message: impl Into<Message>, payload: Bytes) -> u64 {
        peer.requests += 1;
        self.engine.handle().request(peer.connection, peer.requests, message.into(), payload);
        peer.requests
    }

    fn ask(&mut self, peer: &mut Peer, message: impl Into<Message>, payload: Bytes) -> Message {
        let request = self.send(peer, message, payload);
        self.run(Duration::from_millis(2));
        peer.mailbox.answer(request)
    }

    fn enqueue(&mut self, arguments: &[&[u8]]) {
        let mut client = self.connect();
        self.ask(&mut client, hello(), Bytes::new());
        let (message, payload) = enqueue(1, "shop.send", arguments);
        let answer = self.ask(&mut client, message, payload);
        assert!(matches!(answer, Message::Enqueued(_)), "{answer:?}");
    }

    /// A child that attaches, with leases that it holds; and those of them that are not its own.
    fn child(&mut self, number: u32, process: ProcessKey, held: &[(JobId, Fence)]) -> (Peer, Vec<Fence>) {
        let Message::AttachChild(attach) = attach_child(number, &["shop.send"]) else {
            panic!("another message")
        };
        let mut child = self.connect();
        let attach = AttachChild { process, held: held.to_vec(), ..attach };
        match self.ask(&mut child, attach, Bytes::new()) {
            Message::ChildAttached(attached) => (child, attached.stale),
            other => panic!("{other:?}"),
        }
    }

    fn credit(&mut self, child: &mut Peer, leases: u32) {
        self.send(child, Credit { leases, reset: false }, Bytes::new());
        self.run(Duration::from_millis(2));
    }

    /// A job that a child holds which attached with this process, in the engine's first life.
    fn leased(&mut self, process: ProcessKey) -> (JobId, Fence) {
        self.enqueue(&[b"arguments"]);
        let (mut child, _) = self.child(1, process, &[]);
        self.credit(&mut child, 1);
        child.leased().expect("there is a job")
    }

    /// The engine is killed every [`LIFE`] until another child has got the job, which attaches in each of them. Gives the
    /// time that the engine was up until then, about.
    fn until_leased_to_another(&mut self, job: JobId) -> (Duration, Peer, Fence) {
        for lives in 1..100 {
            self.restart();
            let (mut other, _) = self.child(2, FAR, &[]);
            self.credit(&mut other, 1);
            self.run(LIFE);
            if let Some((leased, fence)) = other.leased() {
                assert_eq!(leased, job);
                return (lives * LIFE, other, fence);
            }
        }
        panic!("its lease does not end");
    }

    fn succeed(&mut self, child: &mut Peer, (job, fence): (JobId, Fence)) {
        let end = Succeeded { job, fence, started_at: 1, finished_at: 2, result_length: 0, output_length: 0 };
        let finish = Finish { succeeded: vec![end], ..Finish::default() };
        let answer = self.ask(child, finish, Bytes::new());
        assert!(matches!(&answer, Message::Finished(finished) if finished.refused.is_empty()), "{answer:?}");
    }

    fn show(&mut self, job: JobId) -> (JobState, Vec<Option<Outcome>>) {
        let mut client = self.connect();
        self.ask(&mut client, hello(), Bytes::new());
        let Message::Shown(shown) = self.ask(&mut client, Show { job }, Bytes::new()) else {
            panic!("no job")
        };
        (shown.record.state, shown.record.attempts.iter().map(|attempt| attempt.outcome).collect())
    }
}

struct Peer {
    connection: ConnectionId,
    mailbox: Arc<Mailbox>,
    requests: u64,
}

impl Peer {
    /// The job that came, if one did.
    fn leased(&self) -> Option<(JobId, Fence)> {
        let has_leases = self.mailbox.has(|outgoing| matches!(outgoing.message, Message::Leases(_)));
        has_leases.then(|| {
            self.mailbox.take(|outgoing| {
                let Message::Leases(leases) = &outgoing.message else { return None };
                let [lease] = leases.jobs[..] else { panic!("one job at a time: {leases:?}") };
                Some((lease.job, Fence { epoch: leases.epoch, counter: lease.counter }))
            })
        })
    }
}

fn start(disk: &SimulatedDisk, clock: &SimulatedClock) -> Stepped<SimulatedDisk> {
    let options = Options { clock: Clock::from(clock.clone()), ..Options::default() };
    Stepped::open(disk.clone(), journal_options(), options).expect("the disk is well").0
}

/// A process that has ended, and whose number nobody has by now.
fn dead() -> ProcessKey {
    let mut process = Command::new("sleep").arg("100").spawn().expect("it is there on every system");
    let ProcessId { pid, start_time } = ProcessId::of(process.id()).expect("it runs");
    process.kill().and_then(|()| process.wait()).expect("it is a child of this process");
    ProcessKey { pid, start_time }
}

/// Each start gave the leases of before a whole lease more, and none of the lives was that long.
#[test]
fn the_job_of_a_child_that_is_gone_is_run_by_another_though_the_server_is_killed_all_the_time() {
    let mut house = House::new();
    let (job, _) = house.leased(FAR);
    let (up, mut other, fence) = house.until_leased_to_another(job);
    // The last quarter of a second of each life may not have been written down.
    assert!((LEASE..2 * LEASE).contains(&up), "after {up:?}");
    house.succeed(&mut other, (job, fence));
    assert_eq!(house.show(job), (JobState::Completed, vec![Some(Outcome::Lost), Some(Outcome::Succeeded)]));
}

/// Whoever does not come back within two seconds and is dead has no lease any more: no life was that long either.
#[test]
fn a_process_that_is_dead_is_found_so_though_the_server_is_killed_all_the_time() {
    let mut house = House::new();
    let (job, _) = house.leased(dead());
    let (up, mut other, fence) = house.until_leased_to_another(job);
    assert!((2 * LIFE..LEASE / 2).contains(&up), "after {up:?}");
    house.succeed(&mut other, (job, fence));
    assert_eq!(house.show(job), (JobState::Completed, vec![Some(Outcome::Lost), Some(Outcome::Succeeded)]));
}

/// What counts is how long it was away, not how long ago the first start was that it missed.
#[test]
fn a_child_that_comes_back_between_the_kills_keeps_its_lease() {
    let mut house = House::new();
    let lease = house.leased(FAR);
    for _ in 0..4 {
        for _ in 0..10 {
            house.restart();
            house.run(LIFE);
        }
        let (_, stale) = house.child(1, FAR, &[lease]);
        assert_eq!(stale, [], "in life {}", house.lives);
    }
    house.restart();
    let (mut child, stale) = house.child(1, FAR, &[lease]);
    assert_eq!(stale, []);
    house.succeed(&mut child, lease);
    assert_eq!(house.show(lease.0), (JobState::Completed, vec![Some(Outcome::Succeeded)]));
}

/// While nobody is absent the engine writes nothing of its own accord.
#[test]
fn time_is_written_down_only_while_a_child_is_absent() {
    let mut house = House::new();
    house.leased(FAR);
    house.restart();
    house.run(Duration::from_secs(1));
    let written = |house: &House| house.engine.state().clock().1;
    let before = written(&house);
    house.run(Duration::from_secs(1));
    assert!((750..=1_000).contains(&(written(&house) - before)));
    // With its lease the child is gone, and the rest is silence, but for the job that is available again.
    house.run(LEASE);
    let before = (written(&house), house.engine.state().leased());
    house.run(Duration::from_secs(30));
    assert_eq!((written(&house), house.engine.state().leased()), before);
    assert_eq!(before.1, 0);
}

/// The child of a worker that was stopped was leased the job that it had lost again and again, a lease for each time.
#[test]
fn a_child_that_is_stopped_loses_an_attempt_once_and_works_when_it_goes_on() {
    let mut house = House::new();
    house.enqueue(&[b"first"]);
    let (mut child, _) = house.child(1, FAR, &[]);
    house.credit(&mut child, 1);
    let (job, first) = child.leased().expect("there is a job");
    house.credit(&mut child, 1);
    house.run(6 * LEASE);
    assert_eq!(house.show(job), (JobState::Available, vec![Some(Outcome::Lost)]));
    assert_eq!(child.leased(), None);
    house.ask(&mut child, Renew {}, Bytes::new());
    let (again, second) = child.leased().expect("it gets jobs again, with the credit that it had");
    assert!(again == job && second > first);
    house.succeed(&mut child, (job, second));
    assert_eq!(house.show(job), (JobState::Completed, vec![Some(Outcome::Lost), Some(Outcome::Succeeded)]));
}
