//! Segments made ahead of time: zero-filled or used again, synced and named before the writer needs them.
//!
//! Zeros are written for real: a sync onto space that was only reserved has to change the file system's books, which
//! costs twice as much. The work is done by a thread, or by the caller where [`Options::background`] is off.
//!
//! [`Options::background`]: crate::Options::background

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::segment::{self, DIRECTORY, Segment, SegmentHeader};
use crate::Error;
use crate::disk::{Disk, DiskFile, OpenMode, join};

/// Files kept for another use; further ones are removed.
pub(crate) const SPARES_MAX: usize = 2;
/// Left free on the disk by preparing (four segments where they are small): the archive, snapshots and everybody
/// else need some.
const FREE_BYTES_MAX: u64 = 16 << 20;
/// Zeros written between two syncs, so that a commit never waits behind much of them.
const FILL_BYTES: usize = 1 << 20;
/// How soon preparing is tried again after the disk was full.
const RETRY: Duration = Duration::from_secs(1);
/// Chores that may wait; the writer waits beyond that.
const CHORES_MAX: usize = 16;

/// A segment to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) header: SegmentHeader,
    pub(crate) bytes: u64,
    /// A spare may be larger than wanted, up to this.
    pub(crate) bytes_max: u64,
}

/// A segment without commits, durable under its name.
#[derive(Debug)]
pub(crate) struct Prepared<F> {
    pub(crate) header: SegmentHeader,
    pub(crate) file: F,
    pub(crate) bytes: u64,
}

/// How far the next segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It has this many bytes.
    Ready(u64),
    /// It is being made.
    Working,
    /// It could not be made; most likely the disk is full.
    Failed,
}

enum Chore<F> {
    Prepare(Wanted),
    Retire(Vec<Arc<Segment<F>>>),
}

enum Slot<F> {
    Empty,
    Working,
    Ready(Prepared<F>),
    Failed(Error, Instant),
}

/// Makes the next segment and clears away old ones.
pub(crate) struct Preparer<D: Disk> {
    workshop: Arc<Workshop<D>>,
    thread: Option<Thread<D>>,
}

struct Thread<D: Disk> {
    chores: SyncSender<Chore<D::File>>,
    handle: JoinHandle<()>,
}

struct Workshop<D: Disk> {
    disk: D,
    slot: Mutex<Slot<D::File>>,
    changed: Condvar,
    /// Names of files in `seg/` that may be used again.
    spares: Mutex<Vec<String>>,
    stopping: AtomicBool,
    /// A segment could not be cleared away, so no later one may be: they leave in order.
    stuck: AtomicBool,
}

impl<D: Disk> Preparer<D> {
    pub(crate) fn new(disk: D, spares: Vec<String>, background: bool) -> Result<Self, Error> {
        let workshop = Arc::new(Workshop {
            disk,
            slot: Mutex::new(Slot::Empty),
            changed: Condvar::new(),
            spares: Mutex::new(spares),
            stopping: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
        });
        let thread = if background { Some(start(&workshop)?) } else { None };
        Ok(Self { workshop, thread })
    }

    /// Asks for the next segment; [`Preparer::take`] has it once it is ready.
    pub(crate) fn request(&self, wanted: Wanted) {
        *self.workshop.slot() = Slot::Working;
        self.give(Chore::Prepare(wanted));
    }

    /// Lets go of segments that are no longer needed, oldest first.
    pub(crate) fn retire(&self, segments: Vec<Arc<Segment<D::File>>>) {
        self.give(Chore::Retire(segments));
    }

    /// Whether the last request failed and it is time to ask again.
    pub(crate) fn should_retry(&self) -> bool {
        match &*self.workshop.slot() {
            Slot::Failed(_, since) => self.thread.is_none() || since.elapsed() >= RETRY,
            _ => false,
        }
    }

    /// How far the next segment is.
    pub(crate) fn state(&self) -> Readiness {
        match &*self.workshop.slot() {
            Slot::Ready(prepared) => Readiness::Ready(prepared.bytes),
            Slot::Failed(..) => Readiness::Failed,
            Slot::Empty | Slot::Working => Readiness::Working,
        }
    }

    /// The requested segment, waiting for it if need be. After an error, request it again.
    pub(crate) fn take(&self) -> Result<Prepared<D::File>, Error> {
        let mut slot = self.workshop.slot();
        while matches!(*slot, Slot::Working) {
            if self.thread.as_ref().is_none_or(|thread| thread.handle.is_finished()) {
                return Err(Error::Poisoned);
            }
            let waited = self.workshop.changed.wait_timeout(slot, RETRY);
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Ready(prepared) => Ok(prepared),
            Slot::Failed(error, _) => Err(error),
            Slot::Empty | Slot::Working => unreachable!("a segment is requested before it is taken"),
        }
    }

    fn give(&self, chore: Chore<D::File>) {
        match &self.thread {
            // A thread that is gone is noticed by `take`.
            Some(thread) => drop(thread.chores.send(chore)),
            None => self.workshop.run(chore),
        }
    }
}

