//! The engine's turn: drain what arrived, commit it, let the answers go. `turns.rs` says which thread takes it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use lineshaft_ipc::process::ProcessId;
use lineshaft_jobs::Now;
use lineshaft_store::{Append, Appended, Error as StoreError, Journal, JournalHandle};
use lineshaft_wire::message::{Delete, Ended, ProcessKey, RESULT_EXPIRED};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::Error;
use crate::archiver::{Batch, Errand};
use crate::clock::{Clock, Clocks};
use crate::compaction::{BUSY, Compaction};
use crate::core::{COMMIT_BYTES, Core, Output, reference, stored};
use crate::handle::{ConnectionId, Input, Outgoing};
use crate::inbox::Inbox;
use crate::kept_snapshots::KeptSnapshots;
use crate::pulse::{Pulse, STALL};
use crate::query::{Asked, OUTPUT_LOST, Query, last_output, lost_error};
use crate::relief::Relief;
use crate::snapshots::SnapshotWriter;
use crate::spill::Spill;
use crate::sweep::Sweep;
use crate::turns::Turn;
use crate::waits::Draft;

/// Inputs that one commit takes in at most, so that nobody waits long for its commit to close.
const INPUTS_MAX: usize = 4096;
/// Inputs that a thread other than the engine's takes in.
const ASIDE_INPUTS_MAX: usize = 8;
/// How long attempts may have been running when it does.
const ASIDE_LEASES_MAX: Duration = Duration::from_millis(100);
/// Room for its commit, so that it does not wait for the next segment.
const ASIDE_ROOM_BYTES: u64 = 1 << 20;
/// Requests are taken in for this long at most before they are committed.
const TURN: Duration = Duration::from_millis(5);
/// How long a blob outlives the job that named it: messages on their way may still read it.
const BLOB_REST: Duration = Duration::from_secs(300);
/// Without a commit for this long, the last one is sealed.
const SEAL_AFTER: Duration = Duration::from_secs(1);
/// How often the processes of the last run that have not come back are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause between two tries on a disk without room.
const FULL_PAUSE: Duration = Duration::from_millis(200);

/// What this run begins with.
pub(crate) struct Run {
    pub(crate) clocks: Clocks,
    pub(crate) epoch: u64,
    pub(crate) nonce: u64,
    /// Journal bytes since the last snapshot.
    pub(crate) since_snapshot: u64,
    pub(crate) snapshots: KeptSnapshots,
}

pub(crate) struct Driver<J: Journal> {
    pub(crate) clock: Clock,
    pub(crate) core: Core,
    pub(crate) journal: J,
    pub(crate) payloads: J::Handle,
    pub(crate) head: Appended,
    pub(crate) run: Run,
    pub(crate) queries: Sender<(Asked, Query)>,
    pub(crate) batches: Sender<Errand>,
    pub(crate) inputs: Receiver<Input>,
    pub(crate) engine: Inbox,
    pub(crate) snapshotting: bool,
    pub(crate) snapshot_writer: SnapshotWriter,
    /// See [`Upkeep::snapshot_every_bytes`](crate::Upkeep::snapshot_every_bytes).
    pub(crate) snapshot_every: u64,
    pub(crate) sealed: bool,
    pub(crate) committed_at: Instant,
    /// Until when the engine's thread means to rest, and when the last turn ended.
    pub(crate) rests_until: Instant,
    pub(crate) turned_at: Instant,
    /// Since when there has always been a lease.
    pub(crate) leased_since: Option<Instant>,
    /// Why a turn failed that another thread took.
    pub(crate) failed: Option<Error>,
    pub(crate) relief: Relief,
    pub(crate) pulse: Arc<Pulse>,
    /// Set when the engine was asked to stop, also while it cannot read its inbox.
    pub(crate) stop: Arc<AtomicBool>,
    /// Blobs that nobody needs, and when they go.
    pub(crate) freed_blobs: VecDeque<(Instant, u64)>,
    pub(crate) sweep: Sweep,
    pub(crate) spill: Spill,
    pub(crate) compaction: Compaction,
    /// Children of the last run that lived when they were last looked at, and have not come back.
    pub(crate) returning: Vec<ProcessKey>,
    pub(crate) look_at: Instant,
}

