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

use super::commit;
use super::reserve::Reserve;
use super::segment::{self, DIRECTORY, Segment, SegmentHeader};
use crate::disk::{Disk, DiskFile, OpenMode, join};
use crate::home::check_free;
use crate::{Error, Home, Shortage};

/// Files kept for another use; further ones are removed.
pub(crate) const SPARES_MAX: usize = 2;
/// Zeros written between two syncs, so that a commit never waits behind much of them.
const FILL_BYTES: usize = 1 << 20;
/// How soon preparing is tried again after the disk was full.
const RETRY: Duration = Duration::from_secs(1);
/// A segment takes at most this part of what is free, so that several fit and the oldest ones can go.
const FREE_SHARE: u64 = 8;
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
    /// It could not be made; most likely the disk is full, and lacks this.
    Failed(Option<Shortage>),
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

/// Size of the segment after one of `tail_bytes`: twice as large, but of a small disk only a part.
pub(crate) fn next_bytes(tail_bytes: u64, free_bytes: u64, first: u64, max: u64) -> u64 {
    let share = (free_bytes / FREE_SHARE).next_multiple_of(commit::ALIGNMENT);
    (2 * tail_bytes).min(share).clamp(first, max)
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
    home: Home<D>,
    reserve: Arc<Reserve<D>>,
    slot: Mutex<Slot<D::File>>,
    changed: Condvar,
    /// Names of files in `seg/` that may be used again.
    spares: Mutex<Vec<String>>,
    stopping: AtomicBool,
    /// A segment could not be cleared away, so no later one may be: they leave in order.
    stuck: AtomicBool,
    /// The last segment could not be made for want of space: nothing is kept for another use.
    tight: AtomicBool,
}

impl<D: Disk> Preparer<D> {
    pub(crate) fn new(
        home: &Home<D>,
        reserve: Arc<Reserve<D>>,
        spares: Vec<String>,
        background: bool,
    ) -> Result<Self, Error> {
        let workshop = Arc::new(Workshop {
            disk: home.disk().clone(),
            home: home.clone(),
            reserve,
            slot: Mutex::new(Slot::Empty),
            changed: Condvar::new(),
            spares: Mutex::new(spares),
            stopping: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            tight: AtomicBool::new(false),
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
            Slot::Failed(Error::Full { needed_bytes, free_bytes: Some(free_bytes) }, _) => {
                Readiness::Failed(Some(Shortage { needed_bytes: *needed_bytes, free_bytes: *free_bytes }))
            }
            Slot::Failed(..) => Readiness::Failed(None),
            Slot::Empty | Slot::Working => Readiness::Working,
        }
    }

    /// Waits until it is there or has failed.
    pub(crate) fn wait(&self) -> Readiness {
        drop(self.settled());
        self.state()
    }

    /// The slot once nothing is on its way into it, or never will be.
    fn settled(&self) -> MutexGuard<'_, Slot<D::File>> {
        let mut slot = self.workshop.slot();
        while matches!(*slot, Slot::Working) {
            if self.thread.as_ref().is_none_or(|thread| thread.handle.is_finished()) {
                break;
            }
            let waited = self.workshop.changed.wait_timeout(slot, RETRY);
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        slot
    }

    /// The requested segment, waiting for it if need be. After an error, request it again.
    pub(crate) fn take(&self) -> Result<Prepared<D::File>, Error> {
        let mut slot = self.settled();
        if matches!(*slot, Slot::Working) {
            return Err(Error::Poisoned);
        }
        match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Ready(prepared) => Ok(prepared),
            Slot::Failed(error, _) => Err(error),
            Slot::Empty | Slot::Working => unreachable!("a segment is requested before it is taken"),
        }
    }

