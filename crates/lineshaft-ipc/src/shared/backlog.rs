//! Records that a child has made and that nobody has confirmed yet, where they survive it.
//!
//! A ring of bytes: each record has its length and its number before it. One process writes, and takes away what was
//! confirmed; the other one reads what is left when that process is dead. So nothing here is ever waited for, and a death
//! at any instruction leaves a record whole or not at all: the end moves on when its bytes are there.
//!
//! Beside it are *drafts*: records that are not finished and are written anew now and then. Only those of the dead are
//! ever read. Each has room for two, so that the one before is there until the next one is whole.
#![allow(unsafe_code)] // The mapping: one cast of its address to a type made of atomics.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};

use crate::fd::set_cloexec;
use crate::{Error, Result};

/// Bytes of records that wait at most, each with 12 more.
pub const BACKLOG_BYTES: usize = 1 << 20;
const FRAME_BYTES: usize = 12;
/// Drafts at the same time.
pub const DRAFTS: usize = 8;
/// Bytes of a draft.
pub const DRAFT_BYTES: usize = 136 << 10;
/// Says that this is a backlog, and of which layout.
const MAGIC: u64 = u64::from_be_bytes(*b"lnslogs\x02");

/// What lies in the shared memory. Only atomics, all zero at first.
#[repr(C, align(64))]
struct Ring {
    magic: AtomicU64,
    /// Bytes ever written.
    end: AtomicU64,
    /// Bytes ever taken away.
    start: AtomicU64,
    /// The number of the last record, or that of the one before it if the process died there.
    last: AtomicU64,
    bytes: [AtomicU8; BACKLOG_BYTES],
    drafts: [Draft; DRAFTS],
}

/// A record that is not finished.
#[repr(C, align(64))]
struct Draft {
    /// Its length times two, and which half has it; 0 if there is none.
    shown: AtomicU64,
    halves: [[AtomicU8; DRAFT_BYTES]; 2],
}

/// A backlog, mapped in this process. 1 MiB and 272 KiB for each draft, of which memory is taken as it is touched.
#[derive(Debug)]
pub struct Backlog {
    fd: OwnedFd,
    mapping: MmapRaw,
    /// The last number, in the process that writes.
    last: Mutex<u64>,
    /// A bit for each draft that is in use, in the process that writes.
    drafts: AtomicU8,
}

/// Records one after another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The number of the first; the others follow.
    pub first: u64,
    /// What they are, in their order.
    pub records: Vec<Vec<u8>>,
    /// For [`Backlog::take_away`]: where they end.
    pub end: u64,
}