impl<J: Journal> Turn for Driver<J> {
    fn take_turn(&mut self) -> Result<(), Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let began = self.clock.instant();
        self.pulse.works_from(began);
        self.turn()?;
        self.turned_at = self.clock.instant();
        self.credit(self.turned_at - began);
        self.pulse.rests();
        let is_leased = self.core.state().leased() > 0;
        self.leased_since = is_leased.then(|| self.leased_since.unwrap_or(self.turned_at));
        Ok(())
    }

    fn take_turn_aside(&mut self) -> bool {
        if let Err(error) = self.take_turn() {
            self.failed = Some(error);
            return false;
        }
        let is_done = self.inputs.is_empty() && !self.core.stopping;
        is_done && self.turned_at + self.patience() >= self.rests_until
    }

    fn has_little_to_do(&self) -> bool {
        let space = self.payloads.space();
        let has_room = !space.tight && space.ready_bytes >= ASIDE_ROOM_BYTES;
        let runs_long = self.leased_since.is_some_and(|since| self.clock.since(since) >= ASIDE_LEASES_MAX);
        let is_quiet = self.inputs.len() <= ASIDE_INPUTS_MAX && !self.compaction.is_busy();
        is_quiet && has_room && !runs_long
    }

    fn overslept(&mut self) {
        self.credit(self.clock.since(self.rests_until.max(self.turned_at)));
    }

    fn rest(&mut self) -> Duration {
        let patience = if self.inputs.is_empty() { self.patience() } else { Duration::ZERO };
        self.rests_until = self.clock.instant() + patience;
        patience
    }

    fn close_if_stopping(&mut self) -> Result<Option<()>, Error> {
        self.core.stopping.then(|| self.close()).transpose()
    }

    fn say_farewell(&mut self, result: &Result<(), Error>) {
        if let Err(error) = result {
            tracing::error!(%error, "the engine stops: what it holds in memory may be ahead of the disk");
        }
        for connection in self.core.connections.values() {
            connection.outbox.close();
        }
        // It has the home as long as it writes, and whoever comes next wants that.
        self.snapshot_writer.join();
    }
}

impl<J: Journal> Driver<J> {
    /// One commit: what arrived, what time brings, then out with it.
    fn turn(&mut self) -> Result<(), Error> {
        let jumped = self.run.clocks.jumped();
        if !jumped.is_zero() {
            self.core.credit_gap(jumped.as_millis() as u64, 0);
        }
        let now = self.run.clocks.now();
        let (idle, began) = (self.inputs.is_empty(), self.clock.instant());
        self.spill.begin_turn(&mut self.core.state, began);
        self.look_after_space(now);
        let mut left = INPUTS_MAX;
        while left > 0 {
            let Ok(input) = self.inputs.try_recv() else { break };
            self.accept(input, now)?;
            left -= 1;
            let full = self.core.open_bytes() >= COMMIT_BYTES || self.clock.since(began) >= TURN;
            if full || self.core.stopping {
                left = 0;
                break;
            }
        }
        if left > 0 {
            self.pulse.heard_all(began);
        }
        self.look_for_the_dead(now);
        let past_lsn = self.run.snapshots.past_lsn();
        self.compaction.advance(&mut self.core, &self.payloads, past_lsn, now);
        self.core.step(now);
        let wrote = self.commit()?;
        if wrote {
            (self.sealed, self.committed_at) = (false, self.clock.instant());
        } else if idle && !self.sealed && self.clock.since(self.committed_at) >= SEAL_AFTER {
            self.sealed = self.seal()?;
        }
        self.drop_blobs();
        self.spill.advance(&mut self.core.state, self.payloads.space().tight);
        self.sweep.ask_if_due();
        self.snapshot_if_due()
    }

    fn look_for_the_dead(&mut self, now: Now) {
        if self.returning.is_empty() || self.clock.instant() < self.look_at {
            return;
        }
        self.look_at = self.clock.instant() + LOOK_EVERY;
        self.returning.retain(|process| self.core.may_return(*process));
        self.returning = count_the_dead(&mut self.core, std::mem::take(&mut self.returning), now);
    }