impl<D: Disk> Drop for Preparer<D> {
    fn drop(&mut self) {
        self.workshop.stopping.store(true, Ordering::Relaxed);
        if let Some(Thread { chores, handle }) = self.thread.take() {
            drop(chores);
            // It panicked only if a bug made it; that was reported where it happened.
            let _ = handle.join();
        }
    }
}

fn start<D: Disk>(workshop: &Arc<Workshop<D>>) -> Result<Thread<D>, Error> {
    let (chores, queue): (_, Receiver<Chore<D::File>>) = sync_channel(CHORES_MAX);
    let workshop = Arc::clone(workshop);
    let handle = std::thread::Builder::new()
        .name("segments".to_owned())
        .spawn(move || queue.into_iter().for_each(|chore| workshop.run(chore)))
        .map_err(Error::io("start the thread for", DIRECTORY, 0))?;
    Ok(Thread { chores, handle })
}

impl<D: Disk> Workshop<D> {
    fn slot(&self) -> MutexGuard<'_, Slot<D::File>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spares(&self) -> MutexGuard<'_, Vec<String>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, chore: Chore<D::File>) {
        match chore {
            Chore::Prepare(wanted) => self.prepare_into_slot(wanted),
            Chore::Retire(segments) => {
                for segment in segments {
                    self.retire(segment);
                }
            }
        }
    }

    fn prepare_into_slot(&self, wanted: Wanted) {
        let path = segment::path(wanted.header.number);
        let result = self.prepare(wanted, &path).map_err(Error::io("prepare", &path, wanted.bytes));
        *self.slot() = match result {
            Ok(prepared) => Slot::Ready(prepared),
            Err(error) => {
                tracing::warn!(%error, "cannot prepare the next segment");
                Slot::Failed(error, Instant::now())
            }
        };
        self.changed.notify_all();
    }

    fn prepare(&self, wanted: Wanted, path: &str) -> io::Result<Prepared<D::File>> {
        let temporary = self.spare_or_filled(wanted, path)?;
        let file = self.disk.open(&temporary, OpenMode::Write)?;
        file.write_all_at(0, &wanted.header.encode())?;
        file.sync_data()?;
        let bytes = file.length()?;
        self.disk.rename(&temporary, path)?;
        self.disk.sync_dir(DIRECTORY)?;
        Ok(Prepared { header: wanted.header, file, bytes })
    }

    /// The path of a file with enough space that is not in use.
    fn spare_or_filled(&self, wanted: Wanted, path: &str) -> io::Result<String> {
        while let Some(name) = self.spares().pop() {
            let spare = join(DIRECTORY, &name);
            let bytes = self.disk.open(&spare, OpenMode::Read)?.length()?;
            // A file grown by one huge commit would keep its size for ever.
            if (wanted.bytes..=wanted.bytes_max).contains(&bytes) {
                return Ok(spare);
            }
            self.disk.remove_file(&spare)?;
        }
        let temporary = format!("{path}.tmp");
        if let Err(error) = self.fill(&temporary, wanted.bytes) {
            let _ = self.disk.remove_file(&temporary);
            return Err(error);
        }
        Ok(temporary)
    }

    fn fill(&self, path: &str, bytes: u64) -> io::Result<()> {
        if self.disk.free_bytes()? < bytes + FREE_BYTES_MAX.min(4 * bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.disk.open(path, OpenMode::Create)?;
        let zeros = vec![0; FILL_BYTES.min(bytes as usize)];
        let mut offset = 0;
        while offset < bytes {
            if self.stopping.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = (bytes - offset).min(zeros.len() as u64);
            file.write_all_at(offset, &zeros[..count as usize])?;
            file.sync_data()?;
            offset += count;
        }
        Ok(())
    }

    /// Takes a segment out of the row: kept as a spare if nobody reads it, else removed.
    fn retire(&self, segment: Arc<Segment<D::File>>) {
        let path = segment.path();
        if self.stuck.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.try_retire(segment, &path) {
            tracing::warn!(%error, path, "cannot clear away old segments before the next start");
            self.stuck.store(true, Ordering::Relaxed);
        }
    }

    fn try_retire(&self, segment: Arc<Segment<D::File>>, path: &str) -> io::Result<()> {
        let number = segment.header.number;
        let pinned = Arc::into_inner(segment).is_none();
        if pinned || self.spares().len() >= SPARES_MAX {
            self.disk.remove_file(path)?;
        } else {
            let name = spare_name(number);
            self.disk.rename(path, &join(DIRECTORY, &name))?;
            self.spares().push(name);
        }
        // Segments leave in order even through a crash: a gap in the row would look like damage.
        self.disk.sync_dir(DIRECTORY)
    }
}

/// What a segment file is called while it has no use.
pub(crate) fn spare_name(number: u64) -> String {
    format!("spare-{number:020}")
}
