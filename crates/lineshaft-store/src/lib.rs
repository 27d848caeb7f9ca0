//! Where Lineshaft keeps what must not be lost: the journal (the truth, a chain of commits) and the archive
//! (finished jobs, in compressed and indexed blocks).
//!
//! [`Journal`] and [`Archive`] are the two traits that change between one machine and many; [`SegmentJournal`] and
//! [`BlockArchive`] implement them in a [`Home`] directory. Both reach files only through [`Disk`], so that tests can
//! own the disk and break it. [`logs`] has the records that attempts logged. `docs/format.md` describes every byte.
//!
//! This crate deliberately does not know what a commit's body or a job's payload means, and has no clock: it is told
//! the times it stores.

pub mod archive;
pub mod backup;
pub mod disk;
mod error;
mod gaps;
mod holds;
pub mod home;
pub mod inspect;
pub mod journal;
pub mod logs;
mod payload;
mod sealed;

pub use archive::{
    Archive, ArchiveCounts, ArchiveHead, ArchivedJob, Block, BlockArchive, DamagedBlock, DayCounts, Dropped,
    Filter, ListedJob, Page, PageRequest,
};
pub use disk::{Disk, DiskFile, FileDisk, Overlay};
pub use error::Error;
pub use holds::Hold;
pub use home::Home;
pub use journal::{
    Append, Appended, ColdFile, CutTail, Durability, HeldFiles, Journal, JournalEnd, JournalHandle,
    NewSnapshot, Options, Recovery, SegmentHandle, SegmentJournal, Shortage, Snapshot, Space, Stretch, Usage,
};
pub use payload::{ColdLocation, Location, PackedPayload, PayloadRef};