    /// The reserve as a segment, if there is one with room for `least_bytes`: only after [`Preparer::take`] failed.
    pub(crate) fn take_reserve(
        &self,
        header: SegmentHeader,
        least_bytes: u64,
    ) -> Result<Option<Prepared<D::File>>, Error> {
        let Some(reserve) = self.workshop.reserve.take(least_bytes) else { return Ok(None) };
        let path = segment::path(header.number);
        let prepared = self.workshop.name_segment(header, &reserve, &path);
        prepared.map(Some).map_err(Error::io("prepare", &path, 0))
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
        let result = self.prepare(wanted, &path);
        let was_tight = self.tight.swap(result.is_err(), Ordering::Relaxed);
        let is_ready = result.is_ok();
        *self.slot() = match result {
            Ok(prepared) => Slot::Ready(prepared),
            Err(error) => {
                if !was_tight {
                    tracing::warn!(%error, "cannot prepare the next segment");
                }
                Slot::Failed(error, Instant::now())
            }
        };
        self.changed.notify_all();
        if is_ready && let Err(error) = self.make_reserve() {
            tracing::debug!(%error, "there is no room for a reserve now");
        }
    }

    fn make_reserve(&self) -> io::Result<()> {
        self.reserve.make(|path, bytes| {
            self.home.check_room(bytes).map_err(|_| io::Error::from(io::ErrorKind::StorageFull))?;
            self.fill(path, bytes)
        })
    }

    fn prepare(&self, wanted: Wanted, path: &str) -> Result<Prepared<D::File>, Error> {
        let failed = |error| Error::io("prepare", path, wanted.bytes)(error);
        let temporary = match self.spare(wanted).map_err(failed)? {
            Some(spare) => spare,
            None => {
                let kept_bytes = self.reserve.missing_bytes() + self.home.room_bytes();
                check_free(&self.disk, wanted.bytes + kept_bytes)?;
                let temporary = format!("{path}.tmp");
                self.fill(&temporary, wanted.bytes).map_err(failed)?;
                temporary
            }
        };
        self.name_segment(wanted.header, &temporary, path).map_err(failed)
    }

    /// Makes the file at `from` the segment at `path`.
    fn name_segment(&self, header: SegmentHeader, from: &str, path: &str) -> io::Result<Prepared<D::File>> {
        let file = self.disk.open(from, OpenMode::Write)?;
        file.write_all_at(0, &header.encode())?;
        file.sync_data()?;
        let bytes = file.length()?;
        self.disk.rename(from, path)?;
        self.disk.sync_dir(DIRECTORY)?;
        Ok(Prepared { header, file, bytes })
    }

    /// The path of a file with enough space that is not in use, if there is one.
    fn spare(&self, wanted: Wanted) -> io::Result<Option<String>> {
        self.drop_spares_for_room()?;
        while let Some(name) = self.spares().pop() {
            let spare = join(DIRECTORY, &name);
            let bytes = self.disk.open(&spare, OpenMode::Read)?.length()?;
            // A file grown by one huge commit would keep its size for ever.
            if (wanted.bytes..=wanted.bytes_max).contains(&bytes) {
                return Ok(Some(spare));
            }
            self.disk.remove_file(&spare)?;
        }
        Ok(None)
    }

    /// Where the disk has less than what is left to others, files without a use are the first to go.
    fn drop_spares_for_room(&self) -> io::Result<()> {
        while self.disk.free_bytes()? < self.home.room_bytes() {
            let Some(name) = self.spares().pop() else { return Ok(()) };
            self.disk.remove_file(&join(DIRECTORY, &name))?;
        }
        Ok(())
    }

    fn fill(&self, path: &str, bytes: u64) -> io::Result<()> {
        let filled = self.try_fill(path, bytes);
        if filled.is_err() {
            // The error that matters is the one above.
            let _ = self.disk.remove_file(path);
        }
        filled
    }

    fn try_fill(&self, path: &str, bytes: u64) -> io::Result<()> {
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
        let is_tight = self.tight.load(Ordering::Relaxed);
        if pinned || is_tight || self.spares().len() >= SPARES_MAX {
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

#[cfg(test)]
mod tests {
    use super::next_bytes;

    #[test]
    fn segments_double_but_take_a_part_of_a_small_disk_only() {
        const MIB: u64 = 1 << 20;
        let check = |tail, free, expected| assert_eq!(next_bytes(tail, free, 4 * MIB, 64 * MIB), expected);
        check(MIB / 4, 1_000 * MIB, 4 * MIB);
        check(4 * MIB, 1_000 * MIB, 8 * MIB);
        check(64 * MIB, 1_000 * MIB, 64 * MIB);
        check(32 * MIB, 80 * MIB, 10 * MIB);
        check(32 * MIB, 0, 4 * MIB);
    }
}
