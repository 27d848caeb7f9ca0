//! The engine's life: it opens, takes its turns and does what works beside them, dies, and opens again on what is left of
//! its disk.

use std::sync::Arc;
use std::time::Duration;

use lineshaft_engine::{
    Aside, Clock, Error, Handle, Memory, Opened, Options, Scratch, SimulatedClock, Stepped, Upkeep, recover,
};
use lineshaft_jobs::{Limits, State};
use lineshaft_store::{Error as StoreError, Home, Options as JournalOptions, SegmentJournal};

use super::flood::{self, Flood};
use super::service::Service;
use super::{MILLISECOND, SECOND, Time};
use crate::disk::{Loss, SimulatedDisk};
use crate::scratch::MemoryScratch;

/// How long a server is down that ended by itself.
const DOWN: Time = SECOND;
/// How long a commit takes at most: what arrives meanwhile is in the next one.
const COMMIT_MAX: Time = 3 * MILLISECOND;
/// Jobs that fit into memory in some runs.
const FEW_JOBS: u32 = 60;

pub(super) struct Server {
    clock: SimulatedClock,
    pub(super) disk: SimulatedDisk,
    /// Where pages of jobs are that left memory.
    pub(super) scratch: Arc<MemoryScratch>,
    options: Options,
    journal_options: JournalOptions,
    engine: Option<Stepped<SimulatedDisk>>,
    /// When it opens, while it is down.
    open_at: Time,
    /// How long it is down after its next death.
    down: Time,
    turn_at: Time,
    /// Until when it is at a commit.
    busy_until: Time,
    aside_at: Time,
    /// Until then it neither does nor reads anything.
    pub(super) stalled_until: Time,
    /// Operations of the disks that are gone.
    pub(super) operations: u64,
    pub(super) starts: u64,
    pub(super) turns: u64,
    pub(super) recoveries: u64,
    /// Whether something on the disk is not what was written, and whether that was noticed.
    is_damaged: bool,
    pub(super) has_noticed: bool,
    /// Damage may have more than one commit.
    is_misdirected: bool,
    /// The newest commit that was durable.
    durable_lsn: u64,
    /// Syncs of the disk before the turn that has just made a commit.
    pub(super) committed_after: Option<u64>,
    /// Whether the last turn had to wait for room on the disk.
    pub(super) waited_for_room: bool,
    /// How long a lease lives.
    pub(super) lease: Time,
    pub(super) service: Service,
}

/// What became of the engine in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stepping {
    /// It goes on.
    GoesOn,
    /// It opened: what it has is to be judged.
    Opened,
    /// It is dead, by a fault of the disk; what had left is still to be noted.
    Died,
}

impl Server {
    pub(super) fn new(clock: &SimulatedClock, seed: u64, rng: &mut fastrand::Rng) -> Self {
        let lease_ms = [2_000, 5_000, 15_000][rng.usize(..3)];
        let jobs = if rng.u32(..6) == 0 { FEW_JOBS } else { Limits::default().jobs };
        // Sessions that end while their clients are away, and effects that take several commits.
        let (session_ms, step) = ([15_000, 600_000][rng.usize(..2)], [1, 4_096][rng.usize(..2)]);
        let upkeep = Upkeep {
            // Places of jobs are soon used again, or late.
            block_age: [Duration::from_secs(1), Upkeep::default().block_age][rng.usize(..2)],
            snapshot_every_bytes: [1_000, 8_000, 1 << 20][rng.usize(..3)],
            journal_slack_bytes: [4_096, 1 << 20][rng.usize(..2)],
            cold_slack_bytes: 4_096,
            cold_file_bytes: 4_096,
            copy_bytes_per_second: u64::MAX,
            look_every: Duration::from_secs(1),
            sweep_every: Duration::from_secs(30),
        };
        let scratch = Arc::new(MemoryScratch::new(seed));
        let mut options = Options {
            limits: Limits { jobs, lease_ms, session_ms, step, ..Limits::default() },
            upkeep,
            clock: Clock::from(clock.clone()),
            memory: memory(seed, &scratch),
            ..Options::default()
        };
        if Flood::of(seed).is_some() {
            options.limits.step = flood::STEP;
            options.upkeep.snapshot_every_bytes = flood::SNAPSHOT_EVERY_BYTES;
        }
        let journal_options = JournalOptions {
            segment_bytes_first: 4_096,
            segment_bytes_max: 16_384,
            background: false,
            cache_bytes: [1 << 10, 64 << 10][rng.usize(..2)],
            seed: rng.u64(..),
            ..JournalOptions::default()
        };
        Self {
            clock: clock.clone(),
            disk: SimulatedDisk::new(),
            scratch,
            options,
            journal_options,
            engine: None,
            open_at: 0,
            down: DOWN,
            turn_at: 0,
            busy_until: 0,
            aside_at: 0,
            stalled_until: 0,
            operations: 0,
            starts: 0,
            turns: 0,
            recoveries: 0,
            is_damaged: false,
            has_noticed: false,
            is_misdirected: false,
            durable_lsn: 0,
            committed_after: None,
            waited_for_room: false,
            lease: lease_ms * MILLISECOND,
            service: Service::default(),
        }
    }