impl Backlog {
    /// A new one in anonymous memory; its descriptor closes on exec until it is passed on.
    pub fn create() -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("lineshaft-logs", flags).map_err(Error::os("create a backlog"))?;
        ftruncate(&fd, size_of::<Ring>() as u64).map_err(Error::os("size a backlog"))?;
        // Nobody may shrink it: touching the missing part would kill the supervisor.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&fd, seals).map_err(Error::os("seal a backlog"))?;
        let backlog = Self::map(fd)?;
        backlog.ring().magic.store(MAGIC, Ordering::Release);
        Ok(backlog)
    }

    /// The one behind a descriptor that the supervisor passed on; it closes on exec from here on.
    ///
    /// [`Error::BadPage`] if it is something else, or made by another version.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        set_cloexec(&fd, true)?;
        let bad = |reason: &str| Error::BadPage { reason: reason.to_owned() };
        let found = fstat(&fd).map_err(Error::os("look at a backlog"))?.st_size;
        let is_sealed = fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        if usize::try_from(found) != Ok(size_of::<Ring>()) || !is_sealed {
            return Err(bad("it is no backlog of records"));
        }
        let backlog = Self::map(fd)?;
        match backlog.ring().magic.load(Ordering::Acquire) {
            MAGIC => Ok(backlog),
            _ => Err(bad("it is no backlog of records of this version")),
        }
    }

    fn map(fd: OwnedFd) -> Result<Self> {
        let file = File::from(fd);
        let mapping = MmapOptions::new().len(size_of::<Ring>()).map_raw(&file);
        Ok(Self {
            mapping: mapping.map_err(Error::os("map a backlog"))?,
            fd: file.into(),
            last: Mutex::new(0),
            drafts: AtomicU8::new(0),
        })
    }

    #[allow(clippy::cast_ptr_alignment)] // A mapping starts at a memory page.
    fn ring(&self) -> &Ring {
        // SAFETY: the mapping has `size_of::<Ring>()` bytes of readable and writable memory, aligned to a memory page,
        // and lives as long as `self`; the file is sealed against shrinking. `Ring` consists of atomics only, for which
        // every bit pattern is a value and which may be written by others meanwhile.
        unsafe { &*self.mapping.as_mut_ptr().cast::<Ring>() }
    }

    /// Adds a record, and gives how many bytes wait now; `None` if there is no room. Any thread of the process that writes.
    pub fn push(&self, record: &[u8]) -> Option<usize> {
        let (mut last, ring) = (self.turn(), self.ring());
        let (start, end) = (ring.start.load(Ordering::Relaxed), ring.end.load(Ordering::Relaxed));
        let free = (BACKLOG_BYTES as u64).saturating_sub(end.wrapping_sub(start));
        let length = (FRAME_BYTES + record.len()) as u64;
        if length > free {
            return None;
        }
        *last += 1;
        ring.write(end, &u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes());
        ring.write(end.wrapping_add(4), &last.to_le_bytes());
        ring.write(end.wrapping_add(FRAME_BYTES as u64), record);
        ring.end.store(end.wrapping_add(length), Ordering::Release);
        ring.last.store(*last, Ordering::Release);
        Some(BACKLOG_BYTES - (free - length) as usize)
    }

    /// What waits behind position `from`, [`Waiting::end`] of what was taken before, or from the beginning: at most
    /// `records`. Of the dead too; what one scribbled there is left out.
    pub fn waiting(&self, from: Option<u64>, records: usize) -> Waiting {
        let (_turn, ring) = (self.turn(), self.ring());
        let (start, end) = (ring.start.load(Ordering::Acquire), ring.end.load(Ordering::Acquire));
        let mut waiting = Waiting { end: from.unwrap_or(start), ..Waiting::default() };
        if end.wrapping_sub(start) > BACKLOG_BYTES as u64 {
            return waiting;
        }
        while waiting.records.len() < records
            && let Some((number, record)) = ring.record(waiting.end, end)
        {
            if waiting.records.is_empty() {
                waiting.first = number;
            } else if waiting.first.wrapping_add(waiting.records.len() as u64) != number {
                break;
            }
            waiting.end = waiting.end.wrapping_add((FRAME_BYTES + record.len()) as u64);
            waiting.records.push(record);
        }
        waiting
    }

    /// Lets go of what was confirmed, up to [`Waiting::end`].
    pub fn take_away(&self, end: u64) {
        let _turn = self.turn();
        self.ring().start.store(end, Ordering::Release);
    }

    /// Whether anything waits behind a position.
    pub fn has_more(&self, from: Option<u64>) -> bool {
        let ring = self.ring();
        let from = from.unwrap_or_else(|| ring.start.load(Ordering::Acquire));
        ring.end.load(Ordering::Acquire) != from
    }

    /// A draft for the caller alone; `None` if all are in use. To be given back with [`Self::end_draft`].
    pub fn begin_draft(&self) -> Option<usize> {
        let next = |used: u8| (used != u8::MAX).then(|| used | 1 << used.trailing_ones());
        let used = self.drafts.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).ok()?;
        Some(used.trailing_ones() as usize)
    }

    /// Replaces what a draft has; false if it is too long, or nothing.
    pub fn write_draft(&self, draft: usize, record: &[u8]) -> bool {
        let draft = &self.ring().drafts[draft];
        let half = (draft.shown.load(Ordering::Relaxed) + 1) % 2;
        let fits = (1..=DRAFT_BYTES).contains(&record.len());
        if fits {
            let places = draft.halves[half as usize].iter();
            places.zip(record).for_each(|(place, byte)| place.store(*byte, Ordering::Relaxed));
            draft.shown.store((record.len() as u64) << 1 | half, Ordering::Release);
        }
        fits
    }

    /// Its record is finished, and was pushed: there is no draft of it any more.
    pub fn end_draft(&self, draft: usize) {
        self.ring().drafts[draft].shown.store(0, Ordering::Release);
        self.drafts.fetch_and(!(1 << draft), Ordering::AcqRel);
    }

    /// The drafts of the dead, and the number that the first of them would get as a record.
    pub fn drafts(&self) -> (u64, Vec<Vec<u8>>) {
        let waiting = self.waiting(None, usize::MAX);
        let newest = (waiting.first + waiting.records.len() as u64).saturating_sub(1);
        let last = self.ring().last.load(Ordering::Acquire).max(newest);
        (last.wrapping_add(1), self.ring().drafts.iter().filter_map(Draft::read).collect())
    }

    fn turn(&self) -> MutexGuard<'_, u64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Draft {
    fn read(&self) -> Option<Vec<u8>> {
        let shown = self.shown.load(Ordering::Acquire);
        let length = usize::try_from(shown >> 1).ok().filter(|length| (1..=DRAFT_BYTES).contains(length))?;
        let half = &self.halves[(shown % 2) as usize];
        Some(half[..length].iter().map(|byte| byte.load(Ordering::Relaxed)).collect())
    }
}

