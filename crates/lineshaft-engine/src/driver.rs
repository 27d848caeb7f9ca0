//! The engine's thread: drains what arrived, commits it, lets the answers go.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use lineshaft_ipc::process::ProcessId;
use lineshaft_jobs::Now;
use lineshaft_store::{
    Append, Appended, Archive, BlockArchive, CutTail, Error as StoreError, FileDisk, Home, Journal,
    JournalHandle, Options as JournalOptions, SegmentJournal,
};
use lineshaft_wire::message::{Delete, Ended, ProcessKey, RESULT_EXPIRED};
use rustc_hash::FxHashMap;

use crate::Error;
use crate::archiver::{Archiver, Batch};
use crate::core::{COMMIT_BYTES, Core, Output, reference, stored};
use crate::handle::{ConnectionId, Handle, Input, Outgoing, Payloads, Threads, large_payloads};
use crate::options::Options;
use crate::query::{Asked, Query, Reader, last_output};
use crate::recovery::recover;
use crate::waits::Draft;

/// Inputs that one commit takes in at most, so that nobody waits long for its commit to close.
const INPUTS_MAX: usize = 4096;
/// Standing still longer than this is a stall, and leases are credited.
const STALL: Duration = Duration::from_secs(1);
/// Without a commit for this long, the last one is sealed.
const SEAL_AFTER: Duration = Duration::from_secs(1);
/// How often the processes of the last run that have not come back are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Journal bytes after which a snapshot is worth taking, if the last one was smaller than a quarter of that.
const SNAPSHOT_EVERY: u64 = 64 << 20;

/// What was found when the engine opened.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// The unfinished tail of the journal that was cut, if any.
    pub cut: Option<CutTail>,
    /// Jobs in memory: waiting, running, or finished and not archived.
    pub jobs: u64,
    /// The newest commit.
    pub lsn: u64,
    /// The epoch of this run.
    pub epoch: u64,
}

/// Opens the home and starts the engine's threads.
///
/// Errors if another process has the home, if its journal is damaged where it was durable, or if the disk fails.
pub fn open(home: &Path, options: Options) -> Result<(Handle, Opened), Error> {
    let home = Home::open(FileDisk::new(home))?;
    let journal_options = JournalOptions { durability: options.durability, ..JournalOptions::default() };
    let (mut journal, recovery) = SegmentJournal::open(&home, journal_options)?;
    let archive = BlockArchive::open(&home)?;
    archive.drop_beyond(recovery.head.lsn)?;
    let state = recover(&mut journal, &recovery, options.limits)?;
    drop_orphan_blobs(&journal.handle(), &state)?;

    let clock = Clock::starting_at(state.clock().1);
    let now = clock.now();
    let epoch = recovery.epoch.max(state.epoch()).saturating_add(1).max(now.wall_ms / 1000);
    let nonce = fastrand::u64(..);
    let jobs = state.jobs();
    let mut core = Core::new(state, recovery.head.lsn, options.clone(), now);
    core.start(epoch, nonce, now);
    let missed = archive.head().last_finish_number.saturating_sub(core.state().archived());
    if missed > 0 {
        core.archived(u32::try_from(missed).unwrap_or(u32::MAX), now);
    }

    let opened = Opened { cut: recovery.cut, jobs, lsn: recovery.head.lsn, epoch };
    let handle = start(core, journal, archive, clock, epoch, nonce, &options)?;
    Ok((handle, opened))
}

