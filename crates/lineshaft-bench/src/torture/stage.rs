//! The processes of a torture, and what is done to them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lineshaft_ipc::process::Pidfd;
use rustix::process::Signal;

use super::disk::SmallDisk;
use super::place::Place;
use crate::cleanup::{Running, ask, kill};
use crate::error::{Error, Result};
use crate::processes::children;
use crate::server::{Server, Starter, tail};

/// So short that a run sees many of them end.
pub(super) const LEASE: Duration = Duration::from_secs(2);
const SERVE: &[&str] = &["--lease", "2s"];
const WORKERS: usize = 2;
const CLIENTS: usize = 3;
/// How long a worker may take to end when asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// One of so many acts stops a process for a while instead of killing it, and another one asks it to end.
const GENTLE_EVERY: u32 = 12;
/// A server that starts again is killed before it is ready, one of so many times.
const IN_VAIN_EVERY: u32 = 8;
const IN_VAIN_MS_MAX: u64 = 60;
/// How long a small disk is full, or not, at most.
const FULL: Duration = Duration::from_secs(4);

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// A child of a worker.
    Child,
    /// A worker: its supervisor, half of the times with its children.
    Worker,
    /// A client.
    Client,
    /// The server.
    Server,
    /// Server, workers and children at once.
    Group,
}

