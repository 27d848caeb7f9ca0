//! A history as it unfolds: every step runs on the machine and on the model, and they are compared after it.

mod cache;
mod commands;
mod compare;
mod locks;
mod requests;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lineshaft_jobs::{ArchivedCall, Change, ColdPage, Command, Copied, Entry, Limits, State};
use lineshaft_testkit::model::{Choice, Happened, Model, Told};
use lineshaft_wire::message::RefusalCode;
use lineshaft_wire::{Fence, JobId, Outcome};

use crate::machine::{Machine, code, replay};
use crate::steps::Step;

/// How an engine comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Return {
    /// With the state that it had.
    Live,
    /// With its snapshot.
    Loaded,
    /// With its journal from the beginning.
    Replayed,
}

#[derive(Clone, Copy)]
struct Client {
    session: u64,
    next: u64,
    lowest: u64,
}

pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) model: Model,
    /// Every answer so far.
    pub(crate) answers: Vec<Result<Told, RefusalCode>>,
    clients: Vec<Client>,
    /// Every job that there ever was.
    ids: Vec<JobId>,
    /// Every lease that there ever was, with its child.
    leases: Vec<(u32, JobId, Fence)>,
    /// Every child that there ever was: number, worker, number in the worker.
    children: Vec<(u32, u64, u32)>,
    archive: BTreeMap<JobId, (u64, ArchivedCall)>,
    finished: BTreeSet<JobId>,
    /// Payloads that were copied into this file and are still named where they were.
    copied: (u64, Vec<Copied>),
    /// Locks that were asked for so far.
    tokens: u64,
    /// The fence of every lock that was given.
    fences: Vec<u64>,
    /// How often somebody gave up who waited in vain.
    pub(crate) deadlocks: usize,
    /// The ticket of the cache after each step.
    tickets: Vec<u64>,
    /// Pages that were written elsewhere and are in memory still.
    written: Vec<ColdPage>,
}

pub(crate) fn limits(tight: bool) -> Limits {
    let roomy = Limits {
        jobs: 1_000,
        step: 3,
        lease_ms: 15_000,
        idempotency_ms: 60_000,
        session_ms: 120_000,
        ..Limits::default()
    };
    if !tight {
        return roomy;
    }
    Limits {
        jobs: 20,
        names: 6,
        rules: 3,
        sessions: 2,
        children: 3,
        idempotency_keys: 3,
        unique_periods: 2,
        deleted: 2,
        locks: 3,
        lock_waiters: 2,
        cache_bytes: 260,
        ..roomy
    }
}

