//! The journal: a durable chain of commits, from which the state is rebuilt.
//!
//! [`Journal`] belongs to the one thread that writes; its [`JournalHandle`] reads payloads and keeps snapshots and
//! blobs from any thread. [`SegmentJournal`] is the embedded implementation: read `commit` for the bytes, `segment`
//! for the files, `writer` for the path of an append, `recovery` and `chain` for what happens at open.

pub(crate) mod blobs;
mod cache;
mod chain;
pub(crate) mod cold;
pub(crate) mod commit;
mod extent;
mod fresh;
mod handle;
mod preparer;
mod recovery;
pub(crate) mod reserve;
pub(crate) mod scan;
pub(crate) mod segment;
mod shared;
pub(crate) mod snapshots;
mod syncer;
mod writer;

pub use extent::{CommitEnd, Extent, extent};
pub use handle::SegmentHandle;
pub use writer::SegmentJournal;

use std::ops::Range;

use bytes::Bytes;

use crate::{ColdLocation, Error, Hold, Location, PayloadRef};
use segment::COMMITS_START;

/// Bytes a commit's body may have: the payload limit and room for what names it.
pub const BODY_BYTES_MAX: usize = 65 << 20;

/// The writing end of a journal. One exists per journal.
pub trait Journal: Send + 'static {
    /// The end that may be cloned into other threads.
    type Handle: JournalHandle;

    /// Appends one commit.
    ///
    /// Under [`Durability::Sync`] it is durable on return; under [`Durability::Os`] the operating system has it, and
    /// a sync follows by itself.
    ///
    /// Errors: [`Error::NotNext`] or [`Error::Fenced`] if it does not belong here, [`Error::TooLarge`],
    /// [`Error::Full`] (nothing was written; try again after space was freed). After any other error the outcome is
    /// unknown and every later call fails with [`Error::Poisoned`]: stop the process.
    fn append(&mut self, append: Append<'_>) -> Result<Appended, Error>;

    /// Appends an empty commit, so that the commits before it are known to be durable.
    ///
    /// Does nothing if the head is a seal already, or the journal is empty. Returns the head.
    fn seal(&mut self) -> Result<Appended, Error>;

    /// Makes every appended commit durable; of use under [`Durability::Os`] only.
    fn sync(&mut self) -> Result<(), Error>;

    /// Calls `visit` with every commit above `after_lsn` in order, seals with an empty body included.
    ///
    /// Stops at the first error of `visit`. [`Error::NoCommit`] if the commit after `after_lsn` was trimmed.
    fn replay<E: From<Error>>(
        &mut self,
        after_lsn: u64,
        visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E>;

    /// Allows commits below `below_lsn` to be forgotten.
    ///
    /// Never forgets what the two kept snapshots need, so it has no effect before there are two. Space is freed by
    /// whole segments, after the next commit.
    fn trim(&mut self, below_lsn: u64) -> Result<(), Error>;

    /// Bytes of the segments that could go if nothing below this commit were needed, snapshots left aside.
    fn dead_bytes(&self, below_lsn: u64) -> u64;

    /// Looks again for room for a further segment after there was none; [`JournalHandle::space`] then says what it
    /// found. Appending does that too, but whoever refuses work while space is low appends nothing.
    fn look_for_space(&mut self);

    /// Whether a commit with a body of this size fits without the reserve. Waits for the next segment if that decides.
    fn has_room(&mut self, body_bytes: u64) -> bool;

    /// The newest commit.
    fn head(&self) -> Appended;

    /// A handle for other threads.
    fn handle(&self) -> Self::Handle;
}

/// What other threads do with a journal: read payloads, keep snapshots, blobs and cold files.
pub trait JournalHandle: Clone + Send + Sync + 'static {
    /// The bytes at `location`, checked against their CRC. Usually shares memory with a cache.
    fn read_at(&self, location: Location) -> Result<Bytes, Error>;

    /// Publishes a snapshot; the two newest are kept. Returns the bytes written: none if there is one of that commit
    /// or a later one already.
    ///
    /// Pages that did not change are taken from the newest snapshot there is: the last one that was put, or the one
    /// that was found at open. Errors, none of which leaves anything behind that counts: [`Error::SnapshotTooNew`]
    /// unless that commit is durable, [`Error::PageMissing`], [`Error::Full`].
    fn put_snapshot(&self, snapshot: NewSnapshot<'_>) -> Result<u64, Error>;

    /// Stores a blob, durable on return. The caller chooses an id never used before.
    fn put_blob(&self, id: u64, bytes: &[u8]) -> Result<(), Error>;

    /// The bytes of a blob, checked. [`Error::NoBlob`] if there is none.
    fn get_blob(&self, id: u64) -> Result<Bytes, Error>;

    /// Removes a blob; one that does not exist is fine. A crash may bring it back. [`Error::Held`] during a backup.
    fn drop_blob(&self, id: u64) -> Result<(), Error>;

    /// The ids of all blobs, ascending, so that those nobody names can be dropped at start.
    fn blobs(&self) -> Result<Vec<u64>, Error>;

    /// Writes payloads into a cold file and gives the offset of each, in order; durable on return, or not there at all.
    ///
    /// The caller chooses a number that no cold file named by a commit or a snapshot has or had. Payloads are asked for
    /// one after the other, and synced about once per MiB, so whoever hands them out sets the pace. Errors with the
    /// first error that comes in place of a payload, with [`Error::TooLarge`] beyond 2 GiB, or with [`Error::Full`].
    fn put_cold(
        &self,
        file: u64,
        payloads: &mut dyn Iterator<Item = Result<Bytes, Error>>,
    ) -> Result<Vec<u32>, Error>;

    /// The bytes at `location`, checked. [`Error::NoCold`] if there is no such file.
    fn read_cold(&self, location: ColdLocation) -> Result<Bytes, Error>;

    /// Removes a cold file; one that does not exist is fine. A crash may bring it back. [`Error::Held`] during a backup.
    fn drop_cold(&self, file: u64) -> Result<(), Error>;

    /// All cold files, by ascending number.
    fn cold_files(&self) -> Result<Vec<ColdFile>, Error>;

    /// The commits kept, in stretches whose space is freed together, oldest first; the last one takes the next commits.
    fn stretches(&self) -> Vec<Stretch>;

    /// Holds every file that the present state needs, as long as [`HeldFiles::hold`] lives: meanwhile nothing is
    /// trimmed, snapshots stay, and [`JournalHandle::drop_blob`], [`JournalHandle::drop_cold`] and dropping parts of the
    /// archive of the same home fail with [`Error::Held`].
    ///
    /// Waits for a removal that is under way. [`Error::NoCommit`] if the journal is empty.
    fn hold(&self) -> Result<HeldFiles, Error>;

    /// The newest commit known to be durable.
    fn durable_lsn(&self) -> u64;

    /// How much can still be appended.
    fn space(&self) -> Space;

    /// What the files of the home take, and what is free. Lists directories: not for every commit.
    fn usage(&self) -> Result<Usage, Error>;

    /// The bytes of a payload, wherever they lie.
    fn read(&self, payload: PayloadRef) -> Result<Bytes, Error> {
        match payload {
            PayloadRef::Empty => Ok(Bytes::new()),
            PayloadRef::Inline(location) => self.read_at(location),
            PayloadRef::Cold(location) => self.read_cold(location),
            PayloadRef::Blob { id, length } => {
                let bytes = self.get_blob(id)?;
                let is_whole = bytes.len() == length as usize;
                if is_whole { Ok(bytes) } else { Err(blobs::of_other_length(id, bytes.len(), length)) }
            }
        }
    }
}

/// One commit to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// The writer's epoch; never below that of an earlier commit.
    pub epoch: u64,
    /// The writer's nonce, which tells two owners of one epoch apart.
    pub nonce: u64,
    /// The LSN this commit is to have: that of the head plus one, from 1.
    pub expected_lsn: u64,
    /// CRC of the commit before it; 0 for the first.
    pub previous_crc: u32,
    /// The content, at most [`BODY_BYTES_MAX`] bytes.
    pub body: &'a [u8],
}

