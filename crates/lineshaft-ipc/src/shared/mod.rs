//! The page that a supervisor shares with one child, and that outlives the child.
//!
//! The child has a *place* in it for each of its slots. There it marks each lease that it takes up, when the body begins
//! and when it ended; the supervisor asks attempts to stop. What attempts print is kept here too. So after a SIGKILL the
//! supervisor knows which of the leases the child held had begun, how long they ran and what they said. None of it costs
//! a system call.
//!
//! **When has an attempt begun?** At one instant: the store of its number in [`AttemptPage::begin`]. Fence and times are
//! written before it, where no reader looks yet; the body runs after it. A child killed before that store has not begun
//! the attempt and ran none of it; a child killed after it has, even if the body's first line never ran. There is no
//! state between, and so no reader ever waits for a writer that may be dead. This is why there is no lock of any kind,
//! not even a sequence lock: a child that dies inside one leaves it closed for good.
//!
//! Each field has one writing process, but for requests to stop, which only grow. Nothing in the page is trusted:
//! whatever a child scribbles over it, reading gives wrong answers at worst, never a panic, an endless loop or memory
//! outside the page.
#![allow(unsafe_code)] // The mapping: one cast of its address to a type made of atomics, one that the kernel fills.

mod atomics;
mod backlog;
mod landing;
#[cfg(all(test, model))]
mod model;
mod output;
mod place;
#[cfg(all(test, not(model)))]
mod race;
mod words;

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};

use self::atomics::{AtomicU8, AtomicU64};
use self::output::Output;
use self::place::Place;
use self::words::{CELLS, Cell};
use crate::fd::set_cloexec;
use crate::{Error, Result};

pub use self::backlog::{BACKLOG_BYTES, Backlog, DRAFT_BYTES, DRAFTS, Waiting};
pub use self::output::{HEAD_BYTES, OUTPUT_BYTES_MAX, TAIL_BYTES};
pub use self::words::{Cursor, Words, Writer};

/// Most slots of one child.
pub const SLOTS_MAX: u32 = 16_384;

/// Says that this is a page, and of which layout: the last byte changes with it.
const MAGIC: u64 = u64::from_be_bytes(*b"lnshaft\x06");

/// An attempt's token; the same two numbers as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The start of the engine that gave the lease.
    pub epoch: u64,
    /// The number of the lease within the epoch.
    pub counter: u64,
}

/// An attempt whose body runs, or ran when the child died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The slot, from 0.
    pub place: u32,
    /// The attempt.
    pub fence: Fence,
    /// When its body began, in milliseconds of the host's monotonic clock (the same in every process).
    pub started_ms: u64,
    /// How long it may run, in milliseconds; 0 for as long as it likes.
    pub timeout_ms: u64,
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

/// What lies in the shared memory before the places, which the output or the words follow. Only atomics, all zero at first.
#[repr(C, align(128))]
struct Header {
    magic: AtomicU64,
    /// Written by the child: places that it ever used.
    used: AtomicU64,
    /// Written by the child: attempts that it ever began.
    begins: AtomicU64,
    /// Written by the child: grows while it is well.
    beats: AtomicU64,
    /// Written by the supervisor: it ends the child for the sake of an attempt, or of the worker.
    ending: AtomicU64,
    /// Written by the child: ends that nobody has confirmed to it.
    unsettled: AtomicU64,
    /// Written by the child: bytes of memory that it had when it was ready.
    baseline: AtomicU64,
    /// Written by the child: it has taken so much more by now that it takes no more jobs.
    worn: AtomicU64,
    /// Written by the child: since when it has a job in hand, a free slot for it and does not begin it, in milliseconds of
    /// the host's monotonic clock; 0 while that is not so.
    offered_ms: AtomicU64,
}

/// One child's page, mapped in this process.
///
/// The supervisor [creates](Self::create) it and passes the descriptor on; the child opens it
/// [from the descriptor](Self::from_fd). 128 bytes per slot, and 80 KiB for the output of the
/// only slot or 4 MiB for the [`Words`] of many, of which memory is taken as it is touched.
#[derive(Debug)]
pub struct AttemptPage {
    fd: OwnedFd,
    mapping: MmapRaw,
    slots: u32,
    /// Threads of this process take turns at the output; other processes do not write it meanwhile.
    turn: Mutex<()>,
}