    /// The way in, while it is up.
    pub(super) fn handle(&self) -> Option<&Handle> {
        self.engine.as_ref().map(Stepped::handle)
    }

    pub(super) fn engine(&self) -> Option<&Stepped<SimulatedDisk>> {
        self.engine.as_ref()
    }

    pub(super) fn due(&self) -> Time {
        let Some(engine) = &self.engine else { return self.open_at };
        let aside = engine.waiting().next().map(|_| self.aside_at);
        self.turn_due().min(aside.unwrap_or(Time::MAX)).max(self.stalled_until)
    }

    fn turn_due(&self) -> Time {
        self.turn_at.max(self.busy_until)
    }

    /// Something arrived: a turn follows soon.
    pub(super) fn rouse(&mut self, now: Time, rng: &mut fastrand::Rng) {
        self.turn_at = self.turn_at.min(now + rng.u64(..MILLISECOND));
    }

    pub(super) fn stall(&mut self, until: Time) {
        self.stalled_until = until;
    }

    /// The machine dies in the middle of that operation of the disk, counted from here.
    pub(super) fn cut_power_at(&mut self, operations: u64, down: Time) {
        self.down = down;
        self.disk.crash_at(self.disk.operations() + operations);
    }

    /// Opens, takes a turn, or does something beside the turns. Errors if it fails without a reason.
    pub(super) fn act(&mut self, now: Time, rng: &mut fastrand::Rng) -> Result<Stepping, String> {
        let turn_is_due = self.turn_due().max(self.stalled_until) <= now;
        let Some(engine) = &mut self.engine else { return self.open(now, rng) };
        let waiting: Vec<Aside> = engine.waiting().collect();
        if !waiting.is_empty() && self.aside_at <= now && (!turn_is_due || rng.bool()) {
            engine.work(waiting[rng.usize(..waiting.len())]);
            self.aside_at = now + aside_pause(rng);
            self.turn_at = self.turn_at.min(now);
        } else if turn_is_due {
            return self.turn(now, rng);
        }
        Ok(self.stepping())
    }

    fn stepping(&self) -> Stepping {
        if self.disk.has_crashed() { Stepping::Died } else { Stepping::GoesOn }
    }

    fn turn(&mut self, now: Time, rng: &mut fastrand::Rng) -> Result<Stepping, String> {
        let Some(engine) = &mut self.engine else { return Ok(Stepping::Died) };
        self.turns += 1;
        self.service.begins_turn(now, self.disk.is_full());
        let (lsn, syncs) = (engine.lsn(), self.disk.syncs());
        let turned = engine.turn();
        let (newest, after) = (engine.lsn(), self.clock.passed().as_micros() as Time);
        let wrote = newest > lsn;
        self.committed_after = wrote.then_some(syncs);
        // Nothing else in a turn takes time here.
        self.waited_for_room = after > now;
        let rest = match turned {
            Ok(rest) => rest.map_or(Time::MAX, |rest| rest.as_micros() as Time),
            Err(_) if self.disk.has_crashed() || self.disk.has_failed() => return Ok(Stepping::Died),
            Err(_) if self.notices_damage() => return Ok(Stepping::GoesOn),
            Err(error) => return Err(format!("the engine stops without a reason: {error}")),
        };
        self.service.ended_turn(now, after, rest);
        self.turn_at = after.saturating_add(rest.max(1));
        self.busy_until = after + if wrote { rng.u64(..COMMIT_MAX) } else { 0 };
        if !self.disk.has_crashed() {
            self.durable_lsn = newest;
        }
        // A purge is seldom under way.
        let purges = self.engine.as_ref().is_some_and(|engine| goes_on(engine.state()));
        if wrote && !self.disk.has_crashed() && (purges || rng.u32(..16) == 0) {
            self.compare(rng)?;
        }
        Ok(self.stepping())
    }