/// Blobs that were durable before a commit that never was.
fn drop_orphan_blobs(journal: &impl JournalHandle, state: &lineshaft_jobs::State) -> Result<(), StoreError> {
    let blobs = journal.blobs()?;
    if blobs.is_empty() {
        return Ok(());
    }
    let needed: HashSet<u64> = state.blobs().collect();
    blobs.into_iter().filter(|blob| !needed.contains(blob)).try_for_each(|blob| journal.drop_blob(blob))
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

fn start(
    core: Core,
    journal: SegmentJournal<FileDisk>,
    archive: BlockArchive<FileDisk>,
    clock: Clock,
    epoch: u64,
    nonce: u64,
    options: &Options,
) -> Result<Handle, Error> {
    let (inbox, inputs) = unbounded();
    let (large, large_inputs) = unbounded();
    let (queries, asked) = unbounded();
    let (batches, to_archive) = unbounded();
    let handle = journal.handle();
    let returning = core.state().child_reports().map(|child| child.process).collect();
    let reader = Reader {
        journal: handle.clone(),
        archive: archive.clone(),
        deleted: Arc::clone(&core.deleted),
        engine: inbox.clone(),
    };
    let archiver =
        Archiver { journal: handle.clone(), archive, retention: options.retention, engine: inbox.clone() };
    let (blobs, engine) = (handle.clone(), inbox.clone());
    let others = vec![
        spawn("lineshaft-reader", move || reader.run(&asked))?,
        spawn("lineshaft-archiver", move || archiver.run(&to_archive))?,
        spawn("lineshaft-blobs", move || store_blobs(&blobs, &large_inputs, &engine))?,
    ];
    let driver = Driver {
        core,
        head: journal.head(),
        payloads: handle.clone(),
        journal,
        clock,
        epoch,
        nonce,
        queries,
        batches,
        engine: inbox.clone(),
        since_snapshot: 0,
        snapshot_bytes: 0,
        snapshotting: false,
        sealed: false,
        returning,
        look_at: Instant::now(),
    };
    let engine = spawn("lineshaft-engine", move || driver.run(&inputs))?;
    Ok(Handle {
        inbox,
        large,
        payloads: Payloads::new(handle),
        connections: Arc::new(AtomicU64::new(0)),
        threads: Arc::new(Mutex::new(Some(Threads { engine, others }))),
    })
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(Error::Thread)
}

/// Stores large payloads as blobs, then hands their requests to the engine.
fn store_blobs(journal: &impl JournalHandle, inputs: &Receiver<Input>, engine: &Sender<Input>) {
    for mut input in inputs {
        if matches!(input, Input::Stop) {
            return;
        }
        if let Input::Request { message, payloads, .. } = &mut input {
            for (index, offset, length) in large_payloads(message) {
                let Some(bytes) = payloads.bytes.get(offset..offset + length) else { break };
                let id = next_blob_id();
                match journal.put_blob(id, bytes) {
                    Ok(()) => payloads.blobs.push((index, id)),
                    Err(error) => tracing::error!(%error, "a large payload goes into the journal itself"),
                }
            }
        }
        drop(engine.send(input));
    }
}

/// A number that no blob had before: 64 random bits.
pub(crate) fn next_blob_id() -> u64 {
    fastrand::u64(..)
}

/// Unix milliseconds.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The two clocks: the logical one goes on from where the last run left it.
struct Clock {
    started: Instant,
    base_ms: u64,
}

impl Clock {
    fn starting_at(base_ms: u64) -> Self {
        Self { started: Instant::now(), base_ms }
    }

    fn now(&self) -> Now {
        let logical_ms = self.base_ms + self.started.elapsed().as_millis() as u64;
        Now { wall_ms: wall_ms(), logical_ms, random: fastrand::u64(..) }
    }
}

struct Driver<J: Journal> {
    core: Core,
    journal: J,
    payloads: J::Handle,
    head: Appended,
    clock: Clock,
    epoch: u64,
    nonce: u64,
    queries: Sender<(Asked, Query)>,
    batches: Sender<Batch>,
    engine: Sender<Input>,
    since_snapshot: u64,
    snapshot_bytes: u64,
    snapshotting: bool,
    sealed: bool,
    /// Children of the last run that lived when they were last looked at, and have not come back.
    returning: Vec<ProcessKey>,
    look_at: Instant,
}

impl<J: Journal> Driver<J> {
    fn run(mut self, inputs: &Receiver<Input>) -> Result<(), Error> {
        let result = self.work(inputs);
        if let Err(error) = &result {
            tracing::error!(%error, "the engine stops: what it holds in memory may be ahead of the disk");
        }
        for connection in self.core.connections.values() {
            connection.outbox.close();
        }
        result
    }

    fn work(&mut self, inputs: &Receiver<Input>) -> Result<(), Error> {
        self.turn(None, inputs)?;
        loop {
            let patience = self.patience();
            let waited = Instant::now();
            let input = match inputs.recv_timeout(patience) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            self.credit(waited.elapsed().saturating_sub(patience));
            let began = Instant::now();
            self.turn(input, inputs)?;
            self.credit(began.elapsed());
            if self.core.stopping {
                return self.close();
            }
        }
    }

    /// One commit: what arrived, what time brings, then out with it.
    fn turn(&mut self, first: Option<Input>, inputs: &Receiver<Input>) -> Result<(), Error> {
        let now = self.clock.now();
        let idle = first.is_none();
        if self.payloads.space().low {
            self.journal.look_for_space();
        }
        self.core.set_store_full(self.payloads.space().low);
        for input in first.into_iter().chain(inputs.try_iter()).take(INPUTS_MAX) {
            self.take(input, now);
            if self.core.open_bytes() >= COMMIT_BYTES || self.core.stopping {
                break;
            }
        }
        self.look_for_the_dead(now);
        self.core.step(now);
        let wrote = self.commit()?;
        if wrote {
            self.sealed = false;
        } else if idle && !self.sealed {
            self.head = self.journal.seal()?;
            self.core.lsn = self.head.lsn;
            self.sealed = true;
        }
        self.snapshot_if_due()
    }

    fn look_for_the_dead(&mut self, now: Now) {
        if self.returning.is_empty() || Instant::now() < self.look_at {
            return;
        }
        self.look_at = Instant::now() + LOOK_EVERY;
        self.returning.retain(|process| self.core.may_return(*process));
        self.returning = count_the_dead(&mut self.core, std::mem::take(&mut self.returning), now);
    }

    fn take(&mut self, input: Input, now: Now) {
        match input {
            Input::Connected { connection, outbox } => self.core.connected(connection, outbox),
            Input::Request { connection, request_id, message, payloads } => {
                self.core.request(connection, request_id, message, payloads, now);
            }
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
            Input::Archived { result: Ok(count) } => self.core.archived(count, now),
            Input::Archived { result: Err(error) } => {
                tracing::error!(%error, "a block could not be archived; it is tried again in a second");
                self.core.archive_failed(now);
            }
            Input::ArchiveDropped { finalized_before_ms } => {
                self.core.archive_dropped(finalized_before_ms, now);
            }
            Input::SnapshotDone { result } => self.snapshot_done(result),
            Input::Stop => self.core.stopping = true,
        }
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

    fn append(&mut self, body: &[u8]) -> Result<(), Error> {
        let append = Append {
            epoch: self.epoch,
            nonce: self.nonce,
            expected_lsn: self.head.lsn + 1,
            previous_crc: self.head.crc,
            body,
        };
        let mut warned = false;
        self.head = loop {
            match self.journal.append(append) {
                Ok(appended) => break appended,
                Err(StoreError::Full { needed_bytes }) => {
                    // The changes are made in memory and nothing has left: there is nothing to do but wait for room.
                    if !std::mem::replace(&mut warned, true) {
                        tracing::error!(
                            needed_bytes,
                            "the disk is full: everything waits until there is room"
                        );
                    }
                    thread::sleep(Duration::from_millis(200));
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.since_snapshot += body.len() as u64;
        Ok(())
    }

    fn release(&mut self, outputs: Vec<Output>) {
        let mut outgoing: FxHashMap<ConnectionId, Vec<Outgoing>> = FxHashMap::default();
        for output in outputs {
            match output {
                Output::Message(connection, message) => outgoing.entry(connection).or_default().push(message),
                Output::Ended(connection, request_id, draft) => {
                    let message = self.ended(request_id, draft);
                    outgoing.entry(connection).or_default().push(message);
                }
                Output::Query(connection, request_id, query) => {
                    let Some(entry) = self.core.connections.get(&connection) else { continue };
                    let outbox = Arc::clone(&entry.outbox);
                    drop(self.queries.send((Asked { connection, request_id, outbox }, *query)));
                }
                Output::Archive(jobs) => drop(self.batches.send(Batch { lsn: self.head.lsn, jobs })),
                Output::DropBlob(id) => {
                    if let Err(error) = self.payloads.drop_blob(id) {
                        tracing::warn!(%error, "a blob that nobody needs stays until the next start");
                    }
                }
            }
        }
        for (connection, messages) in outgoing {
            if let Some(entry) = self.core.connections.get(&connection) {
                entry.outbox.deliver(messages);
            }
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
            job.error = self.read(failed.error).and_then(|bytes| lineshaft_jobs::decode_error(&bytes));
            job.output = self.read(failed.output).map(|bytes| last_output(&bytes)).unwrap_or_default();
            ended.failed.push(job);
        }
        Outgoing { request_id, message: ended.into(), payloads }
    }

    fn read(&self, place: lineshaft_jobs::Place) -> Option<bytes::Bytes> {
        if place.length == 0 {
            return None;
        }
        let read = self.payloads.read(reference(place));
        read.inspect_err(|error| tracing::error!(%error, "a stored payload does not read")).ok()
    }

    fn snapshot_if_due(&mut self) -> Result<(), Error> {
        if self.snapshotting || self.since_snapshot < SNAPSHOT_EVERY.max(4 * self.snapshot_bytes) {
            return Ok(());
        }
        self.journal.sync()?;
        let bytes = self.core.state().snapshot();
        (self.snapshotting, self.since_snapshot, self.snapshot_bytes) = (true, 0, bytes.len() as u64);
        let (handle, engine, head) = (self.payloads.clone(), self.engine.clone(), self.head);
        spawn("lineshaft-snapshot", move || {
            let result = handle.put_snapshot(head.lsn, head.crc, &bytes).map(|()| head.lsn);
            drop(engine.send(Input::SnapshotDone { result }));
        })
        .map(drop)
    }

    fn snapshot_done(&mut self, result: Result<u64, StoreError>) {
        self.snapshotting = false;
        let below = self.core.state().oldest_kept_lsn().unwrap_or(self.head.lsn);
        if let Err(error) = result.and_then(|_| self.journal.trim(below)) {
            tracing::error!(%error, "a snapshot failed; the journal is kept until one succeeds");
        }
    }

    /// How long the thread may sleep.
    fn patience(&self) -> Duration {
        let (wall, logical) = self.core.next_due();
        let now = self.clock.now();
        let wall = wall.map(|at| at.saturating_sub(now.wall_ms));
        let logical = logical.map(|at| at.saturating_sub(now.logical_ms));
        let due = wall.into_iter().chain(logical).min().map_or(Duration::MAX, Duration::from_millis);
        let most = if self.sealed { Duration::from_secs(5) } else { SEAL_AFTER };
        let look = if self.returning.is_empty() { most } else { LOOK_EVERY };
        due.min(most).min(look)
    }

    /// Credits leases for time that the engine stood still: stopped, starved, or waiting for the disk.
    fn credit(&mut self, still: Duration) {
        if still >= STALL {
            tracing::warn!(
                seconds = still.as_secs_f64(),
                "the engine stood still; leases live as much longer"
            );
            self.core.credit_gap(still.as_millis() as u64);
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        self.commit()?;
        self.journal.seal()?;
        self.journal.sync()?;
        Ok(())
    }
}