/// A commit's place in the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Log sequence number, from 1; 0 says that there is no commit yet.
    pub lsn: u64,
    /// Checks the commit and, through the one before it, the whole chain.
    pub crc: u32,
}

/// When an append returns. A property of the home, not of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the commit survives a power cut.
    #[default]
    Sync,
    /// When it survives the death of the process; a sync follows in the background.
    Os,
}

/// Files that stay as they are for as long as `hold` lives.
#[derive(Debug)]
pub struct HeldFiles {
    /// How far a copy has to go.
    pub end: JournalEnd,
    /// Ends the hold when it is dropped.
    pub hold: Hold,
}

/// The end of a journal, and the segments that lead to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalEnd {
    /// The newest commit.
    pub newest: Appended,
    /// Number of the oldest segment.
    pub first_segment: u64,
    /// Number of the segment with the newest commit.
    pub last_segment: u64,
    /// Where that commit ends in it. What follows may be anything.
    pub last_segment_bytes: u64,
}

/// How a [`SegmentJournal`] works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of the first segment prepared; each next one is twice as large. Default 4 MiB, at least 4 KiB.
    pub segment_bytes_first: u64,
    /// Size at which segments stop growing. Default 64 MiB.
    pub segment_bytes_max: u64,
    /// When an append returns. Default [`Durability::Sync`].
    pub durability: Durability,
    /// Whether threads prepare segments and sync under [`Durability::Os`]. Default true. Without them the caller's
    /// thread prepares, and only [`Journal::sync`] syncs: for simulations that must repeat.
    pub background: bool,
    /// Memory for the newest commits, and as much again for commits read from disk. Default 4 MiB.
    pub cache_bytes: usize,
    /// Where segment salts come from: another one for each opening. Default random.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_first: 4 << 20,
            segment_bytes_max: 64 << 20,
            durability: Durability::Sync,
            background: true,
            cache_bytes: 4 << 20,
            seed: fastrand::u64(..),
        }
    }
}

