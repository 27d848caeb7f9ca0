//! From a home on disk to a running engine: recovery, then the threads.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use lineshaft_store::{
    Archive, BlockArchive, CutTail, Disk, Error as StoreError, FileDisk, Home, Journal, JournalHandle,
    Options as JournalOptions, SegmentHandle, SegmentJournal,
};

use crate::Error;
use crate::archiver::{Archiver, Errand};
use crate::blobs::store_blobs;
use crate::clock::Clocks;
use crate::compaction::{Chore, ColdFiles, Compaction, Compactor};
use crate::core::Core;
use crate::driver::{Driver, Run};
use crate::handle::{Handle, Input, Payloads, Threads};
use crate::inbox::Inbox;
use crate::kept_snapshots::{KeptSnapshots, Taken};
use crate::logs::{LogKeeper, LogsAsked};
use crate::options::Options;
use crate::pulse::Pulse;
use crate::query::{Asked, Query, Reader};
use crate::recovery::{Recovered, recover_within};
use crate::relief::Relief;
use crate::snapshots::SnapshotWriter;
use crate::spill::{Cooler, FileScratch, Leaving, Memory, Scratch, Spill};
use crate::sweep::Sweep;
use crate::turns::Turns;

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
    let own = || -> Arc<dyn Scratch> { Arc::new(FileScratch::beneath(home.to_owned())) };
    let scratch = Some(options.memory.scratch.unwrap_or_else(own));
    let memory = Memory { scratch, ..options.memory };
    open_on(FileDisk::new(home), Options { memory, ..options })
}

/// The same for a home on any disk.
pub fn open_on<D: Disk>(disk: D, options: Options) -> Result<(Handle, Opened), Error> {
    open_with(disk, JournalOptions::default(), options)
}

/// The same with segments of other sizes; how durable its commits are is said by `options`.
pub fn open_with<D: Disk>(
    disk: D,
    journal_options: JournalOptions,
    options: Options,
) -> Result<(Handle, Opened), Error> {
    let (parts, opened) = assemble(disk, journal_options, options, SnapshotWriter::Threads(None))?;
    Ok((start(parts)?, opened))
}

/// An engine that nobody has set going.
pub(crate) struct Parts<D: Disk> {
    pub(crate) driver: Driver<SegmentJournal<D>>,
    pub(crate) journal: SegmentHandle<D>,
    pub(crate) inbox: Inbox,
    pub(crate) large: Sender<Input>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) stop: Arc<AtomicBool>,
    // What works beside it, each with what it is asked for.
    pub(crate) reader: Reader<SegmentHandle<D>, BlockArchive<D>>,
    pub(crate) queries: Receiver<(Asked, Query)>,
    pub(crate) archiver: Archiver<SegmentHandle<D>, BlockArchive<D>>,
    pub(crate) errands: Receiver<Errand>,
    pub(crate) compactor: Compactor<SegmentHandle<D>>,
    pub(crate) chores: Receiver<Chore>,
    pub(crate) large_inputs: Receiver<Input>,
    pub(crate) cooler: Cooler,
    pub(crate) leaving: Receiver<Leaving>,
    pub(crate) keeper: LogKeeper<D>,
    pub(crate) logs_asked: Receiver<(Asked, LogsAsked)>,
}

/// Recovers what the home holds and puts an engine together.
pub(crate) fn assemble<D: Disk>(
    disk: D,
    journal_options: JournalOptions,
    options: Options,
    snapshot_writer: SnapshotWriter,
) -> Result<(Parts<D>, Opened), Error> {
    let home = Home::open(disk)?;
    let journal_options = JournalOptions { durability: options.durability, ..journal_options };
    let (mut journal, recovery) = SegmentJournal::open(&home, journal_options)?;
    let Recovered { state, replayed_bytes, snapshot_needs_lsn } =
        recover_within(&mut journal, &recovery, options.limits, &options.memory)?;
    let (archive, ahead) = open_archive(&home, recovery.head.lsn, state.archived())?;
    if let Some(Ahead { jobs, head_lsn, last_lsn }) = ahead {
        tracing::warn!(
            jobs,
            head_lsn,
            last_lsn,
            "the archive was ahead of the journal: what it had of later commits was dropped, those jobs are unfinished again"
        );
    }
    drop_orphan_blobs(&journal.handle(), &state)?;
    let files = ColdFiles::open(&journal.handle(), &state)?;

    let clocks = Clocks::starting_at(state.clock().1, options.clock.clone());
    let now = clocks.now();
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
    let loaded = recovery.snapshot.as_ref().map(|snapshot| snapshot.lsn);
    let loaded = loaded.map(|lsn| Taken { lsn, needs_lsn: snapshot_needs_lsn });
    let snapshots = KeptSnapshots::loaded(loaded);
    let run = Run { clocks, epoch, nonce, since_snapshot: replayed_bytes, snapshots };
    let found = Found { home, core, journal, archive, run, files };
    Ok((put_together(found, &options, snapshot_writer), opened))
}

/// What a home holds.
struct Found<D: Disk> {
    home: Home<D>,
    core: Core,
    journal: SegmentJournal<D>,
    archive: BlockArchive<D>,
    run: Run,
    files: ColdFiles,
}

/// What an archive had of commits that its journal does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) jobs: u64,
    /// The journal's newest commit.
    pub(crate) head_lsn: u64,
    /// The newest one that the archive knew of.
    pub(crate) last_lsn: u64,
}

