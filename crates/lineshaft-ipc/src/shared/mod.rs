//! The page that a supervisor shares with one child, and that outlives the child.
//!
//! The child marks each attempt when its body begins and when it ended, and keeps what the attempt prints here; the
//! supervisor asks attempts to stop. So after a SIGKILL the supervisor knows which of the leases the child held had
//! begun, how long the last one ran and what it said. None of it costs a system call.
//!
//! **When has an attempt begun?** At one instant: the store of the count in [`AttemptPage::begin`]. The entry with
//! fence and times is written before it, to a place no reader looks at yet; the body runs after it. A child killed
//! before that store has not begun the attempt and ran none of it; a child killed after it has, even if the body's
//! first line never ran. There is no state between, and so no reader ever waits for a writer that may be dead. This
//! is why the marks are a ring and not a pair guarded by a sequence lock: a child that dies inside such a lock
//! leaves it odd for good.
//!
//! Each field has one writing process. Nothing in the page is trusted: whatever a child scribbles over it, reading
//! gives wrong answers at worst, never a panic, an endless loop or memory outside the page.
#![allow(unsafe_code)] // The mapping: one cast of its address to a type made of atomics.

mod output;
#[cfg(test)]
mod race;
mod ring;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};

use self::output::Output;
use self::ring::Ring;
use crate::fd::set_cloexec;
use crate::{Error, Result};

pub use self::output::{HEAD_BYTES, OUTPUT_BYTES_MAX, TAIL_BYTES};

/// Newest begun attempts that a page remembers for [`AttemptPage::has_begun`]; a child may hold as many leases.
pub const BEGUN_KEPT: usize = BEGINS - 1;

/// Newest requests to stop that a page remembers. An older one is forgotten: the child will not see it any more, and
/// the supervisor's escalation to signals has to do.
pub const STOPS_KEPT: usize = STOPS - 1;

const BEGINS: usize = 1_024;
const STOPS: usize = 64;

/// Says that this is a page, and of which layout: the last byte changes with it.
const MAGIC: u64 = u64::from_be_bytes(*b"lnshaft\x01");

/// An attempt's token; the same two numbers as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The start of the engine that gave the lease.
    pub epoch: u64,
    /// The number of the lease within the epoch.
    pub counter: u64,
}

/// An attempt that a child marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The attempt.
    pub fence: Fence,
    /// When its body began, in milliseconds of the host's monotonic clock (the same in every process).
    pub started_ms: u64,
    /// How long it may run, in milliseconds; 0 for as long as it likes.
    pub timeout_ms: u64,
    /// How many attempts the child had begun with this one.
    pub count: u64,
    /// What the child noted beside it; means nothing here.
    pub note: Note,
}

/// Words that a child notes beside an attempt for its supervisor, such as whom the attempt belongs to.
pub type Note = [u64; 4];

/// Why an attempt is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum StopReason {
    /// Somebody cancelled the job.
    Cancelled = 1,
    /// It ran longer than its timeout.
    TimedOut = 2,
    /// Its lease could not be renewed and may go to another worker.
    LeaseLost = 3,
    /// The worker goes down and its grace is over.
    Shutdown = 4,
}

impl StopReason {
    /// A number that this version does not know asks to stop all the same.
    fn from_number(number: u64) -> Self {
        match number {
            2 => Self::TimedOut,
            3 => Self::LeaseLost,
            4 => Self::Shutdown,
            _ => Self::Cancelled,
        }
    }
}

/// What lies in the shared memory. Only atomics, all zero at first.
#[repr(C)]
struct Page {
    magic: AtomicU64,
    /// Written by the supervisor: fence and reason.
    stops: Ring<STOPS>,
    /// Written by the child: fence, start, timeout and note.
    begins: Ring<BEGINS>,
    /// Written by the child: the count of the newest begun attempt that ended.
    ended: AtomicU64,
    /// Written by the child: grows while it is well.
    beats: AtomicU64,
    /// Written by the child.
    output: Output,
}

/// One child's page, mapped in this process.
///
/// The supervisor [creates](Self::create) it and passes the descriptor on; the child opens it
/// [from the descriptor](Self::from_fd). About 140 KiB, of which memory is taken as it is touched.
#[derive(Debug)]
pub struct AttemptPage {
    fd: OwnedFd,
    mapping: MmapRaw,
    /// Threads of this process take turns at stops and output; other processes write neither of the same.
    turn: Mutex<()>,
}