impl World {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut machine = Machine::started(limits);
        machine.begin();
        let mut model = Model::new(limits);
        model.begin(machine.now.wall_ms, machine.now.logical_ms, machine.lsn());
        model.restart(1);
        model.command(&Command::OpenSession).expect("the first session is not refused");
        Self {
            machine,
            model,
            answers: Vec::new(),
            clients: vec![Client { session: 1, next: 1, lowest: 1 }],
            ids: Vec::new(),
            leases: Vec::new(),
            children: Vec::new(),
            archive: BTreeMap::new(),
            finished: BTreeSet::new(),
            copied: (0, Vec::new()),
            tokens: 0,
            fences: Vec::new(),
            deadlocks: 0,
            tickets: Vec::new(),
            written: Vec::new(),
        }
    }

    /// The same world, its machine loaded from its snapshot.
    pub(crate) fn fork(&self) -> Self {
        let Machine { state, limits, now, .. } = &self.machine;
        let state = State::from_snapshot(&state.snapshot(), *limits).expect("a snapshot reads");
        let machine = Machine {
            state,
            limits: *limits,
            now: *now,
            commits: self.machine.commits.clone(),
            blobs: self.machine.blobs.clone(),
            cold: self.machine.cold.clone(),
        };
        Self {
            machine,
            model: self.model.clone(),
            answers: Vec::new(),
            clients: self.clients.clone(),
            ids: self.ids.clone(),
            leases: self.leases.clone(),
            children: self.children.clone(),
            archive: self.archive.clone(),
            finished: self.finished.clone(),
            copied: self.copied.clone(),
            tokens: self.tokens,
            fences: self.fences.clone(),
            deadlocks: self.deadlocks,
            tickets: self.tickets.clone(),
            written: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        if let Step::Pass { wall_ms, logical_ms } = step {
            self.finish_the_moment();
            self.machine.now.wall_ms = self.machine.now.wall_ms.saturating_add_signed(*wall_ms);
            self.machine.now.logical_ms += logical_ms;
        }
        self.begin();
        self.act(step);
        self.tick();
        self.dispatch();
        self.give_locks();
        self.compare();
        self.compare_cache();
    }

    fn begin(&mut self) {
        self.machine.begin();
        let now = self.machine.now;
        self.model.begin(now.wall_ms, now.logical_ms, self.machine.lsn());
    }

    /// Everything that is due now is done.
    fn finish_the_moment(&mut self) {
        self.begin();
        for _ in 0..10_000 {
            if !self.machine.state.is_due(self.machine.now) {
                return;
            }
            self.tick();
        }
        panic!("time's work has no end: due {:?} at {:?}", self.machine.state.next_due(), self.machine.now);
    }

    /// Runs a command on both.
    fn command(&mut self, command: Command) -> Result<Told, RefusalCode> {
        let expected = self.model.command(&command);
        let shown = format!("{command:?}");
        let (told, happened) = match code(self.machine.run(command)) {
            Ok((told, happened)) => (Ok(told), happened),
            Err(code) => (Err(code), Vec::new()),
        };
        assert_eq!(told, expected, "the answer to {shown}");
        self.same(happened);
        for job in self.model.unsettled() {
            let record = self.machine.record_of(job);
            let delay = record.scheduled_at.expect("it waits to be retried") - self.machine.now.wall_ms;
            self.model.settle(job, self.machine.now.logical_ms + delay).expect("backoff within its bounds");
        }
        self.note_handlers();
        self.answers.push(told.clone());
        told
    }

    /// Whether those outside heard what they must; the order in which blobs fall free is nobody's business.
    fn same(&mut self, happened: Vec<Happened>) {
        let split = |happened: Vec<Happened>| {
            let (mut blobs, others): (Vec<_>, Vec<_>) =
                happened.into_iter().partition(|it| matches!(it, Happened::BlobFreed(_)));
            blobs.sort_unstable();
            (blobs, others)
        };
        for it in &happened {
            if let Happened::Finished(job) = it {
                assert!(self.finished.insert(*job), "job {job} finished twice");
            }
            if let Happened::Locked(_, _, fence) = it {
                assert!(self.fences.last().is_none_or(|last| last < fence), "fence {fence} does not grow");
                self.fences.push(*fence);
            }
        }
        assert_eq!(split(happened), split(self.model.take_happened()), "machine and model tell the same");
    }

    /// One bulk step of what time brings, checked change by change.
    fn tick(&mut self) {
        if !self.machine.state.is_due(self.machine.now) {
            return self.check_nothing_is_overdue();
        }
        let mut happened = Vec::new();
        let mut lost: Option<(u32, Vec<JobId>)> = None;
        for entry in self.machine.state.tick(self.machine.now) {
            let loss = self.loss(&entry);
            if let (Some((child, jobs)), Some((same, job))) = (&mut lost, loss)
                && *child == same
            {
                jobs.push(job);
            } else {
                self.check_lost(lost.take());
                lost = loss.map(|(child, job)| (child, vec![job]));
            }
            let choice = self.choice(&entry.change);
            happened.extend(self.machine.record(entry));
            if let Some(choice) = choice {
                self.check_lost(lost.take());
                self.check(&choice);
            }
        }
        self.check_lost(lost);
        assert!(self.model.unhandled().is_empty(), "failures are not handled: {:?}", self.model.unhandled());
        self.note_handlers();
        self.check_silent();
        self.same(happened);
        self.check_nothing_is_overdue();
    }

    fn check(&mut self, choice: &Choice) {
        self.model
            .check(choice)
            .unwrap_or_else(|wrong| panic!("{wrong}\nin {choice:?} at {:?}", self.machine.now));
    }

    fn check_lost(&mut self, lost: Option<(u32, Vec<JobId>)>) {
        if let Some((child, jobs)) = lost {
            self.check(&Choice::LeasesLost { child, jobs });
        }
    }

    /// Child and job of a lease that ends as lost.
    fn loss(&self, entry: &Entry) -> Option<(u32, JobId)> {
        let Change::Ended { slot, outcome, .. } = &entry.change else { return None };
        assert_eq!(*outcome, Outcome::Lost, "time makes attempts lost and nothing else");
        let job = self.machine.state.job_id(*slot);
        let lease = self.leases.iter().rfind(|lease| lease.1 == job).expect("only leased jobs are lost");
        Some((lease.0, job))
    }

    fn choice(&self, change: &Change) -> Option<Choice> {
        let jobs = |slots: &[u32]| slots.iter().map(|slot| self.machine.state.job_id(*slot)).collect();
        Some(match change {
            Change::Leased { child, slots } => Choice::Leased { child: *child, jobs: jobs(slots) },
            Change::Readied { slots } => Choice::Promoted { jobs: jobs(slots) },
            Change::Cancelled { slots, reason } => {
                assert_eq!(&**reason, "purged");
                Choice::Purged { jobs: jobs(slots) }
            }
            Change::Discarded { slots, reason } => {
                Choice::Discarded { jobs: jobs(slots), reason: Arc::clone(reason) }
            }
            Change::Spawned { failed, .. } => Choice::Spawned { failed: jobs(failed) },
            Change::PurgeEnded { queue } => {
                let queue = self.machine.state.name_text(*queue).expect("a purge ends in a known queue");
                Choice::PurgeEnded { queue: Arc::clone(queue) }
            }
            Change::ChildGone { child } => Choice::ChildGone { child: *child },
            Change::SessionClosed { session } => Choice::SessionClosed { session: *session },
            Change::KeysExpired { keys } => Choice::KeysExpired { keys: keys.clone() },
            Change::PeriodsEnded { keys } => Choice::PeriodsEnded { keys: keys.clone() },
            Change::EntriesGone { keys } => Choice::EntriesEnded { keys: keys.clone() },
            Change::Unlocked { fences, taken: true } if fences.len() == 1 => {
                Choice::LockLost { fence: fences[0] }
            }
            Change::Locked { holder } => Choice::Locked { session: holder.session, token: holder.token },
            Change::BarrierOpened { holders } => Choice::BarrierOpened {
                parties: holders.iter().map(|holder| (holder.session, holder.token)).collect(),
            },
            Change::Ended { .. } | Change::Measured { .. } => return None,
            other => panic!("time brings no {other:?}"),
        })
    }

    /// A connected child that holds nothing and does not renew falls silent without a change.
    fn check_silent(&mut self) {
        let known = self.model.children();
        let ends = |child: u32| known.iter().find(|known| known.0 == child).map(|known| known.3);
        let reports = self.machine.state.child_reports();
        let silent = reports.filter(|it| ends(it.child) != Some(it.lease_ends_ms)).map(|it| it.child);
        for child in silent.collect::<Vec<_>>() {
            self.check(&Choice::Silent { child });
        }
    }

    fn check_nothing_is_overdue(&self) {
        let state = &self.machine.state;
        if !state.is_due(self.machine.now) {
            assert_eq!(self.model.overdue(), None, "at {:?}", self.machine.now);
        }
        let (wall, logical) = state.next_due();
        if logical == Some(0) {
            return;
        }
        let (model_wall, model_logical) = self.model.next_moments();
        let now = self.machine.now;
        for (machine, model, now) in
            [(wall, model_wall, now.wall_ms), (logical, model_logical, now.logical_ms)]
        {
            let Some(latest) = model.map(|model| model.max(now)) else { continue };
            assert!(machine.is_some_and(|at| at <= latest), "{machine:?} is later than {model:?}");
        }
    }

    /// Leases whatever can be leased.
    fn dispatch(&mut self) {
        while let Some(change) = self.machine.state.next_lease(u32::MAX) {
            let choice = self.choice(&change).expect("a lease");
            self.check(&choice);
            let happened = self.machine.record(change.into());
            for it in &happened {
                let Happened::Leased(child, leases) = it else { continue };
                leases.iter().for_each(|(job, fence)| self.note_lease(*child, *job, *fence));
            }
            self.same(happened);
        }
        let waits = self.model.has_idle_child() && !self.machine.state.has_overdue();
        assert!(!waits, "a child with credit waits though there is a job for it");
    }

    fn note_lease(&mut self, child: u32, job: JobId, fence: Fence) {
        assert!(!self.finished.contains(&job), "the finished job {job} is leased again");
        assert!(self.leases.last().is_none_or(|last| last.2 < fence), "fence {fence} does not grow");
        let slot = self.machine.state.slot_of(job).expect("a leased job is in memory");
        assert!(
            self.machine.state.task_position(child, slot).is_some(),
            "child {child} does not know the task"
        );
        let (view, leased) = (self.machine.state.view(slot), self.machine.state.lease_view(slot));
        assert_eq!((leased.arguments, leased.checkpoint), (view.arguments, view.checkpoint));
        let may_repeat = !view.rules.at_most_once && view.record.attempt + 1 < view.record.max_attempts;
        assert_eq!(leased.has_retry, may_repeat);
        assert_eq!(leased.context, view.record.context.as_ref());
        self.leases.push((child, job, fence));
    }

    pub(crate) fn restart(&mut self, how: Return) {
        let Machine { state, limits, commits, .. } = &mut self.machine;
        let state = match how {
            Return::Live => {
                let children: Vec<u32> = state.child_reports().map(|child| child.child).collect();
                children.into_iter().for_each(|child| state.detach(child));
                for (session, token) in self.model.lock_waiters() {
                    state.leave_line(session, token);
                }
                std::mem::replace(state, State::new(0, *limits))
            }
            Return::Loaded => State::from_snapshot(&state.snapshot(), *limits).expect("a snapshot reads"),
            Return::Replayed => replay(State::new(0, *limits), commits, 0),
        };
        self.copied.1.clear();
        self.machine.restart_on(state);
        self.model.begin(self.machine.now.wall_ms, self.machine.now.logical_ms, self.machine.lsn());
        self.model.restart(self.machine.state.epoch());
    }

    /// Every job comes to its end, and nothing is left of it.
    pub(crate) fn run_dry(&mut self) {
        self.step(&Step::Pass { wall_ms: 150_000, logical_ms: 150_000 });
        self.finish_the_moment();
        self.begin();
        for (child, ..) in self.children.clone() {
            self.command(Command::ChildVanished { child }).expect("a death is never refused");
        }
        self.command(Command::OpenSession).expect("all sessions have ended by now");
        let session = self.machine.state.newest_session();
        self.clients = vec![Client { session, next: 1, lowest: 1 }];
        self.cancel_everything();
        let count = self.machine.state.unarchived();
        self.command(Command::Archived { count }).expect("archiving is never refused");
        self.evict(&[0, 1, 2]);
        self.compare();
        assert_eq!(self.machine.state.jobs(), 0, "a job is left");
        assert_eq!(self.machine.state.oldest_kept_lsn(), None, "a payload is left");
        assert_eq!(self.machine.state.cold_files().count(), 0, "a payload is left in a cold file");
    }
}