impl Victim {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Child, Self::Worker, Self::Client, Self::Server, Self::Group];

    /// The word by which it is chosen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Child => "child",
            Self::Worker => "worker",
            Self::Client => "client",
            Self::Server => "server",
            Self::Group => "group",
        }
    }

    /// How often it is chosen, beside the others.
    pub(super) const fn share(self) -> usize {
        match self {
            Self::Child => 5,
            Self::Worker => 3,
            Self::Client | Self::Server | Self::Group => 1,
        }
    }

    /// The longest pause after it. A server that starts again gives every lease its whole time again: what died with it
    /// would never run if it lived for less than a lease each time.
    pub(super) const fn rest(self) -> Duration {
        match self {
            Self::Child | Self::Worker | Self::Client => Duration::from_millis(300),
            Self::Server => LEASE,
            Self::Group => LEASE.saturating_mul(2),
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// `kill -9`, by what was killed.
    pub kills: BTreeMap<Victim, u64>,
    /// Processes that were stopped, and went on up to two leases later.
    pub stops: u64,
    /// Servers and workers that were asked to end, and started again when they had.
    pub restarts: u64,
    /// How often a small disk was full.
    pub fills: u64,
}

impl Deeds {
    /// All kills.
    pub fn kills(&self) -> u64 {
        self.kills.values().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (victim, count) in &other.kills {
            *self.kills.entry(*victim).or_default() += count;
        }
        self.stops += other.stops;
        self.restarts += other.restarts;
        self.fills += other.fills;
    }
}

/// A server and its workers.
pub(super) struct Stage {
    starter: Starter,
    place: Place,
    disk: Option<SmallDisk>,
    server: Server,
    server_is_up: bool,
    server_is_asked: bool,
    workers: [Option<Running>; WORKERS],
    clients: [Option<Running>; CLIENTS],
    /// What is to happen, and when.
    due: Vec<(Instant, Due)>,
    is_calm: bool,
    random: fastrand::Rng,
    deeds: Deeds,
    /// How the server ended where nobody had killed it.
    server_ends: Vec<String>,
}

enum Due {
    Server,
    Worker(usize),
    Client(usize),
    Continue(Vec<Pidfd>),
    Fill,
    Free,
}

impl Stage {
    /// On `disk`, if it has one of its own.
    pub(super) fn new(
        starter: Starter,
        place: Place,
        disk: Option<SmallDisk>,
        random: fastrand::Rng,
    ) -> Result<Self> {
        let server = Server::start(&starter, place.home(), SERVE)?;
        let mut stage = Self {
            starter,
            place,
            disk,
            server,
            server_is_up: true,
            server_is_asked: false,
            workers: [const { None }; WORKERS],
            clients: [const { None }; CLIENTS],
            due: vec![(Instant::now(), Due::Fill)],
            is_calm: false,
            random,
            deeds: Deeds::default(),
            server_ends: Vec::new(),
        };
        (0..WORKERS).try_for_each(|worker| stage.start_worker(worker))?;
        (0..CLIENTS).try_for_each(|client| stage.start_client(client))?;
        Ok(stage)
    }

    pub(super) fn deeds(&self) -> &Deeds {
        &self.deeds
    }

    /// The server, once it is up.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// How the server ended where nobody had killed it.
    pub(super) fn server_ends(&self) -> &[String] {
        &self.server_ends
    }

    /// Starts and continues what is due, and whatever ended by itself.
    pub(super) fn look_after(&mut self) -> Result<()> {
        let now = Instant::now();
        let (due, later): (Vec<_>, _) =
            std::mem::take(&mut self.due).into_iter().partition(|(at, _)| *at <= now);
        self.due = later;
        due.into_iter().try_for_each(|(_, due)| self.make_good(due))?;
        if self.server_is_up
            && let Some(status) = self.server.ended()
        {
            if !(self.server_is_asked && status.success()) {
                let how = if self.server_is_asked { "was asked to end, and" } else { "had not to end, but" };
                self.server_ends.push(format!("the server {how} ended with {status}"));
            }
            let pause = self.pause();
            self.server_is_down(pause);
        }
        for worker in 0..WORKERS {
            // It was asked to; or the server was away when it started.
            if self.workers[worker].as_mut().is_some_and(|it| it.ended().is_some()) {
                self.worker_is_down(worker, Duration::ZERO);
            }
        }
        for client in self.clients.iter_mut().flatten() {
            if let Some(status) = client.ended().filter(|status| !(self.is_calm && status.success())) {
                let how = format!("a client ended with {status}");
                return Err(Error::process(how, tail(&self.place.home().with_extension("client.log"))));
            }
        }
        Ok(())
    }

    /// Whether all of them have ended, as they do when nobody shall make jobs any more.
    pub(super) fn clients_have_ended(&mut self) -> bool {
        self.clients.iter_mut().flatten().all(|client| client.ended().is_some())
    }

    /// Lets everything run that should; clients make no more jobs, and end with the last of theirs.
    pub(super) fn calm(&mut self) -> Result<()> {
        self.is_calm = true;
        self.place.end()?;
        let due = std::mem::take(&mut self.due);
        due.into_iter().try_for_each(|(_, due)| self.make_good(due))
    }

    /// Lets it end as it would; what is to be looked at stays.
    pub(super) fn stop(self, keeps: bool) -> Result<()> {
        self.workers.into_iter().flatten().for_each(|mut worker| worker.stop(PATIENCE));
        self.server.stop();
        self.disk.filter(|_| keeps).map_or(Ok(()), |disk| disk.keep())
    }

    fn make_good(&mut self, due: Due) -> Result<()> {
        match due {
            Due::Continue(processes) => {
                // Unless it is dead by now.
                processes.iter().for_each(|process| _ = process.send_signal(Signal::CONT));
            }
            Due::Worker(worker) => self.start_worker(worker)?,
            Due::Client(client) => self.start_client(client)?,
            Due::Server => {
                self.server.start_again()?;
                self.server_is_up = true;
            }
            Due::Fill => self.fill()?,
            Due::Free => self.free()?,
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        if let Some(disk) = self.disk.as_ref().filter(|_| !self.is_calm) {
            disk.fill()?;
            self.deeds.fills += 1;
            self.due.push((Instant::now() + FULL.mul_f64(self.random.f64()), Due::Free));
        }
        Ok(())
    }

    fn free(&mut self) -> Result<()> {
        if let Some(disk) = &self.disk {
            disk.free()?;
            self.due.push((Instant::now() + FULL.mul_f64(self.random.f64()), Due::Fill));
        }
        Ok(())
    }

    fn start_worker(&mut self, worker: usize) -> Result<()> {
        let home = self.place.home();
        let mut command = self.starter.lineshaft(home);
        command.args(["torture", "--work-for"]).arg(home).current_dir("/");
        let log = home.with_extension("worker.log");
        self.workers[worker] = Some(self.starter.spawn(&mut command, &log)?);
        Ok(())
    }

    fn start_client(&mut self, client: usize) -> Result<()> {
        let home = self.place.home();
        let mut command = self.starter.lineshaft(home);
        command.args(["torture", "--client-of"]).arg(home).current_dir("/");
        command.args(["--client", &(client + 1).to_string(), "--seed", &self.random.u64(..).to_string()]);
        self.clients[client] = Some(self.starter.spawn(&mut command, &home.with_extension("client.log"))?);
        Ok(())
    }

    fn server_is_down(&mut self, pause: Duration) {
        (self.server_is_up, self.server_is_asked) = (false, false);
        self.due.push((Instant::now() + pause, Due::Server));
    }

    fn worker_is_down(&mut self, worker: usize, pause: Duration) {
        self.workers[worker] = None;
        self.due.push((Instant::now() + pause, Due::Worker(worker)));
    }

    /// Mostly short, sometimes longer than a lease.
    fn pause(&mut self) -> Duration {
        let longest = if self.random.u32(0..10) == 0 { 2 * LEASE } else { LEASE / 20 };
        longest.mul_f64(self.random.f64())
    }
}

/// What is done to them.
impl Stage {
    /// Kills something of this kind, or stops it for a while; false if it is dead already.
    pub(super) fn strike(&mut self, victim: Victim) -> Result<bool> {
        match self.random.u32(0..GENTLE_EVERY) {
            0 if victim != Victim::Group => return Ok(self.stop_for_a_while(victim)),
            1 if matches!(victim, Victim::Server | Victim::Worker) => return Ok(self.restart(victim)),
            _ => {}
        }
        let is_killed = match victim {
            Victim::Child => self.pid_of(victim).map(kill).is_some(),
            Victim::Worker => self.kill_worker(),
            Victim::Client => self.kill_client(),
            Victim::Server => self.server_is_up && self.kill_server()?,
            Victim::Group => self.server_is_up && self.kill_all(),
        };
        *self.deeds.kills.entry(victim).or_default() += u64::from(is_killed);
        Ok(is_killed)
    }

    fn pid_of(&mut self, victim: Victim) -> Option<u32> {
        if victim == Victim::Server {
            return self.server_is_up.then(|| self.server.pid());
        }
        if victim == Victim::Client {
            return self.random.choice(self.clients.iter().flatten().map(Running::pid).collect::<Vec<_>>());
        }
        let worker = self.choose_worker()?;
        let supervisor = self.workers[worker].as_ref()?.pid();
        if victim == Victim::Child { self.random.choice(children(supervisor)) } else { Some(supervisor) }
    }

    fn choose_worker(&mut self) -> Option<usize> {
        let living = (0..WORKERS).filter(|worker| self.workers[*worker].is_some());
        self.random.choice(living.collect::<Vec<_>>())
    }

    fn stop_for_a_while(&mut self, victim: Victim) -> bool {
        let Some(pid) = self.pid_of(victim) else { return false };
        // A worker stands still with its children as on a machine that sleeps: nobody ends those whose leases are over.
        let with_children = victim == Victim::Worker && self.random.bool();
        let children = if with_children { children(pid) } else { Vec::new() };
        // The supervisor first and last. One of them may have ended since it was looked for.
        let processes = std::iter::once(pid).chain(children).filter_map(|pid| Pidfd::open(pid).ok());
        let mut stopped: Vec<Pidfd> =
            processes.filter(|process| process.send_signal(Signal::STOP).is_ok()).collect();
        stopped.reverse();
        let is_stopped = !stopped.is_empty();
        if is_stopped {
            let until = Instant::now() + LEASE.mul_f64(0.25 + 2.0 * self.random.f64());
            self.due.push((until, Due::Continue(stopped)));
            self.deeds.stops += 1;
        }
        is_stopped
    }

    fn restart(&mut self, victim: Victim) -> bool {
        let Some(pid) = self.pid_of(victim) else { return false };
        self.server_is_asked |= victim == Victim::Server;
        ask(pid);
        self.deeds.restarts += 1;
        true
    }

    fn kill_worker(&mut self) -> bool {
        let Some(worker) = self.choose_worker() else { return false };
        let with_children = self.random.bool();
        self.kill_this_worker(worker, with_children);
        let pause = self.pause();
        self.worker_is_down(worker, pause);
        true
    }

    /// Another one takes its place, and what it had made.
    fn kill_client(&mut self) -> bool {
        let living = (0..CLIENTS).filter(|client| self.clients[*client].is_some());
        let Some(client) = self.random.choice(living.collect::<Vec<_>>()) else { return false };
        drop(self.clients[client].take());
        let pause = self.pause();
        self.due.push((Instant::now() + pause, Due::Client(client)));
        true
    }

    fn kill_this_worker(&mut self, worker: usize, with_children: bool) {
        if let Some(mut running) = self.workers[worker].take() {
            let children = if with_children { children(running.pid()) } else { Vec::new() };
            running.kill();
            children.into_iter().for_each(kill);
        }
    }

    fn kill_server(&mut self) -> Result<bool> {
        self.server.kill();
        if self.random.u32(0..IN_VAIN_EVERY) == 0 {
            let after = Duration::from_millis(self.random.u64(0..IN_VAIN_MS_MAX));
            self.server.start_in_vain(after)?;
        }
        let pause = self.pause();
        self.server_is_down(pause);
        Ok(true)
    }

    fn kill_all(&mut self) -> bool {
        let living: Vec<usize> = (0..WORKERS).filter(|worker| self.workers[*worker].is_some()).collect();
        let of_workers = self.workers.iter().flatten();
        let pids: Vec<u32> =
            of_workers.flat_map(|it| [vec![it.pid()], children(it.pid())].concat()).collect();
        kill(self.server.pid());
        pids.into_iter().for_each(kill);
        self.server.kill();
        let pause = self.pause();
        self.server_is_down(pause);
        for worker in living {
            self.kill_this_worker(worker, true);
            let pause = self.pause();
            self.worker_is_down(worker, pause);
        }
        true
    }
}