    fn accept(&mut self, input: Input, now: Now) -> Result<(), Error> {
        match input {
            Input::Connected { connection, outbox } => self.core.connected(connection, outbox),
            Input::Request { connection, request_id, message, payloads } => {
                let room = self.room_for(&message, payloads.bytes.len());
                self.core.set_room(room);
                self.core.request(connection, request_id, message, payloads, now);
            }
            Input::Unstorable { connection, request_id, sequence, error } => {
                self.core.unstorable(connection, request_id, sequence, &error);
            }
            Input::Unread { connection, unread } => self.core.unread(connection, &unread, now),
            Input::Disconnected { connection } => self.core.disconnected(connection),
            Input::ProcessDied { process } => self.core.process_died(process, now),
            Input::LookedUp { connection, request_id, jobs, outgoing } => {
                self.core.push(connection, *outgoing);
                self.core.waits.answered(connection, request_id, jobs);
            }
            Input::RetryFound { connection, request_id, sequence, call } => {
                self.core.retry_found(connection, request_id, sequence, *call, now);
            }
            Input::DeleteFound { connection, request_id, sequence, job, finalized_ms } => {
                self.core.delete_found(connection, request_id, Delete { sequence, job }, finalized_ms, now);
            }
            Input::Held { connection, request_id, held } => {
                self.core.files_held(connection, request_id, held, now);
            }
            Input::Archived { result: Ok(count) } => self.core.archived(count, now),
            Input::Archived { result: Err(error @ StoreError::Poisoned) } => return Err(error.into()),
            Input::Archived { result: Err(error) } => {
                if self.core.archive_failed(now) {
                    tracing::error!(%error, "finished jobs cannot be archived; they are tried again every second");
                }
            }
            Input::ArchiveDropped { finalized_before_ms } => {
                self.core.archive_dropped(finalized_before_ms, now);
            }
            Input::HistoryFrom { ended_ms } => self.core.state.set_history_from(ended_ms),
            Input::Cooled { pages, result } => self.spill.cooled(&mut self.core.state, pages, result),
            Input::Copied { result } => self.compaction.copied(result),
            Input::BlobsListed { result } => self.sweep_blobs(result),
            // For the thread that stores blobs.
            Input::ListBlobs => {}
            Input::SnapshotDone { result } => self.snapshot_done(result),
            Input::AskIdle { answer } => answer(self.core.is_idle()),
            Input::Stop => self.core.stopping = true,
        }
        Ok(())
    }

    /// Writes the open commit and lets go what waited for it. Says whether there was anything to write.
    fn commit(&mut self) -> Result<bool, Error> {
        let committed = self.core.take_commit();
        let wrote = !committed.body.is_empty();
        if wrote {
            self.append(&committed.body)?;
        }
        self.release(committed.outputs);
        Ok(wrote)
    }