impl Ring {
    fn write(&self, position: u64, bytes: &[u8]) {
        let first = offset(position);
        let (before_end, wrapped) = bytes.split_at(bytes.len().min(BACKLOG_BYTES - first));
        for (place, byte) in self.bytes[first..].iter().zip(before_end) {
            place.store(*byte, Ordering::Relaxed);
        }
        for (place, byte) in self.bytes.iter().zip(wrapped) {
            place.store(*byte, Ordering::Relaxed);
        }
    }

    fn read(&self, position: u64, length: usize) -> Vec<u8> {
        let first = offset(position);
        let places = self.bytes[first..].iter().chain(&self.bytes[..first]);
        places.take(length).map(|byte| byte.load(Ordering::Relaxed)).collect()
    }

    /// The record at `position` with its number, if there is one that ends at `end` or before.
    fn record(&self, position: u64, end: u64) -> Option<(u64, Vec<u8>)> {
        let left = usize::try_from(end.wrapping_sub(position)).ok().filter(|left| *left <= BACKLOG_BYTES)?;
        let frame = self.read(position, left.min(FRAME_BYTES));
        let (length, number) = frame.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let number = u64::from_le_bytes(*number.first_chunk()?);
        (FRAME_BYTES + length <= left)
            .then(|| (number, self.read(position.wrapping_add(FRAME_BYTES as u64), length)))
    }
}

fn offset(position: u64) -> usize {
    (position % BACKLOG_BYTES as u64) as usize
}

/// The shared memory's descriptor, to be passed to the child.
impl AsFd for Backlog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(all(test, not(model)))]
mod tests {
    use super::*;

    fn other(backlog: &Backlog) -> Backlog {
        Backlog::from_fd(backlog.as_fd().try_clone_to_owned().unwrap()).unwrap()
    }

    #[test]
    fn what_was_not_confirmed_is_there_for_the_other_process() {
        let backlog = Backlog::create().unwrap();
        for record in [&b"one"[..], b"", b"three"] {
            assert!(backlog.push(record).is_some());
        }
        let first = backlog.waiting(None, 2);
        assert_eq!((first.first, &first.records[..]), (1, &[b"one".to_vec(), Vec::new()][..]));
        let more = backlog.waiting(Some(first.end), 10);
        assert_eq!((more.first, &more.records[..]), (3, &[b"three".to_vec()][..]));
        assert!(!backlog.has_more(Some(more.end)));
        assert_eq!(other(&backlog).waiting(None, 10).records.len(), 3);
        backlog.take_away(first.end);
        assert_eq!(other(&backlog).waiting(None, 10), more);
    }