/// The archive as far as the journal goes, and what was dropped of it beyond.
///
/// A block is written when its commit is durable. One beyond the journal's end tells that this end was lost, under
/// `durability = "os"` or by a restore: its jobs are unfinished again. A journal without any commit beside an archive
/// is no such end.
pub(crate) fn open_archive<D: Disk>(
    home: &Home<D>,
    head_lsn: u64,
    archived: u64,
) -> Result<(BlockArchive<D>, Option<Ahead>), StoreError> {
    let archive = BlockArchive::open_after(home, archived)?;
    let last_lsn = archive.head().lsn;
    if head_lsn == 0 && last_lsn > 0 {
        let reason = "it has no commits, but the archive holds their jobs".to_owned();
        return Err(StoreError::DamagedCommits { first_lsn: 1, last_lsn, file: "seg".to_owned(), reason });
    }
    let jobs = archive.drop_beyond(head_lsn)?.jobs;
    Ok((archive, (jobs > 0).then_some(Ahead { jobs, head_lsn, last_lsn })))
}

/// Blobs that were durable before a commit that never was.
fn drop_orphan_blobs(journal: &impl JournalHandle, state: &lineshaft_jobs::State) -> Result<(), StoreError> {
    let mut orphans = journal.blobs()?.into_iter().filter(|blob| !state.needs_blob(*blob));
    orphans.try_for_each(|blob| journal.drop_blob(blob))
}

fn put_together<D: Disk>(found: Found<D>, options: &Options, snapshot_writer: SnapshotWriter) -> Parts<D> {
    let Found { home, core, journal, archive, run, files } = found;
    let (inbox, inputs) = Inbox::new();
    let (large, large_inputs) = unbounded();
    let (asks, queries) = unbounded();
    let (batches, errands) = unbounded();
    let (to_compact, chores) = unbounded();
    let (leaves, leaving) = unbounded();
    let (to_keeper, logs_asked) = unbounded();
    let handle = journal.handle();
    let clock = options.clock.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let pulse = Arc::new(Pulse::new(Duration::from_millis(options.limits.lease_ms), clock.clone()));
    let returning = core.state().child_reports().map(|child| child.process).collect();
    let reader = Reader {
        journal: handle.clone(),
        archive: archive.clone(),
        deleted: Arc::clone(&core.deleted),
        clock: clock.clone(),
        engine: inbox.clone(),
        logs: to_keeper,
    };
    let keeper = LogKeeper::new(home, options.retention, clock.clone());
    let archiver = Archiver {
        journal: handle.clone(),
        archive,
        retention: options.retention,
        clock: clock.clone(),
        engine: inbox.clone(),
    };
    let compactor = Compactor {
        journal: handle.clone(),
        engine: inbox.clone(),
        bytes_per_second: options.upkeep.copy_bytes_per_second,
        stop: Arc::clone(&stop),
    };
    let cooler = Cooler { scratch: options.memory.scratch.clone(), engine: inbox.clone() };
    let started = clock.instant();
    let driver = Driver {
        core,
        head: journal.head(),
        payloads: handle.clone(),
        journal,
        run,
        queries: asks,
        batches,
        inputs,
        engine: inbox.clone(),
        snapshotting: false,
        snapshot_writer,
        sealed: false,
        committed_at: started,
        rests_until: started,
        turned_at: started,
        leased_since: None,
        failed: None,
        relief: Relief::new(clock.clone()),
        pulse: Arc::clone(&pulse),
        stop: Arc::clone(&stop),
        freed_blobs: VecDeque::new(),
        spill: Spill::new(
            options.memory.page_bytes,
            clock.clone(),
            cooler.scratch.is_some().then_some(leaves),
        ),
        sweep: Sweep::new(options.upkeep.sweep_every, clock.clone(), large.clone()),
        snapshot_every: options.upkeep.snapshot_every_bytes,
        compaction: Compaction::new(options.upkeep, clock.clone(), to_compact, files),
        returning,
        look_at: started,
        clock,
    };
    Parts {
        driver,
        journal: handle,
        inbox,
        large,
        pulse,
        stop,
        reader,
        queries,
        archiver,
        errands,
        compactor,
        chores,
        large_inputs,
        cooler,
        leaving,
        keeper,
        logs_asked,
    }
}

/// Starts the threads.
fn start<D: Disk>(parts: Parts<D>) -> Result<Handle, Error> {
    let Parts { driver, journal, inbox, large, pulse, stop, .. } = parts;
    let (reader, queries) = (parts.reader, parts.queries);
    let (archiver, errands) = (parts.archiver, parts.errands);
    let (compactor, chores) = (parts.compactor, parts.chores);
    let (cooler, leaving) = (parts.cooler, parts.leaving);
    let (keeper, logs_asked) = (parts.keeper, parts.logs_asked);
    let (blobs, large_inputs, engine) = (journal.clone(), parts.large_inputs, inbox.clone());
    let others = vec![
        spawn("lineshaft-reader", move || reader.run(&queries))?,
        spawn("lineshaft-archiver", move || archiver.run(&errands))?,
        spawn("lineshaft-compactor", move || compactor.run(&chores))?,
        spawn("lineshaft-logs", move || keeper.run(&logs_asked))?,
        spawn("lineshaft-cooler", move || cooler.run(&leaving))?,
        spawn("lineshaft-blobs", move || store_blobs(&blobs, &large_inputs, &engine))?,
    ];
    let turns = Arc::new(Turns::new(driver, Arc::clone(inbox.bell())));
    let taken = Arc::clone(&turns);
    let engine = spawn("lineshaft-engine", move || taken.run())?;
    Ok(Handle {
        inbox,
        turns,
        large,
        payloads: Payloads::new(journal),
        pulse,
        stop,
        connections: Arc::new(AtomicU64::new(0)),
        threads: Arc::new(Mutex::new(Some(Threads { engine, others }))),
    })
}

pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(Error::Thread)
}
