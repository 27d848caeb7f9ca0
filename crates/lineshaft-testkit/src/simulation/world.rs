//! How time passes: whoever has something to do next does it, one after the other.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use lineshaft_engine::{Aside, Handle, Outgoing, Payload, SimulatedClock, Stepped};
use lineshaft_store::ArchivedJob;

use super::cacher::Cacher;
use super::child::Fate;
use super::departs::{Departure, depart};
use super::flood::Flood;
use super::ledger::Ledger;
use super::locker::Locker;
use super::network::{Arrival, Frame, Left, Network, Peer};
use super::plan::{Fault, Plan};
use super::producer::Producer;
use super::put_back::Kept;
use super::server::{Server, Stepping};
use super::worker::Worker;
use super::{MILLISECOND, Report, SECOND, Time};
use crate::disk::SimulatedDisk;

/// When the simulated clock begins: Unix milliseconds of a day in 2026.
const WALL_MS: u64 = 1_790_000_000_000;
/// After the last fault and the last request everything must have ended by then.
const PATIENCE: Time = 3_600 * SECOND;
/// An engine that waits for room within a turn has it after so many looks, although somebody takes it all.
const FULL_LOOKS: u32 = 200;
/// Pause between two looks for a lease.
const LOOK: Time = 50 * MILLISECOND;
/// What a trace keeps.
const TRACE_MAX: usize = 400;

pub(super) struct World {
    rng: fastrand::Rng,
    clock: SimulatedClock,
    server: Server,
    network: Network,
    ledger: Ledger,
    producers: Vec<Producer>,
    lockers: Vec<Locker>,
    cachers: Vec<Cacher>,
    workers: Vec<Worker>,
    next_nonce: u64,
    faults: VecDeque<(Time, Fault)>,
    /// By how much the wall clock was set in all, and the most that it ever was ahead.
    wall_set_ms: (i64, i64),
    /// Until when the wall clock stands still, and what it shows.
    wall_stands: Option<(Time, u64)>,
    /// Until when somebody else takes all room on the disk.
    full_until: Option<Time>,
    /// Until when nobody but the server does anything.
    deserted_until: Time,
    /// What is put back in the end beside its later history, and when it is taken.
    keep_at: Option<Time>,
    kept: Option<Kept>,
    /// Since when nothing goes wrong any more.
    calm_since: Option<Time>,
    /// Who did something, and when.
    history: DefaultHasher,
    trace: Option<VecDeque<String>>,
}

/// What everybody may use in a step.
pub(super) struct Step<'a> {
    pub(super) engine: Option<&'a Handle>,
    pub(super) disk: &'a SimulatedDisk,
    pub(super) network: &'a mut Network,
    pub(super) ledger: &'a mut Ledger,
    pub(super) rng: &'a mut fastrand::Rng,
    pub(super) now: Time,
    pub(super) wall_ms: u64,
}

/// Who is next.
#[derive(Clone, Copy, Debug, Hash)]
enum Who {
    Server,
    Network,
    Producer(usize),
    Locker(usize),
    Cacher(usize),
    Supervisor(usize),
    Child(usize, usize),
    Fault,
}