    #[test]
    fn records_come_in_their_order_around_the_end_of_the_ring() {
        let backlog = Backlog::create().unwrap();
        let record = |number: u64| vec![number as u8; (number * 7_919 % 40_000) as usize];
        let (mut pushed, mut taken) = (0, 0);
        while taken < 500 {
            while backlog.push(&record(pushed + 1)).is_some() {
                pushed += 1;
            }
            let waiting = backlog.waiting(None, 7);
            assert_eq!(waiting.first, taken + 1);
            for found in &waiting.records {
                taken += 1;
                assert_eq!(*found, record(taken));
            }
            backlog.take_away(waiting.end);
        }
        assert!(backlog.push(&vec![0; BACKLOG_BYTES]).is_none());
    }

    #[test]
    fn scribbled_numbers_are_read_without_panic() {
        let backlog = Backlog::create().unwrap();
        assert_eq!(backlog.push(b"record"), Some(FRAME_BYTES + 6));
        let ring = backlog.ring();
        ring.bytes.iter().for_each(|byte| byte.store(0xff, Ordering::Relaxed));
        for (start, end) in [(0, u64::MAX), (u64::MAX, 5), (0, 18), (5, 3), (0, BACKLOG_BYTES as u64)] {
            ring.start.store(start, Ordering::Relaxed);
            ring.end.store(end, Ordering::Relaxed);
            assert_eq!(backlog.waiting(None, 10).records.len(), 0);
            ring.drafts.iter().for_each(|draft| draft.shown.store(end, Ordering::Relaxed));
            assert!(backlog.drafts().1.iter().all(|draft| draft.len() <= DRAFT_BYTES));
        }
    }

    #[test]
    fn the_newest_whole_draft_is_there_for_the_other_process_until_it_ends() {
        let backlog = Backlog::create().unwrap();
        assert_eq!(backlog.push(b"record"), Some(FRAME_BYTES + 6));
        let drafts: Vec<usize> = (0..DRAFTS).map_while(|_| backlog.begin_draft()).collect();
        assert_eq!((drafts.len(), backlog.begin_draft()), (DRAFTS, None));
        assert_eq!(other(&backlog).drafts(), (2, Vec::new()));
        for text in [&b"first"[..], b"second, which is longer", b"3"] {
            assert!(backlog.write_draft(drafts[5], text));
            assert_eq!(other(&backlog).drafts(), (2, vec![text.to_vec()]));
        }
        assert!(!backlog.write_draft(drafts[5], &vec![0; DRAFT_BYTES + 1]));
        assert!(backlog.write_draft(drafts[1], &vec![7; DRAFT_BYTES]));
        assert_eq!(other(&backlog).drafts().1, [vec![7; DRAFT_BYTES], b"3".to_vec()]);
        backlog.end_draft(drafts[1]);
        assert_eq!((backlog.begin_draft(), backlog.begin_draft()), (Some(drafts[1]), None));
        assert_eq!(other(&backlog).drafts().1, [b"3".to_vec()]);
    }

    /// The numbers go on after records that were confirmed, which are not there any more.
    #[test]
    fn drafts_are_numbered_after_all_records() {
        let backlog = Backlog::create().unwrap();
        assert_eq!(other(&backlog).drafts().0, 1);
        (0..3).for_each(|_| assert!(backlog.push(b"record").is_some()));
        backlog.take_away(backlog.waiting(None, 10).end);
        assert_eq!(other(&backlog).drafts().0, 4);
        // It died between the end of the fourth and its number.
        assert!(backlog.push(b"record").is_some());
        backlog.ring().last.store(3, Ordering::Relaxed);
        assert_eq!(other(&backlog).drafts().0, 5);
    }

    #[test]
    fn something_else_is_refused() {
        let pipe = crate::fd::pipe().unwrap().0;
        assert!(matches!(Backlog::from_fd(pipe), Err(Error::BadPage { .. })));
    }
}