    /// Seals the last commit. Says whether it did: on a full disk it is tried again in a second, since nobody waits for it.
    fn seal(&mut self) -> Result<bool, Error> {
        match self.journal.seal() {
            Ok(head) => (self.head, self.core.lsn) = (head, head.lsn),
            Err(StoreError::Full { .. }) => {
                self.committed_at = self.clock.instant();
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn append(&mut self, body: &[u8]) -> Result<(), Error> {
        let append = Append {
            epoch: self.run.epoch,
            nonce: self.run.nonce,
            expected_lsn: self.head.lsn + 1,
            previous_crc: self.head.crc,
            body,
        };
        let mut warned = false;
        self.head = loop {
            match self.journal.append(append) {
                Ok(appended) => break appended,
                Err(StoreError::Full { needed_bytes, free_bytes }) => {
                    // The changes are made in memory and nothing has left: there is nothing to do but wait for room.
                    if !std::mem::replace(&mut warned, true) {
                        tracing::error!(
                            needed_bytes,
                            free_bytes,
                            "the disk is full: everything waits until there is room"
                        );
                    }
                    if self.stop.load(Ordering::Relaxed) {
                        return Err(StoreError::Full { needed_bytes, free_bytes }.into());
                    }
                    self.clock.sleep(FULL_PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.run.since_snapshot += body.len() as u64;
        Ok(())
    }

    fn release(&mut self, outputs: Vec<Output>) {
        let mut outgoing = Departures::default();
        for output in outputs {
            match output {
                Output::Message(connection, message) => outgoing.push(connection, message),
                Output::Ended(connection, request_id, draft) => {
                    outgoing.push(connection, self.ended(request_id, draft));
                }
                Output::Query(connection, request_id, query) => {
                    let Some(entry) = self.core.connections.get(&connection) else { continue };
                    let outbox = Arc::clone(&entry.outbox);
                    drop(self.queries.send((Asked { connection, request_id, outbox }, *query)));
                }
                Output::Archive(jobs) => {
                    drop(self.batches.send(Errand::Archive(Batch { lsn: self.head.lsn, jobs })));
                }
                Output::DropBlob(id) => self.freed_blobs.push_back((self.clock.instant() + BLOB_REST, id)),
            }
        }
        for (connection, messages) in outgoing.in_order() {
            if let Some(entry) = self.core.connections.get(&connection) {
                entry.outbox.deliver(messages);
            }
        }
    }

    /// Removes blobs that were freed long enough ago.
    fn drop_blobs(&mut self) {
        while let Some((at, id)) = self.freed_blobs.front().copied()
            && at <= self.clock.instant()
        {
            match self.payloads.drop_blob(id) {
                // A backup may need it.
                Err(StoreError::Held) => return,
                Err(error) => tracing::warn!(%error, "a blob that nobody needs stays for now"),
                Ok(()) => {}
            }
            self.freed_blobs.pop_front();
        }
    }

    fn sweep_blobs(&mut self, result: Result<Vec<u64>, StoreError>) {
        let blobs = match result {
            Ok(blobs) => blobs,
            Err(error) => return tracing::warn!(%error, "blobs cannot be looked through"),
        };
        let freed: FxHashSet<u64> = self.freed_blobs.iter().map(|(_, id)| *id).collect();
        let state = self.core.state();
        let gone = self.sweep.listed(blobs, |id| state.needs_blob(id) || freed.contains(&id));
        for id in gone {
            self.freed_blobs.push_front((self.clock.instant(), id));
        }
    }

    /// The message for a wait, with the errors and outputs that are still in the journal.
    fn ended(&self, request_id: u64, draft: Draft) -> Outgoing {
        let Draft { completed, failed, missing, results, last } = draft;
        let mut ended = Ended { missing, last, ..Ended::default() };
        let mut payloads = Vec::new();
        for (job, place) in completed {
            ended.completed.push((job, place.map_or(RESULT_EXPIRED, |place| u64::from(place.length))));
            payloads.extend(place.filter(|_| results).map(stored));
        }
        for failed in failed {
            let mut job = failed.job;
            job.error = match self.read(failed.error) {
                Ok(bytes) => lineshaft_jobs::decode_error(&bytes),
                Err(error) => Some(lost_error(&error)),
            };
            job.output = self.read(failed.output).map_or(OUTPUT_LOST.to_vec(), |bytes| last_output(&bytes));
            ended.failed.push(job);
        }
        Outgoing { request_id, message: ended.into(), payloads }
    }

    fn read(&self, place: lineshaft_jobs::Place) -> Result<bytes::Bytes, StoreError> {
        let read = self.payloads.read(reference(place));
        read.inspect_err(|error| tracing::error!(%error, "a stored payload does not read"))
    }

    /// How long the thread may sleep.
    fn patience(&self) -> Duration {
        let (wall, logical) = self.core.next_due();
        let now = self.run.clocks.now();
        let wall = wall.map(|at| at.saturating_sub(now.wall_ms));
        let logical = logical.map(|at| at.saturating_sub(now.logical_ms));
        let due = wall.into_iter().chain(logical).min().map_or(Duration::MAX, Duration::from_millis);
        let seal = SEAL_AFTER.saturating_sub(self.clock.since(self.committed_at));
        let most = if self.sealed { Duration::from_secs(5) } else { seal };
        let look = if self.returning.is_empty() { most } else { LOOK_EVERY };
        // What is due may have to wait for room.
        let pause = self.relief_patience();
        let due = if self.core.is_out_of_room() { due.max(FULL_PAUSE) } else { due };
        let is_busy = self.compaction.is_busy() && !self.core.is_out_of_room();
        let busy = if is_busy { BUSY } else { most };
        let spill = self.spill.patience().unwrap_or(Duration::MAX);
        due.min(most).min(look).min(busy).min(spill).min(pause.unwrap_or(Duration::MAX))
    }

    /// Credits leases for time that the engine stood still: stopped, starved, or waiting for the disk.
    fn credit(&mut self, still: Duration) {
        if still >= STALL {
            tracing::warn!(
                seconds = still.as_secs_f64(),
                "the engine stood still; leases live as much longer"
            );
            self.core.credit_gap(still.as_millis() as u64, self.pulse.bonus().as_millis() as u64);
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        self.commit()?;
        self.seal()?;
        self.journal.sync()?;
        Ok(())
    }
}

/// What leaves, by connection.
#[derive(Default)]
struct Departures {
    messages: Vec<(ConnectionId, Vec<Outgoing>)>,
    places: FxHashMap<ConnectionId, usize>,
}

impl Departures {
    fn push(&mut self, connection: ConnectionId, message: Outgoing) {
        let place = *self.places.entry(connection).or_insert_with(|| {
            self.messages.push((connection, Vec::new()));
            self.messages.len() - 1
        });
        self.messages[place].1.push(message);
    }

    /// The last first: a commit gives answers before the leases and the ends that follow from them, and those are what
    /// others have been waiting for.
    fn in_order(self) -> impl Iterator<Item = (ConnectionId, Vec<Outgoing>)> {
        self.messages.into_iter().rev()
    }
}

/// Counts the dead among children of the last run and gives the living. Until one of those has come back, nobody else
/// would see it die.
fn count_the_dead(core: &mut Core, children: Vec<ProcessKey>, now: Now) -> Vec<ProcessKey> {
    // A child on another host has no process here, and is left to its lease.
    let is_alive = |process: &ProcessKey| {
        process.pid == 0 || ProcessId { pid: process.pid, start_time: process.start_time }.is_alive()
    };
    let (living, dead): (Vec<_>, Vec<_>) = children.into_iter().partition(is_alive);
    for process in dead {
        core.process_died(process, now);
    }
    living
}