impl AttemptPage {
    /// A new page, empty, in anonymous memory; its descriptor closes on exec until it is passed on
    /// (`lineshaft_ipc::fd::inherit`).
    pub fn create() -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("lineshaft-attempts", flags).map_err(Error::os("create an attempt page"))?;
        ftruncate(&fd, size_of::<Page>() as u64).map_err(Error::os("size an attempt page"))?;
        // Nobody may shrink it: touching the missing part would kill the supervisor.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&fd, seals).map_err(Error::os("seal an attempt page"))?;
        let page = Self::map(fd)?;
        page.page().magic.store(MAGIC, Ordering::Release);
        Ok(page)
    }

    /// The page behind a descriptor that the supervisor passed on; it closes on exec from here on.
    ///
    /// [`Error::BadPage`] if it is something else, or made by another version.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        set_cloexec(&fd, true)?;
        let found = fstat(&fd).map_err(Error::os("look at an attempt page"))?.st_size;
        if usize::try_from(found) != Ok(size_of::<Page>()) {
            return Err(bad_page(format!("it has {found} bytes, expected {}", size_of::<Page>())));
        }
        if !fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK)) {
            return Err(bad_page("it is not sealed memory".to_owned()));
        }
        let page = Self::map(fd)?;
        match page.page().magic.load(Ordering::Acquire) {
            MAGIC => Ok(page),
            other => Err(bad_page(format!("it begins with {other:#018x}, expected {MAGIC:#018x}"))),
        }
    }

    fn map(fd: OwnedFd) -> Result<Self> {
        let file = File::from(fd);
        let mapping = MmapOptions::new().len(size_of::<Page>()).map_raw(&file);
        let mapping = mapping.map_err(Error::os("map an attempt page"))?;
        Ok(Self { fd: file.into(), mapping, turn: Mutex::new(()) })
    }

    #[allow(clippy::cast_ptr_alignment)] // A mapping starts at a memory page.
    fn page(&self) -> &Page {
        // SAFETY: the mapping is `size_of::<Page>()` bytes of readable and writable memory, aligned to a memory page,
        // and lives as long as `self`; the file is sealed against shrinking, so all of it stays there. `Page` consists
        // of atomics only, for which every bit pattern is a value and which may be written by others meanwhile.
        unsafe { &*self.mapping.as_mut_ptr().cast::<Page>() }
    }

    // ---- The child's side.

    /// Marks that the body of an attempt begins now; call it last before the body. `note` is published with the mark,
    /// all or nothing. An attempt not [ended](Self::end) before counts as ended. A few nanoseconds.
    ///
    /// One thread of one process at a time.
    pub fn begin(&self, fence: Fence, started_ms: u64, timeout_ms: u64, note: Note) {
        let [a, b, c, d] = note;
        self.page().begins.push([fence.epoch, fence.counter, started_ms, timeout_ms, a, b, c, d]);
    }

    /// Marks that the attempt's body is over. It stays [begun](Self::has_begun) and [last](Self::last_begun).
    pub fn end(&self) {
        let page = self.page();
        page.ended.store(page.begins.count(), Ordering::Release);
    }

    /// Whether, and why, the supervisor asked this attempt to stop; of several requests, the newest counts. A
    /// nanosecond as long as no stop was ever asked for, later up to a tenth of a microsecond.
    pub fn stop_requested(&self, fence: Fence) -> Option<StopReason> {
        let stop = self.page().stops.find(|words| is_of(words, fence))?;
        Some(StopReason::from_number(stop[2]))
    }

    /// Says that the child is well; the first beat says that it is ready. Any thread.
    pub fn beat(&self) {
        self.page().beats.fetch_add(1, Ordering::Release);
    }

    /// Adds to the output of the present attempt. Kept are its first [`HEAD_BYTES`] and last [`TAIL_BYTES`]. Any
    /// thread of the child, but not of what it forks.
    pub fn append_output(&self, bytes: &[u8]) {
        let _turn = self.turn();
        self.page().output.append(bytes);
    }

    /// Forgets the output, for the next attempt. Call it before [`Self::begin`], or a kill in between gives the next
    /// attempt the words of the last.
    pub fn reset_output(&self) {
        let _turn = self.turn();
        self.page().output.reset();
    }

    // ---- The supervisor's side.

    /// Asks an attempt to stop, begun or not: the child meets the request when it gets there. Any thread.
    pub fn request_stop(&self, fence: Fence, reason: StopReason) {
        let _turn = self.turn();
        self.page().stops.push([fence.epoch, fence.counter, reason as u64, 0, 0, 0, 0, 0]);
    }

    /// The attempt whose body runs, or ran when the child died.
    pub fn begun(&self) -> Option<Begun> {
        let last = self.last_begun()?;
        (self.page().ended.load(Ordering::Acquire) != last.count).then_some(last)
    }

    /// The newest attempt that the child began, over or not.
    pub fn last_begun(&self) -> Option<Begun> {
        let (count, [epoch, counter, started_ms, timeout_ms, note @ ..]) = self.page().begins.newest()?;
        Some(Begun { fence: Fence { epoch, counter }, started_ms, timeout_ms, count, note })
    }

    /// Whether the child began this attempt, over or not: only then may it have had effects. For a dead child this
    /// answers for certain, as long as it did not begin more than [`BEGUN_KEPT`] attempts since. Microseconds.
    pub fn has_begun(&self, fence: Fence) -> bool {
        self.page().begins.find(|words| is_of(words, fence)).is_some()
    }

    /// How often the child said that it is well; 0 until it is ready.
    pub fn beats(&self) -> u64 {
        self.page().beats.load(Ordering::Acquire)
    }

    // ---- Either side.

    /// The output of the present attempt, at most [`OUTPUT_BYTES_MAX`]; where bytes were left out, a line says how
    /// many. A consistent moment even while the child writes or after it died writing (then at most 4 KiB of the
    /// oldest or newest kept bytes are missing).
    pub fn read_output(&self) -> Vec<u8> {
        self.page().output.read()
    }

    /// How many bytes the present attempt printed, kept or not.
    pub fn output_bytes(&self) -> u64 {
        self.page().output.total()
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shared memory's descriptor, to be passed to the child.
impl AsFd for AttemptPage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn is_of(words: &[u64; 8], fence: Fence) -> bool {
    words[0] == fence.epoch && words[1] == fence.counter
}

fn bad_page(reason: String) -> Error {
    Error::BadPage { reason }
}
