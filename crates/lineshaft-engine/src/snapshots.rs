//! Snapshots of the state, written beside the engine: its thread gives away what changed and goes on.

use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use lineshaft_jobs::{ChangedPage, SnapshotDraft};
use lineshaft_store::{Appended, Error as StoreError, Journal, JournalHandle, NewSnapshot};

use crate::Error;
use crate::driver::Driver;
use crate::handle::Input;
use crate::kept_snapshots::Taken;
use crate::open::spawn;

/// Bytes of a queued job in a page, about.
const ROW_BYTES: u64 = 32;

/// Writes one snapshot.
pub(crate) type Writing = Box<dyn FnOnce() + Send>;

/// Who writes snapshots.
pub(crate) enum SnapshotWriter {
    /// A thread for each; the newest is kept.
    Threads(Option<JoinHandle<()>>),
    /// Whoever takes the engine's turns.
    Stepper(Sender<Writing>),
}

impl SnapshotWriter {
    fn write(&mut self, writing: Writing) -> Result<(), Error> {
        match self {
            Self::Threads(newest) => *newest = Some(spawn("lineshaft-snapshot", writing)?),
            // A stepper that is gone takes no further turn either.
            Self::Stepper(writings) => drop(writings.send(writing)),
        }
        Ok(())
    }

    /// Waits for the newest one.
    pub(crate) fn join(&mut self) {
        if let Self::Threads(newest) = self {
            newest.take().map(JoinHandle::join);
        }
    }
}

impl<J: Journal> Driver<J> {
    /// Begins a snapshot when the journal since the last one is worth it: four times what it would write.
    pub(crate) fn snapshot_if_due(&mut self) -> Result<(), Error> {
        let is_long = self.run.since_snapshot >= self.snapshot_every;
        let is_due = || is_long && self.run.since_snapshot >= 4 * self.snapshot_bytes();
        if self.snapshotting || !(is_due() || self.is_snapshot_urgent()) {
            return Ok(());
        }
        self.journal.sync()?;
        let draft = self.core.begin_snapshot();
        self.run.since_snapshot = 0;
        let taken = Taken::of(self.core.state(), self.head.lsn);
        self.compaction.snapshot_taken(&self.core, taken.lsn);
        self.snapshotting = true;
        let (handle, engine, head) = (self.payloads.clone(), self.engine.clone(), self.head);
        self.snapshot_writer.write(Box::new(move || {
            let result = put_snapshot(&handle, head, draft).map(|_| taken);
            drop(handle);
            engine.send(Input::SnapshotDone { result });
        }))
    }

    /// What a snapshot would write now, about.
    pub(crate) fn snapshot_bytes(&self) -> u64 {
        self.core.state().changed_rows() * ROW_BYTES
    }

    pub(crate) fn snapshot_done(&mut self, result: Result<Taken, StoreError>) {
        self.snapshotting = false;
        self.core.end_snapshot(result.is_ok());
        self.relief.snapshot_done();
        self.spill.snapshot_done();
        if let Err(error) = result.and_then(|taken| self.trim(taken)) {
            tracing::error!(%error, "a snapshot failed; the journal is kept until one succeeds");
        }
    }

    fn trim(&mut self, taken: Taken) -> Result<(), StoreError> {
        self.run.snapshots.published(taken);
        self.compaction.drop_dead(self.run.snapshots.past_lsn());
        self.journal.trim(self.run.snapshots.trim_below())
    }
}

/// Encodes a snapshot of the state at `head` page by page and publishes it; gives the bytes written.
pub fn put_snapshot(
    handle: &impl JournalHandle,
    head: Appended,
    draft: SnapshotDraft,
) -> Result<u64, StoreError> {
    let SnapshotDraft { tables, pages, changed } = draft;
    let changed = Box::new(changed.into_iter().map(ChangedPage::encode));
    handle.put_snapshot(NewSnapshot { lsn: head.lsn, crc: head.crc, tables: &tables, pages: &pages, changed })
}