impl AttemptPage {
    /// A new page for a child with so many slots, empty, in anonymous memory; its descriptor closes on exec until it is
    /// passed on (`lineshaft_ipc::fd::inherit`).
    ///
    /// # Panics
    ///
    /// Unless there are 1 to [`SLOTS_MAX`] slots.
    pub fn create(slots: u32) -> Result<Self> {
        assert!((1..=SLOTS_MAX).contains(&slots), "{slots} slots");
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("lineshaft-attempts", flags).map_err(Error::os("create an attempt page"))?;
        ftruncate(&fd, bytes_of(slots) as u64).map_err(Error::os("size an attempt page"))?;
        // Nobody may shrink it: touching the missing part would kill the supervisor.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&fd, seals).map_err(Error::os("seal an attempt page"))?;
        let page = Self::map(fd, slots)?;
        page.header().magic.store(MAGIC, Ordering::Release);
        Ok(page)
    }

    /// The page behind a descriptor that the supervisor passed on; it closes on exec from here on.
    ///
    /// [`Error::BadPage`] if it is something else, or made by another version.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        set_cloexec(&fd, true)?;
        let found = fstat(&fd).map_err(Error::os("look at an attempt page"))?.st_size;
        let Some(slots) = usize::try_from(found).ok().and_then(slots_in) else {
            return Err(bad_page(format!("it has {found} bytes, expected {} or more", bytes_of(1))));
        };
        if !fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK)) {
            return Err(bad_page("it is not sealed memory".to_owned()));
        }
        let page = Self::map(fd, slots)?;
        match page.header().magic.load(Ordering::Acquire) {
            MAGIC => Ok(page),
            other => Err(bad_page(format!("it begins with {other:#018x}, expected {MAGIC:#018x}"))),
        }
    }

    fn map(fd: OwnedFd, slots: u32) -> Result<Self> {
        let file = File::from(fd);
        let mapping = MmapOptions::new().len(bytes_of(slots)).map_raw(&file);
        let mapping = mapping.map_err(Error::os("map an attempt page"))?;
        Ok(Self { fd: file.into(), mapping, slots, turn: Mutex::new(()) })
    }

    #[allow(clippy::cast_ptr_alignment)] // A mapping starts at a memory page.
    fn header(&self) -> &Header {
        // SAFETY: the mapping has at least `size_of::<Header>()` bytes of readable and writable memory, aligned to a
        // memory page, and lives as long as `self`; the file is sealed against shrinking, so all of it stays there.
        // `Header` consists of atomics only, for which every bit pattern is a value and which may be written by others
        // meanwhile.
        unsafe { &*self.mapping.as_mut_ptr().cast::<Header>() }
    }

    #[allow(clippy::cast_ptr_alignment)] // As above; the header's size is a multiple of a place's alignment.
    fn places(&self) -> &[Place] {
        let first = self.mapping.as_mut_ptr().wrapping_add(size_of::<Header>()).cast::<Place>();
        // SAFETY: as above: the mapping has `slots` places behind the header, made of atomics only, and the header's
        // size is a multiple of their alignment.
        unsafe { std::slice::from_raw_parts(first, self.slots as usize) }
    }

    #[allow(clippy::cast_ptr_alignment)] // As above; a place's size is a multiple of an output's alignment.
    fn output(&self) -> Option<&Output> {
        let output = self.mapping.as_mut_ptr().wrapping_add(bytes_before_texts(self.slots)).cast::<Output>();
        // SAFETY: as above: the mapping of a page with one slot has an output behind the place, made of atomics only, and
        // the sizes of header and place are multiples of its alignment.
        (self.slots == 1).then(|| unsafe { &*output })
    }

    #[allow(clippy::cast_ptr_alignment)] // As above.
    fn cells(&self) -> Option<&[Cell]> {
        let first = self.mapping.as_mut_ptr().wrapping_add(bytes_before_texts(self.slots)).cast::<Cell>();
        // SAFETY: as above: the mapping of a page with many slots has so many cells behind the places, made of atomics
        // only, and the sizes of header and place are multiples of their alignment.
        (self.slots > 1).then(|| unsafe { std::slice::from_raw_parts(first, CELLS) })
    }

    /// The places that the child ever used.
    fn used(&self) -> impl Iterator<Item = (u32, &Place)> {
        let used = usize::try_from(self.header().used.load(Ordering::Acquire)).unwrap_or(usize::MAX);
        (0..).zip(&self.places()[..used.min(self.slots as usize)])
    }

    /// Slots of the child.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    // ---- The child's side.

    /// Marks that a lease was taken up, to be run in slot `place`: whatever was there before is over. One thread at a
    /// time, in the order of the fences.
    ///
    /// # Panics
    ///
    /// If there is no such slot, as of the other functions that name one.
    pub fn take(&self, place: u32, fence: Fence) {
        self.place(place).take(fence);
        let used = &self.header().used;
        if used.load(Ordering::Relaxed) <= u64::from(place) {
            used.store(u64::from(place) + 1, Ordering::Release);
        }
    }

    /// Marks that the body of the lease taken up in slot `place` begins now; call it last before the body. `note` is
    /// published with the mark, all or nothing. A few nanoseconds. One thread per slot at a time.
    pub fn begin(&self, place: u32, started_ms: u64, timeout_ms: u64, note: Note) {
        self.header().begins.fetch_add(1, Ordering::Relaxed);
        self.place(place).begin(started_ms, timeout_ms, note);
    }

    /// Marks that the attempt in slot `place` is over, begun or not.
    pub fn end(&self, place: u32) {
        self.place(place).end();
    }

    /// Whether, and why, this attempt in slot `place` shall stop; of several reasons the weightiest, in the order of
    /// [`StopReason`]. A nanosecond.
    pub fn stop_requested(&self, place: u32, fence: Fence) -> Option<StopReason> {
        self.place(place).stop_requested(fence)
    }

    /// Says that the child is well; the first beat says that it is ready. Any thread.
    pub fn beat(&self) {
        self.header().beats.fetch_add(1, Ordering::Release);
    }

    /// Says how many ends the child has told and nobody has confirmed.
    pub fn set_unsettled(&self, count: u64) {
        self.header().unsettled.store(count, Ordering::Release);
    }

    /// Says how many bytes of memory the child has now that it is ready.
    pub fn set_baseline(&self, bytes: u64) {
        self.header().baseline.store(bytes, Ordering::Release);
    }

    /// Says that the child takes no more jobs, since it has taken so many bytes more.
    pub fn set_worn(&self, bytes: u64) {
        self.header().worn.store(bytes.max(1), Ordering::Release);
    }

    /// Says since when a job waits for a slot that is free, in milliseconds of the host's monotonic clock; 0 for none.
    pub fn set_offered(&self, since_ms: u64) {
        self.header().offered_ms.store(since_ms, Ordering::Release);
    }

    /// Adds to the output of the present attempt in the only slot; nothing where there are many, whose attempts have
    /// [`Self::words`]. Kept are its first [`HEAD_BYTES`] and last [`TAIL_BYTES`]. Any thread of the child, but not of
    /// what it forks.
    pub fn append_output(&self, bytes: &[u8]) {
        let _turn = self.turn();
        self.output().into_iter().for_each(|output| output.append(bytes));
    }

    /// Reads what the present attempt in the only slot has written to `pipe` and adds it to its output, as
    /// [`Self::append_output`]; what was read is in `buffer`, in place of what was there, and 0 says that nobody can
    /// write any more. A kill at any instant loses nothing: see [`Self::recover_output`].
    ///
    /// # Panics
    ///
    /// Where there are many slots.
    pub fn read_output_from(&self, pipe: impl AsFd, buffer: &mut Vec<u8>) -> rustix::io::Result<usize> {
        let _turn = self.turn();
        let output = self.output().expect("a page with one slot");
        let arrive = |places: &[AtomicU8]| {
            let first = places.as_ptr().cast_mut().cast::<MaybeUninit<u8>>();
            // SAFETY: as many bytes of readable and writable memory as there are places, which may be changed through a
            // shared reference, being atomics. Only who has the turn touches them in this process, and the supervisor
            // when this process is dead.
            let bytes = unsafe { std::slice::from_raw_parts_mut(first, places.len()) };
            rustix::io::read(pipe, bytes).map(|(read, _)| read.len())
        };
        output.landing.take(output.total(), arrive, |bytes| {
            output.append(bytes);
            buffer.clear();
            buffer.extend_from_slice(bytes);
        })
    }

    /// Forgets the output of the only slot, for the next attempt. Call it before [`Self::begin`], or a kill in between
    /// gives the next attempt the words of the last.
    pub fn reset_output(&self) {
        let _turn = self.turn();
        self.output().into_iter().for_each(Output::reset);
    }

    /// Where many slots have what their attempts print, to be written by one [`Writer`].
    pub fn words(&self) -> Option<Words<'_>> {
        self.cells().map(Words)
    }

    /// Whether the supervisor ends this child, rather than somebody else who signals it.
    pub fn is_ending(&self) -> bool {
        self.header().ending.load(Ordering::Acquire) != 0
    }

    // ---- The supervisor's side.

    /// Adds what the dead child had read from its pipe and not yet added to the output of its only slot; gives it.
    pub fn recover_output(&self) -> Vec<u8> {
        let _turn = self.turn();
        self.output().map(Output::recover).unwrap_or_default()
    }

    /// Asks the attempt in slot `place` to stop, begun or not, if it is still there; whether it is. Any thread, and
    /// the child as well.
    pub fn request_stop(&self, place: u32, fence: Fence, reason: StopReason) -> bool {
        self.place(place).request_stop(fence, reason)
    }

    /// Says that the supervisor ends the child; call it before the signal.
    pub fn set_ending(&self) {
        self.header().ending.store(1, Ordering::Release);
    }

    /// The attempts whose bodies run, or ran when the child died, by slot. Some nanoseconds per slot that was ever used.
    pub fn begun(&self) -> impl Iterator<Item = Begun> {
        self.used().filter_map(|(number, place)| place.running(number))
    }

    /// How many attempts the child ever began.
    pub fn begins(&self) -> u64 {
        self.header().begins.load(Ordering::Relaxed)
    }

    /// The newest lease that the dead child had taken up: it never touched later ones.
    pub fn newest(&self) -> Option<Fence> {
        self.used().filter_map(|(_, place)| place.newest()).map(|(fence, _)| fence).max()
    }

    /// Leases that the dead child had taken up and never began.
    pub fn unbegun(&self) -> Vec<Fence> {
        let newest = self.used().filter_map(|(_, place)| place.newest());
        newest.filter(|(_, begun)| !begun).map(|(fence, _)| fence).collect()
    }

    /// How often the child said that it is well; 0 until it is ready.
    pub fn beats(&self) -> u64 {
        self.header().beats.load(Ordering::Acquire)
    }

    /// How many ends the child has told and nobody has confirmed to it.
    pub fn unsettled(&self) -> u64 {
        self.header().unsettled.load(Ordering::Acquire)
    }

    /// Bytes of memory that the child had when it was ready; 0 before.
    pub fn baseline(&self) -> u64 {
        self.header().baseline.load(Ordering::Acquire)
    }

    /// How many bytes more the child has taken, if it takes no more jobs because of that.
    pub fn worn(&self) -> Option<u64> {
        Some(self.header().worn.load(Ordering::Acquire)).filter(|bytes| *bytes > 0)
    }

    /// Since when a job has waited in the child for a slot that is free.
    pub fn offered_ms(&self) -> Option<u64> {
        Some(self.header().offered_ms.load(Ordering::Acquire)).filter(|since| *since > 0)
    }

    // ---- Either side.

    /// The output of the present attempt in the only slot, at most [`OUTPUT_BYTES_MAX`]; where bytes were left out, a
    /// line says how many. A consistent moment even while the child writes or after it died writing (then at most
    /// 4 KiB of the oldest or newest kept bytes are missing). Empty where there are many slots.
    pub fn read_output(&self) -> Vec<u8> {
        self.output().map(Output::read).unwrap_or_default()
    }

    /// What these attempts of the dead child printed, in their order, each as [`Self::read_output`]. Of many slots,
    /// older words may be missing that had to give way to newer ones of others.
    pub fn read_outputs(&self, begun: &[Begun]) -> Vec<Vec<u8>> {
        let fences: Vec<Fence> = begun.iter().map(|begun| begun.fence).collect();
        match self.words() {
            Some(words) => words.read(&fences),
            None => begun.iter().map(|_| self.read_output()).collect(),
        }
    }

    /// How many bytes the present attempt in the only slot printed, kept or not.
    pub fn output_bytes(&self) -> u64 {
        self.output().map_or(0, Output::total)
    }

    fn place(&self, number: u32) -> &Place {
        &self.places()[number as usize]
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

fn bytes_before_texts(slots: u32) -> usize {
    size_of::<Header>() + slots as usize * size_of::<Place>()
}

fn bytes_of(slots: u32) -> usize {
    let texts = if slots == 1 { size_of::<Output>() } else { CELLS * size_of::<Cell>() };
    bytes_before_texts(slots) + texts
}

/// The slots of a page of this length, if there is one.
fn slots_in(bytes: usize) -> Option<u32> {
    let of_many = bytes.checked_sub(bytes_of(2)).map_or(0, |more| 2 + more / size_of::<Place>());
    let slots = u32::try_from(of_many.max(1)).ok().filter(|slots| *slots <= SLOTS_MAX)?;
    (bytes_of(slots) == bytes).then_some(slots)
}

fn bad_page(reason: String) -> Error {
    Error::BadPage { reason }
}
