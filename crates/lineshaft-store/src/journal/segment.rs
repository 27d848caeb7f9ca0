//! Segment files: `seg/` and a growing number of 20 digits.
//!
//! A segment gets its name only when its header and its space are durable, so a named segment always has a good
//! header. Commits follow from byte 512. The commits of a segment end where a later segment begins: a tail that was
//! written again at open lies in both, and the later copy counts.

use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crc32c::crc32c;

use super::commit::{self, ALIGNMENT, Header, u32_at, u64_at};
use crate::Error;
use crate::disk::{DiskFile, join};

/// The directory of segments.
pub(crate) const DIRECTORY: &str = "seg";
/// Where the first commit begins.
pub(crate) const COMMITS_START: u64 = ALIGNMENT;
/// Smallest segment.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// Start of a commit that was given up and is missing.
pub(crate) const HOLE: u32 = u32::MAX;

const MAGIC: u32 = u32::from_le_bytes(*b"LSs1");
const HEADER_BYTES: usize = 28;

/// What stands at the start of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    /// Random, and other at every use of the file.
    pub(crate) salt: u64,
}

impl SegmentHeader {
    /// A header for a use of a file. The salt depends on the number too, so no salt comes again while a journal is open.
    /// The next opening has to bring another seed: it may use a number again that a power cut took back, over a file in
    /// which some of what was written then is left.
    pub(crate) fn new(number: u64, seed: u64) -> Self {
        let seed = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { number, salt: fastrand::Rng::with_seed(seed).u64(..) }
    }

    pub(crate) fn encode(&self) -> [u8; COMMITS_START as usize] {
        let mut bytes = [0; COMMITS_START as usize];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the segment that is named `number`.
    pub(crate) fn read(file: &impl DiskFile, number: u64) -> Result<Self, Error> {
        let path = path(number);
        let mut bytes = [0; HEADER_BYTES];
        let count = file.read_at(0, &mut bytes).map_err(Error::io("read", &path, 0))?;
        let header = Self { number: u64_at(&bytes, 8), salt: u64_at(&bytes, 16) };
        let valid =
            count == HEADER_BYTES && bytes == header.encode()[..HEADER_BYTES] && u32_at(&bytes, 0) == MAGIC;
        if valid && header.number == number {
            return Ok(header);
        }
        Err(Error::damaged(&path, 0, "the segment's header is not valid"))
    }
}

/// A segment with commits, as readers share it. Holding one keeps its file from being used again.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) header: SegmentHeader,
    pub(crate) file: F,
    /// LSN of the commit that `starts` begins with.
    pub(crate) first_lsn: u64,
    /// Where each commit begins, in units of 512 bytes: 4 bytes of memory for every commit kept.
    starts: RwLock<Vec<u32>>,
    /// Bytes of the file; it grows for a commit larger than a segment.
    bytes: AtomicU64,
}

impl<F> Segment<F> {
    pub(crate) fn new(header: SegmentHeader, file: F, bytes: u64, first_lsn: u64, starts: Vec<u32>) -> Self {
        Self { header, file, first_lsn, starts: RwLock::new(starts), bytes: AtomicU64::new(bytes) }
    }

    /// The LSN after the last commit.
    pub(crate) fn end_lsn(&self) -> u64 {
        self.first_lsn + self.starts.read().expect("no panic under the lock").len() as u64
    }

    /// Where the commit begins, if it is here.
    pub(crate) fn start_of(&self, lsn: u64) -> Option<u64> {
        let index = usize::try_from(lsn.checked_sub(self.first_lsn)?).ok()?;
        let starts = self.starts.read().expect("no panic under the lock");
        starts.get(index).filter(|start| **start != HOLE).map(|start| u64::from(*start) * ALIGNMENT)
    }

    /// Notes that the next commit was written at `offset`.
    pub(crate) fn push(&self, offset: u64, end: u64) {
        self.bytes.fetch_max(end, Ordering::Relaxed);
        self.starts.write().expect("no panic under the lock").push((offset / ALIGNMENT) as u32);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn path(&self) -> String {
        path(self.header.number)
    }
}

impl<F: DiskFile> Segment<F> {
    /// The header of the commit `lsn`, which begins at `start`.
    pub(crate) fn commit_header(&self, start: u64, lsn: u64) -> Result<Header, Error> {
        let path = self.path();
        let mut bytes = [0; commit::HEADER_BYTES];
        let count = self.file.read_at(start, &mut bytes).map_err(Error::io("read", &path, 0))?;
        Header::decode(&bytes[..count])
            .filter(|header| header.lsn == lsn)
            .ok_or_else(|| Error::damaged(&path, start, "the header of a commit fails its check"))
    }
}

/// The path of a segment.
pub(crate) fn path(number: u64) -> String {
    join(DIRECTORY, &format!("{number:020}"))
}

/// The number of the segment with this file name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}