    fn open(&mut self, now: Time, rng: &mut fastrand::Rng) -> Result<Stepping, String> {
        // As random as it is for others: no opening has that of another one.
        self.journal_options.seed = self.journal_options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        // Who misses room may be the one who makes the disk have some again.
        let was_full = self.disk.is_full();
        match self.open_home(self.disk.clone()) {
            // What cannot be told from an unfinished write is cut, and that is reported.
            Ok((_, opened)) if self.lacks_durable(opened.lsn) => {
                Err(format!("commit {} was durable, and it goes on after {}", self.durable_lsn, opened.lsn))
            }
            // No more can be said then, nor when the header of the last commit is gone, of which nothing else tells.
            Ok((_, opened))
                if (opened.cut.is_some() || opened.lsn < self.durable_lsn) && self.notices_damage() =>
            {
                Ok(Stepping::GoesOn)
            }
            Ok((engine, _)) => {
                self.durable_lsn = engine.lsn();
                self.service.opened(now);
                self.engine = Some(engine);
                self.starts += 1;
                (self.turn_at, self.busy_until, self.aside_at, self.stalled_until) = (now, now, now, now);
                Ok(Stepping::Opened)
            }
            Err(_) if self.disk.has_crashed() || self.disk.has_failed() => {
                self.die(now, rng);
                Ok(Stepping::GoesOn)
            }
            Err(_) if self.notices_damage() => Ok(Stepping::GoesOn),
            Err(Error::Store(StoreError::Full { .. })) if was_full => {
                self.disk.look_for_room();
                self.die(now, rng);
                Ok(Stepping::GoesOn)
            }
            Err(error) => Err(format!("the home does not open: {error}")),
        }
    }

    /// Opens a home as it opens its own.
    pub(super) fn open_home(&self, disk: SimulatedDisk) -> Result<(Stepped<SimulatedDisk>, Opened), Error> {
        Stepped::open(disk, self.journal_options.clone(), self.options.clone())
    }

    /// Whether an opened journal lacks what was durable. A damaged commit may be cut if no later one tells that it was.
    fn lacks_durable(&self, head_lsn: u64) -> bool {
        let may_lack = match (self.is_damaged, self.is_misdirected) {
            (_, true) => self.durable_lsn,
            (true, false) => 1,
            (false, false) => 0,
        };
        head_lsn + may_lack < self.durable_lsn
    }

    /// The engine is gone: it was killed, or its disk failed, or its machine died if the disk stands still.
    pub(super) fn die(&mut self, now: Time, rng: &mut fastrand::Rng) {
        let loses_power = self.disk.has_crashed() || (self.disk.has_failed() && rng.bool());
        let left = if loses_power { self.disk.power_loss(loss(rng)) } else { self.disk.restart() };
        self.engine = None;
        self.operations += self.disk.operations();
        self.disk = left;
        self.open_at = now + std::mem::replace(&mut self.down, DOWN);
        // Some die again while they start.
        if rng.u32(..6) == 0 {
            self.cut_power_at(rng.u64(1..=20), SECOND);
        }
    }

    /// A bit of what was written changes.
    pub(super) fn damage(&mut self, place: u64) -> Option<(String, u64)> {
        let flipped = self.disk.flip_any(&mut fastrand::Rng::with_seed(place));
        self.is_damaged |= flipped.is_some();
        flipped
    }

    /// What was written is found at another place too.
    pub(super) fn misdirect(&mut self, place: u64) -> Option<String> {
        let moved = self.disk.misdirect_any(&mut fastrand::Rng::with_seed(place));
        self.is_damaged |= moved.is_some();
        self.is_misdirected |= moved.is_some();
        moved
    }