macro_rules! step {
    ($world:ident) => {
        Step {
            engine: $world.server.handle(),
            disk: &$world.server.disk,
            network: &mut $world.network,
            ledger: &mut $world.ledger,
            rng: &mut $world.rng,
            now: $world.clock.passed().as_micros() as u64,
            wall_ms: $world.clock.wall_ms(),
        }
    };
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
        // The engine draws nonces and salts from the thread's own generator.
        fastrand::seed(plan.seed);
        let mut rng = fastrand::Rng::with_seed(plan.seed);
        let clock = SimulatedClock::new(WALL_MS);
        let mut server = Server::new(&clock, plan.seed, &mut rng);
        if let Some(operation) = plan.power_cut {
            server.cut_power_at(operation, SECOND);
        }
        let workers: Vec<_> =
            (0..plan.workers).map(|place| Worker::new(u64::from(place) + 1, 1 + place % 2, 0)).collect();
        Self {
            rng,
            clock,
            server,
            network: Network::default(),
            ledger: Ledger::default(),
            producers: (0..plan.producers as usize)
                .map(|place| Producer::new(place, plan.requests, Flood::of(plan.seed).filter(|_| place == 0)))
                .collect(),
            lockers: Locker::all(plan.seed),
            cachers: Cacher::all(plan.seed),
            next_nonce: u64::from(plan.workers) + 1,
            workers,
            faults: plan.schedule().into(),
            wall_set_ms: (0, 0),
            wall_stands: None,
            full_until: None,
            deserted_until: 0,
            keep_at: Kept::at(plan.seed),
            kept: None,
            calm_since: None,
            history: DefaultHasher::new(),
            trace: None,
        }
    }

    /// Keeps a trace.
    pub(super) fn traced(mut self) -> Self {
        self.trace = Some(VecDeque::new());
        self
    }

    pub(super) fn into_trace(self) -> Vec<String> {
        self.trace.unwrap_or_default().into()
    }

    pub(super) fn report(&self) -> Report {
        let mut history = self.history.clone();
        self.rng.get_seed().hash(&mut history);
        Report {
            acknowledged: self.ledger.acknowledged_count(),
            locks: self.ledger.locks.given,
            cached: self.ledger.cache.found,
            begun: self.ledger.begun,
            starts: self.server.starts,
            operations: self.server.operations + self.server.disk.operations(),
            turns: self.server.turns,
            recoveries: self.server.recoveries,
            spilled: self.server.scratch.puts() as u64,
            seconds: self.now() / SECOND,
            history: history.finish(),
        }
    }

    fn now(&self) -> Time {
        self.clock.passed().as_micros() as u64
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        let at = self.now();
        let Some(trace) = &mut self.trace else { return };
        if trace.len() == TRACE_MAX {
            trace.pop_front();
        }
        trace.push_back(format!("{:11.6} s  {}", at as f64 / SECOND as f64, text()));
    }

    /// Until everything has ended and is in the archive. Errors with the promise that was broken.
    pub(super) fn live(&mut self) -> Result<(), String> {
        loop {
            let (at, who) = self.next();
            if at > self.now() {
                self.pass_until(at);
            }
            (at, who).hash(&mut self.history);
            self.act(who)?;
            self.calm_down();
            if self.server.has_noticed {
                return Ok(());
            }
            if self.is_over() {
                break;
            }
            if self.calm_since.is_some_and(|since| self.now() > since + PATIENCE) {
                return Err(self.stuck());
            }
        }
        self.end()
    }

    fn pass_until(&mut self, at: Time) {
        self.clock.pass(Duration::from_micros(at - self.now()));
        if let Some((until, shown_ms)) = self.wall_stands {
            self.set_wall(shown_ms.cast_signed() - self.clock.wall_ms().cast_signed());
            if at >= until {
                self.wall_stands = None;
            }
        }
    }

    fn next(&self) -> (Time, Who) {
        let is_up = self.server.handle().is_some();
        let mut next = (self.server.due(), Who::Server);
        let mut consider = |at: Option<Time>, who: Who| {
            if let Some(at) = at.filter(|at| *at < next.0) {
                next = (at, who);
            }
        };
        consider(self.network.next_at(self.server.stalled_until), Who::Network);
        consider(self.faults.front().map(|(at, _)| *at), Who::Fault);
        for (place, producer) in self.producers.iter().enumerate() {
            let due = producer.due(is_up).map(|at| at.max(self.deserted_until));
            consider(due, Who::Producer(place));
        }
        for (place, locker) in self.lockers.iter().enumerate() {
            let due = locker.due(is_up).map(|at| at.max(self.deserted_until));
            consider(due, Who::Locker(place));
        }
        for (place, cacher) in self.cachers.iter().enumerate() {
            let due = cacher.due(is_up).map(|at| at.max(self.deserted_until));
            consider(due, Who::Cacher(place));
        }
        for (place, worker) in self.workers.iter().enumerate() {
            consider(worker.due(is_up), Who::Supervisor(place));
            for (child, entry) in worker.children.iter().enumerate() {
                consider(entry.due(is_up), Who::Child(place, child));
            }
        }
        next
    }

    fn act(&mut self, who: Who) -> Result<(), String> {
        match who {
            Who::Server => self.server_acts(),
            Who::Network => self.arrive(),
            Who::Producer(place) => {
                self.producers[place].act(&mut step!(self));
                Ok(())
            }
            Who::Locker(place) => {
                self.lockers[place].act(&mut step!(self));
                Ok(())
            }
            Who::Cacher(place) => {
                self.cachers[place].act(&mut step!(self));
                Ok(())
            }
            Who::Supervisor(place) => {
                self.workers[place].act(&mut step!(self));
                Ok(())
            }
            Who::Child(place, child) => self.child_acts(place, child),
            Who::Fault => {
                if let Some((_, fault)) = self.faults.pop_front() {
                    self.strike(fault);
                }
                self.take_left()
            }
        }
    }

    // ---- The server.

    fn server_acts(&mut self) -> Result<(), String> {
        self.keep_full();
        self.history_may_go();
        let now = self.now();
        let stepping = self.server.act(now, &mut self.rng)?;
        self.take_left()?;
        self.check_step()?;
        match stepping {
            Stepping::GoesOn => {
                self.keep_if_due();
                Ok(())
            }
            Stepping::Opened => {
                self.note(|| "the server is up".to_owned());
                if let Some(engine) = self.server.engine() {
                    self.ledger.started(engine.state());
                }
                self.check()
            }
            Stepping::Died => {
                self.note(|| "the server dies with its disk".to_owned());
                self.server_dies(None);
                Ok(())
            }
        }
    }

    /// On a full disk the oldest history makes room.
    fn history_may_go(&mut self) {
        let is_at_history =
            |engine: &&Stepped<SimulatedDisk>| engine.waiting().any(|aside| aside == Aside::Archive);
        let Some(engine) = self.server.engine().filter(is_at_history) else { return };
        if !self.server.disk.is_full() {
            return;
        }
        // One that does not read keeps what it has.
        let archived = engine.archived(&self.ledger.elsewhere(engine.state())).unwrap_or_default();
        let today = self.ledger.today();
        self.ledger.history_may_go(today, &archived);
        if let Some(kept) = &mut self.kept {
            kept.history_may_go(today, &archived);
        }
    }

    /// The home as it is now, and what is known of it.
    fn keep_if_due(&mut self) {
        let now = self.now();
        let has_commits = self.server.engine().is_some_and(|engine| engine.lsn() > 0);
        if self.keep_at.is_some_and(|at| at <= now) && has_commits && self.server.is_sound() {
            self.keep_at = None;
            self.note(|| "a copy of the home is kept".to_owned());
            self.kept = Some(Kept::of(&self.server.disk, &self.ledger));
        }
    }

    fn server_dies(&mut self, down: Option<Time>) {
        let now = self.now();
        self.network.server_died(now, &mut self.rng);
        match down {
            Some(down) => self.server.kill(down, now, &mut self.rng),
            None => self.server.die(now, &mut self.rng),
        }
    }

    /// What left the engine is noted, and goes on its way.
    fn take_left(&mut self) -> Result<(), String> {
        self.ledger.wall_max_ms = self.ledger.wall_max_ms.max(self.clock.wall_ms());
        let committed_after = self.server.committed_after.take();
        self.ledger.waited_for_room = std::mem::take(&mut self.server.waited_for_room);
        for Left { link, syncs, outgoing } in self.network.take_left() {
            if committed_after.is_some_and(|before| syncs <= before) {
                return Err(format!("{} left before its commit was durable", outgoing.message.name()));
            }
            self.send_off(link, outgoing)?;
        }
        Ok(())
    }

    fn send_off(&mut self, link: u64, outgoing: Outgoing) -> Result<(), String> {
        let Some(entry) = self.network.link_mut(link) else { return Ok(()) };
        let (peer, connection, name) = (entry.peer, entry.connection, outgoing.message.name());
        let Some(engine) = self.server.handle() else { return Ok(()) };
        let payloads = engine.payloads();
        let read = |payload: &Payload| match payload {
            Payload::Bytes(bytes) => Ok(bytes.clone()),
            Payload::Stored(place) => payloads.read(place),
        };
        let (frame, unread) = match depart(outgoing, read) {
            Departure::Whole(frame) => (frame, Vec::new()),
            // Its machine is dead, and nobody reads any more.
            _ if self.server.disk.has_crashed() => return Ok(()),
            _ if !self.server.is_damaged() => {
                return Err(format!("what {name} for {peer:?} refers to does not read"));
            }
            Departure::Without(frame, unread) => (frame, unread),
            Departure::Nothing => {
                self.note(|| format!("{name} for {peer:?} does not read: its connection is closed"));
                let now = self.now();
                self.network.cut(link, 0, now, &mut self.rng);
                return Ok(());
            }
        };
        for unread in unread {
            self.note(|| format!("to {peer:?}: not {unread:?}"));
            if let Some(engine) = self.server.handle() {
                engine.unread(connection, unread);
            }
            self.server.rouse(self.clock.passed().as_micros() as Time, &mut self.rng);
        }
        let arrives = self.network.is_newest(link);
        let Some(entry) = self.network.link_mut(link) else { return Ok(()) };
        // A wait is answered in parts.
        let asked = entry.asked.get(&frame.request_id);
        self.ledger.left(peer, arrives, asked, &frame)?;
        self.note(|| format!("to {peer:?}: {:?}", frame.message));
        let now = self.now();
        self.network.deliver(link, frame, now, &mut self.rng);
        Ok(())
    }

    /// What can be told at every step.
    fn check_step(&mut self) -> Result<(), String> {
        (self.ledger.up, self.ledger.served) = (self.server.service.least, self.server.service.most);
        self.ledger.lease = self.server.lease;
        match self.server.engine().filter(|_| !self.server.disk.has_crashed()) {
            Some(engine) => self.ledger.check_some(engine.state(), self.server.lease),
            None => Ok(()),
        }
    }

    /// Everything that left is there.
    fn check(&mut self) -> Result<(), String> {
        let Some(engine) = self.server.engine() else { return Ok(()) };
        match engine.archived(&self.ledger.elsewhere(engine.state())) {
            Ok(archived) => {
                let verdict = self.ledger.check(engine.state(), &archived);
                let explained = !archived.iter().all(ArchivedJob::is_whole) && self.server.notices_damage();
                if explained { Ok(()) } else { verdict }
            }
            Err(_) if self.server.notices_damage() => Ok(()),
            Err(error) => Err(format!("the archive does not read: {error}")),
        }
    }

    // ---- Everybody else.

    fn arrive(&mut self) -> Result<(), String> {
        let now = self.now();
        let Some(arrival) = self.network.arrived(now, self.server.stalled_until) else { return Ok(()) };
        match arrival {
            Arrival::AtServer { peer, connection, frame } => {
                self.note(|| format!("from {}: {:?}", connection.0, frame.message));
                let Some(engine) = self.server.handle() else { return Ok(()) };
                self.ledger.arrived(peer, &frame);
                engine.request(connection, frame.request_id, frame.message, frame.payload);
                self.server.rouse(now, &mut self.rng);
            }
            Arrival::LostAtServer { connection, died } => {
                let Some(engine) = self.server.handle() else { return Ok(()) };
                engine.disconnect(connection);
                if let Some(process) = died {
                    engine.process_died(process);
                }
                self.server.rouse(now, &mut self.rng);
            }
            Arrival::At { peer, link, frame } => return self.receive(peer, link, frame),
            Arrival::Lost { peer, link } => self.lose(peer, link),
        }
        Ok(())
    }

    fn receive(&mut self, peer: Peer, link: u64, frame: Frame) -> Result<(), String> {
        match peer {
            Peer::Producer(place) => self.producers[place].receive(link, &frame, &mut step!(self)),
            Peer::Locker(place) => match self.lockers[place].frozen_until(self.now()) {
                Some(until) => self.network.put_back(link, frame, until + 1),
                None => return self.lockers[place].receive(link, &frame, &mut step!(self)),
            },
            Peer::Cacher(place) => return self.cachers[place].receive(link, &frame, &mut step!(self)),
            Peer::Supervisor(nonce) => {
                let worker = self.workers.iter_mut().find(|worker| worker.nonce == nonce);
                if let Some(worker) = worker {
                    worker.receive(link, &frame, &mut step!(self));
                }
            }
            Peer::Child(..) => {
                let mut children = self.workers.iter_mut().flat_map(|worker| &mut worker.children);
                let Some(child) = children.find(|child| child.peer() == peer) else { return Ok(()) };
                match child.stalled_until {
                    Some(until) => self.network.put_back(link, frame, until + 1),
                    None => return child.receive(link, &frame, &mut step!(self)),
                }
            }
        }
        Ok(())
    }

    fn lose(&mut self, peer: Peer, link: u64) {
        match peer {
            Peer::Producer(place) => self.producers[place].lost(link, &mut step!(self)),
            Peer::Locker(place) => self.lockers[place].lost(link, &mut step!(self)),
            Peer::Cacher(place) => self.cachers[place].lost(link, &mut step!(self)),
            Peer::Supervisor(nonce) => {
                let worker = self.workers.iter_mut().find(|worker| worker.nonce == nonce);
                if let Some(worker) = worker {
                    worker.lost(link, &mut step!(self));
                }
            }
            Peer::Child(..) => {
                let mut children = self.workers.iter_mut().flat_map(|worker| &mut worker.children);
                if let Some(child) = children.find(|child| child.peer() == peer) {
                    child.lost(link, &mut step!(self));
                }
            }
        }
    }

    fn child_acts(&mut self, place: usize, child: usize) -> Result<(), String> {
        let fate = self.workers[place].children[child].act(&mut step!(self))?;
        if fate == Fate::Dies {
            self.child_dies(place, child);
        }
        Ok(())
    }

    fn child_dies(&mut self, place: usize, child: usize) {
        let now = self.now();
        let child = self.workers[place].children.remove(child);
        self.note(|| format!("{:?} dies", child.peer()));
        self.network.peer_died(child.peer(), child.process, now);
        self.workers[place].child_died(child, &mut step!(self));
    }

    fn worker_dies(&mut self, place: usize) {
        let now = self.now();
        let from = now.max(self.deserted_until) + self.rng.u64(..5 * SECOND);
        let heir = Worker::new(self.next_nonce, 1 + (self.next_nonce % 2) as u32, from);
        self.next_nonce += 1;
        let dead = std::mem::replace(&mut self.workers[place], heir);
        for child in &dead.children {
            child.vanish(&mut self.ledger);
            self.network.peer_died(child.peer(), child.process, now);
        }
        self.network.peer_died(Peer::Supervisor(dead.nonce), dead.process, now);
    }

    // ---- What goes wrong.

    fn strike(&mut self, fault: Fault) {
        self.note(|| format!("{fault:?}"));
        let now = self.now();
        match fault {
            Fault::Kill { down } => {
                if self.server.handle().is_some() {
                    self.server_dies(Some(down));
                }
            }
            Fault::KeepsDying { every, times, worker } => {
                if let Some(victim) = worker {
                    self.worker_dies(victim as usize % self.workers.len());
                }
                if self.server.handle().is_some() {
                    self.server_dies(Some(50 * MILLISECOND));
                }
                if times > 0 {
                    self.comes_later(every, Fault::KeepsDying { every, times: times - 1, worker: None });
                }
            }
            Fault::Deserted { every, times, .. } if self.ledger.has_leases() => {
                self.deserted_until = now + every * Time::from(times);
                (0..self.workers.len()).for_each(|place| self.worker_dies(place));
                self.strike(Fault::KeepsDying { every, times, worker: None });
            }
            Fault::Deserted { looks: 0, .. } => {}
            Fault::Deserted { every, times, looks } => {
                self.comes_later(LOOK, Fault::Deserted { every, times, looks: looks - 1 });
            }
            Fault::PowerCut { operations, down } => self.server.cut_power_at(operations, down),
            Fault::Stall { time } => self.server.stall(now + time),
            Fault::Cut { victim, noticed } => {
                if let Some(&(link, _)) = pick(&self.network.whole(), victim) {
                    self.network.cut(link, noticed, now, &mut self.rng);
                }
            }
            Fault::Hang { victim, time } => {
                if let Some(&(link, _)) = pick(&self.network.whole(), victim) {
                    self.network.hang(link, now + time);
                }
            }
            Fault::HangOnFullDisk { victim, time, early } => {
                let mut whole = self.network.whole();
                whole.retain(|(_, peer)| matches!(peer, Peer::Producer(_)));
                if let Some(&(link, _)) = pick(&whole, victim) {
                    self.network.hang(link, now + time);
                }
                self.ledger.cache.disk_is_full();
                self.full_until = Some(now + time - early);
            }
            Fault::ChildDies { victim } => {
                if let Some(&(place, child)) = pick(&self.children(), victim) {
                    self.child_dies(place, child);
                }
            }
            Fault::WorkerDies { victim } => self.worker_dies(victim as usize % self.workers.len()),
            Fault::ChildStalls { victim, time } => {
                if let Some(&(place, child)) = pick(&self.children(), victim) {
                    self.workers[place].children[child].stall(now + time, &mut self.ledger);
                }
            }
            Fault::ClockStep { by_ms } => self.step_wall(by_ms),
            Fault::ClockStands { time } => self.wall_stands = Some((now + time, self.clock.wall_ms())),
            Fault::Suspend { ms } => self.step_wall(ms.cast_signed()),
            Fault::SyncError { syncs } => self.server.disk.fail_sync(syncs),
            Fault::Misdirected { place } => {
                let moved = self.server.misdirect(place);
                self.note(|| format!("{moved:?}"));
            }
            Fault::DiskError { operations } => {
                self.server.disk.fail_at(self.server.disk.operations() + operations);
            }
            Fault::FlippedBit { place } => {
                let flipped = self.server.damage(place);
                self.note(|| format!("in {flipped:?}"));
            }
            Fault::DiskFull { bytes, looks } => {
                self.ledger.cache.disk_is_full();
                self.server.disk.fill(bytes, looks);
            }
        }
    }

    fn comes_later(&mut self, after: Time, fault: Fault) {
        let at = self.now() + after;
        let place = self.faults.partition_point(|(other, _)| *other <= at);
        self.faults.insert(place, (at, fault));
    }

    /// Somebody else takes whatever room there is on the disk.
    fn keep_full(&mut self) {
        let now = self.now();
        match self.full_until {
            Some(until) if until > now => self.server.disk.fill(0, FULL_LOOKS),
            Some(_) => {
                self.full_until = None;
                self.server.disk.set_capacity(None);
            }
            None => {}
        }
    }

    fn step_wall(&mut self, by_ms: i64) {
        self.wall_stands = None;
        self.set_wall(by_ms);
    }

    fn set_wall(&mut self, by_ms: i64) {
        self.clock.step_wall(by_ms);
        let (set_ms, ahead_ms) = self.wall_set_ms;
        self.wall_set_ms = (set_ms + by_ms, ahead_ms.max(set_ms + by_ms));
    }

    fn children(&self) -> Vec<(usize, usize)> {
        let places = self.workers.iter().enumerate();
        places
            .flat_map(|(place, worker)| (0..worker.children.len()).map(move |child| (place, child)))
            .collect()
    }

    fn calm_down(&mut self) {
        let is_calm = self.faults.is_empty() && self.producers.iter().all(Producer::is_done);
        if is_calm && self.calm_since.is_none() {
            self.note(|| "nothing goes wrong any more".to_owned());
            self.server.disk.spare();
            self.full_until = None;
            // What waits for a time of a clock that was ahead would wait for hours.
            self.step_wall(self.wall_set_ms.1 - self.wall_set_ms.0);
            self.calm_since = Some(self.now());
        }
    }

    // ---- The end.

    fn is_over(&self) -> bool {
        let is_done = self.server.engine().is_some_and(|engine| engine.state().jobs() == 0);
        let are_done = self.lockers.iter().all(Locker::is_done) && self.cachers.iter().all(Cacher::is_done);
        self.calm_since.is_some() && is_done && are_done
    }

    fn end(&mut self) -> Result<(), String> {
        self.check()?;
        self.network.server_died(self.now(), &mut self.rng);
        self.server.lose_power();
        self.server_acts()?;
        self.clock.pass(Duration::from_secs(1));
        match self.kept.take() {
            Some(kept) if self.server.is_sound() => kept.check_put_back(&self.server, &self.ledger),
            _ => Ok(()),
        }
    }

    fn stuck(&self) -> String {
        let Some(engine) = self.server.engine() else {
            return "the server does not come up again".to_owned();
        };
        let state = engine.state();
        if self.lockers.iter().any(|locker| !locker.is_done()) {
            return "somebody waits for a lock an hour after the last fault".to_owned();
        }
        if self.cachers.iter().any(|cacher| !cacher.is_done()) {
            return "somebody waits for the cache an hour after the last fault".to_owned();
        }
        if state.unfinished() == 0 {
            return format!("{} finished jobs are not archived", state.unarchived());
        }
        let slots = state.page(&lineshaft_wire::message::Filter::default(), 0, 3).slots;
        let jobs: Vec<_> = slots.into_iter().map(|slot| state.view(slot).record).collect();
        format!(
            "{} jobs are not finished an hour after the last fault, among them {jobs:?}",
            state.unfinished()
        )
    }
}

fn pick<T>(all: &[T], number: u64) -> Option<&T> {
    if all.is_empty() { None } else { all.get(number as usize % all.len()) }
}