/// What was found when a journal was opened.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// The newest snapshot that can be read; the commits after it are to be replayed.
    pub snapshot: Option<Snapshot>,
    /// The newest commit.
    pub head: Appended,
    /// The oldest commit kept; 0 if there is none.
    pub oldest_lsn: u64,
    /// The greatest epoch of a commit; the next owner's is above it.
    pub epoch: u64,
    /// The newest commit that was known to be durable before this open.
    pub synced_lsn: u64,
    /// What an unfinished write left behind, if anything; worth a line in the log.
    pub cut: Option<CutTail>,
}

/// A state of the past, opaque: tables, and pages by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit it includes last.
    pub lsn: u64,
    /// That commit's CRC.
    pub crc: u32,
    /// What is written with every snapshot. One of the first layout is this alone.
    pub tables: Bytes,
    /// What is written when it changed, ascending.
    pub pages: Vec<(u64, Bytes)>,
}

/// A snapshot to be published.
pub struct NewSnapshot<'a> {
    /// The commit it includes last.
    pub lsn: u64,
    /// That commit's CRC.
    pub crc: u32,
    /// What is written with every snapshot.
    pub tables: &'a [u8],
    /// Numbers of all its pages.
    pub pages: &'a [Range<u64>],
    /// The pages that changed since the newest snapshot, in any order. They are asked for one by one, as they are
    /// written.
    pub changed: Box<dyn Iterator<Item = (u64, Vec<u8>)> + 'a>,
}

impl<'a> NewSnapshot<'a> {
    /// A snapshot without pages.
    pub fn of_tables(lsn: u64, crc: u32, tables: &'a [u8]) -> Self {
        Self { lsn, crc, tables, pages: &[], changed: Box::new(std::iter::empty()) }
    }
}

/// The unfinished end of a journal, cut at open. No commit in it was ever reported durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTail {
    /// The first commit cut.
    pub first_lsn: u64,
    /// The last commit of which a trace was found.
    pub last_lsn: u64,
    /// Where it was, relative to the home.
    pub file: String,
    /// Why it was not kept.
    pub reason: String,
}

/// A file of payloads that outlived their segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdFile {
    /// Its number.
    pub number: u64,
    /// Its size on disk.
    pub bytes: u64,
}

/// Commits whose space is freed together: a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first commit.
    pub first_lsn: u64,
    /// The commit after the last one.
    pub end_lsn: u64,
    /// Size on disk.
    pub bytes: u64,
}

/// What a home takes of its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that an ordinary process may still write.
    pub free_bytes: u64,
    /// Bytes in the files of each directory that has any.
    pub used: Vec<(&'static str, u64)>,
}

/// Room to append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that fit into segments that are already written on disk, the reserve not counted.
    pub ready_bytes: u64,
    /// Bytes that fit into the reserve; 0 while there is none.
    pub reserve_bytes: u64,
    /// Bytes of a whole reserve, by which those that are left are judged: as many as the first segment has.
    pub reserve_whole_bytes: u64,
    /// No further segment could be made, for want of space: what is not needed should go.
    pub tight: bool,
    /// The last segment is nearly full too: take only what frees space (finishing, cancelling), refuse new jobs.
    pub low: bool,
    /// What the next segment lacks, as far as it is known; `None` while one can be made.
    pub shortage: Option<Shortage>,
}

/// How much of the disk has to be free for something, and how much was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What has to be free, what is kept back for others included.
    pub needed_bytes: u64,
    /// What was free.
    pub free_bytes: u64,
}

impl Space {
    /// Whether a commit of so many bytes can be written though no further segment can be made: it lies in one place.
    pub fn fits_reserved(&self, body_bytes: u64) -> bool {
        // Records that come without being asked for, as leases do, go into the same commit.
        const BESIDE_SHARE: u64 = 32;
        self.fits_alone(body_bytes + self.reserve_whole_bytes / BESIDE_SHARE)
    }

    /// The same of a commit in which nothing comes beside that.
    pub fn fits_alone(&self, body_bytes: u64) -> bool {
        let bytes = commit::stored_bytes(body_bytes as usize);
        bytes <= self.ready_bytes || COMMITS_START + bytes <= self.reserve_bytes
    }
}