    /// Whether something on the disk is not what was written.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Whether it is up, and its disk has nothing but what was written and neither failed nor is gone.
    pub(super) fn is_sound(&self) -> bool {
        self.engine.is_some() && !(self.is_damaged || self.disk.has_crashed() || self.disk.has_failed())
    }

    /// Something does not read. Says whether the damage explains that; then no more can be said of the run.
    pub(super) fn notices_damage(&mut self) -> bool {
        self.has_noticed |= self.is_damaged;
        self.is_damaged
    }

    /// The process is killed; what it wrote is there.
    pub(super) fn kill(&mut self, down: Time, now: Time, rng: &mut fastrand::Rng) {
        self.down = down;
        self.die(now, rng);
    }

    /// The machine dies between two steps and is there again at once, and nothing fails any more.
    pub(super) fn lose_power(&mut self) {
        self.disk.spare();
        let left = self.disk.power_loss(Loss::Everything);
        self.engine = None;
        self.disk = left;
    }

    /// What would be recovered now is what is.
    fn compare(&mut self, rng: &mut fastrand::Rng) -> Result<(), String> {
        self.recoveries += 1;
        let disk = self.disk.power_loss(loss(rng));
        // On a full one a start may have to wait for room.
        disk.spare();
        let recovered = match recovered(disk, &self.journal_options, self.options.limits) {
            Ok((_, true)) | Err(_) if self.notices_damage() => return Ok(()),
            Ok((state, _)) => state,
            Err(error) => return Err(error),
        };
        let engine = self.engine.as_ref().expect("it took a turn");
        if recovered.snapshot() == engine.state().snapshot() {
            return compare_purges(&recovered, engine.state());
        }
        let text = "a power cut now would leave another state than the one that outputs left of";
        Err(format!(
            "{text}: {} jobs and {} leases, not {} and {}",
            recovered.jobs(),
            recovered.leased(),
            engine.state().jobs(),
            engine.state().leased()
        ))
    }
}

/// In two runs of seven no job that rests stays in memory, and in most of those some pages cannot leave it.
fn memory(seed: u64, scratch: &Arc<MemoryScratch>) -> Memory {
    if !matches!(seed % 7, 0 | 2) {
        return Memory { page_bytes: u64::MAX, scratch: None };
    }
    scratch.fail_one_in([0, 20, 3][(seed / 7 % 3) as usize]);
    Memory { page_bytes: 0, scratch: Some(Arc::clone(scratch) as Arc<dyn Scratch>) }
}

/// The state that a start would find, and whether it would cut something off.
fn recovered(
    disk: SimulatedDisk,
    journal_options: &JournalOptions,
    limits: Limits,
) -> Result<(State, bool), String> {
    let home = Home::open(disk).map_err(|error| format!("the home would not open: {error}"))?;
    let (mut journal, recovery) = SegmentJournal::open(&home, journal_options.clone())
        .map_err(|error| format!("the journal would not open: {error}"))?;
    let recovered = recover(&mut journal, &recovery, limits)
        .map_err(|error| format!("the journal would not be replayed: {error}"))?;
    Ok((recovered.state, recovery.cut.is_some()))
}

/// Which purges are under way is not in a snapshot but follows from it.
fn compare_purges(recovered: &State, state: &State) -> Result<(), String> {
    match (goes_on(recovered), goes_on(state)) {
        (there, here) if there == here => Ok(()),
        (true, _) => Err("a power cut now would begin a purge again that has ended".to_owned()),
        (false, _) => Err("a power cut now would leave a purge that does not go on".to_owned()),
    }
}

/// Whether a purge is under way.
fn goes_on(state: &State) -> bool {
    state.next_due().1 == Some(0)
}

fn loss(rng: &mut fastrand::Rng) -> Loss {
    if rng.u32(..3) == 0 { Loss::Everything } else { Loss::Some(rng.u64(..)) }
}

fn aside_pause(rng: &mut fastrand::Rng) -> Time {
    if rng.u32(..10) == 0 { rng.u64(..3 * SECOND) } else { rng.u64(..2 * MILLISECOND) }
}
