//! The segment that takes the commits above what was known to be durable, and then the next ones.

use super::chain::{Chain, Opened};
use super::commit::{self, ALIGNMENT, Header};
use super::scan::{Found, Window};
use super::segment::{self, COMMITS_START, DIRECTORY, Segment, SegmentHeader};
use crate::Error;
use crate::disk::{Disk, DiskFile, OpenMode};

/// What a start on a full disk leaves to its other files: address, token, log.
pub(super) const START_BYTES: u64 = 64 << 10;

/// How the segment that takes the tail is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreshOptions {
    pub(crate) seed: u64,
    /// Size of an ordinary segment; unused ones at least as large are kept as spares.
    pub(crate) segment_bytes: u64,
}

/// The fresh segment, and where its next commit goes.
pub(super) struct Fresh<F> {
    pub(super) segment: Segment<F>,
    pub(super) tail_offset: u64,
}

/// What is written again.
pub(super) struct Tail<'a, F> {
    pub(super) opened: &'a [Opened<F>],
    pub(super) chain: &'a Chain,
    /// Commits above this one.
    pub(super) synced_lsn: u64,
}

impl<F> Clone for Tail<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Tail<'_, F> {}

impl<'a, F> Tail<'a, F> {
    /// The segments with the commits of each.
    fn parts(self) -> impl Iterator<Item = (&'a Opened<F>, impl Iterator<Item = &'a Found>)> {
        let above = self.synced_lsn;
        self.opened.iter().zip(&self.chain.kept).map(move |(segment, count)| {
            let commits = segment.scanned.commits[..*count].iter();
            (segment, commits.filter(move |found| found.header.lsn > above))
        })
    }

    /// Bytes that it takes in a segment.
    pub(super) fn bytes(self) -> u64 {
        let commits = self.parts().flat_map(|(_, commits)| commits);
        commits.map(|found| commit::stored_bytes(found.header.body_bytes as usize)).sum()
    }
}

/// Writes the commits above what was known to be durable to a new segment, durable before it gets its name.
pub(super) fn write_fresh<D: Disk>(
    disk: &D,
    header: SegmentHeader,
    tail: Tail<'_, D::File>,
    fresh_bytes: u64,
) -> Result<Fresh<D::File>, Error> {
    let temporary = format!("{}.tmp", segment::path(header.number));
    let file =
        disk.open(&temporary, OpenMode::Create).map_err(Error::io("create", &temporary, fresh_bytes))?;
    let written = FreshWriter::new(file, header, temporary.clone()).write_all(disk, tail, fresh_bytes);
    if written.is_err() {
        // The error that matters is the one above; what is left is removed at the next open anyway.
        let _ = disk.remove_file(&temporary);
    }
    written
}

/// The same where the disk has no room: over the content of a file of `seg/` that has no use, less some space at its
/// end that the other files of a start need.
pub(super) fn write_over<D: Disk>(
    disk: &D,
    from: &str,
    header: SegmentHeader,
    tail: Tail<'_, D::File>,
) -> Result<Fresh<D::File>, Error> {
    let temporary = format!("{}.tmp", segment::path(header.number));
    disk.rename(from, &temporary).map_err(Error::io("rename", from, 0))?;
    let file = disk.open(&temporary, OpenMode::Write).map_err(Error::io("open", &temporary, 0))?;
    let bytes = file.length().map_err(Error::io("read", &temporary, 0))?;
    let bytes = bytes - START_BYTES.min(bytes / 4) / ALIGNMENT * ALIGNMENT;
    file.set_len(bytes).map_err(Error::io("shorten", &temporary, 0))?;
    FreshWriter::new(file, header, temporary).write_all(disk, tail, bytes)
}

struct FreshWriter<F> {
    file: F,
    header: SegmentHeader,
    path: String,
    offset: u64,
    starts: Vec<u32>,
}

impl<F: DiskFile> FreshWriter<F> {
    fn new(file: F, header: SegmentHeader, path: String) -> Self {
        Self { file, header, path, offset: COMMITS_START, starts: Vec::new() }
    }

    fn write_all<D: Disk<File = F>>(
        mut self,
        disk: &D,
        tail: Tail<'_, F>,
        bytes: u64,
    ) -> Result<Fresh<F>, Error> {
        self.write(0, &self.header.encode())?;
        for (segment, commits) in tail.parts() {
            self.copy(segment, commits)?;
        }
        let first_lsn = tail.chain.head.lsn + 1 - self.starts.len() as u64;
        let path = segment::path(self.header.number);
        self.finish(disk, &path, bytes, first_lsn)
    }

    fn copy<'a>(&mut self, from: &Opened<F>, commits: impl Iterator<Item = &'a Found>) -> Result<(), Error> {
        let mut window = Window::new(&from.file);
        for found in commits {
            let size = found.header.body_start() + found.header.body_bytes as usize;
            let path = segment::path(from.header.number);
            let stored = window.get(found.offset, size).map_err(Error::io("read", &path, 0))?;
            // Commits a snapshot covers were not checked before.
            if !found.header.body_matches(stored) {
                return Err(Error::damaged(&path, found.offset, "the body of a commit fails its check"));
            }
            let body = &stored[found.header.body_start()..];
            let bytes = commit::encode(&mut Header { salt: self.header.salt, ..found.header }, body);
            self.write(self.offset, &bytes)?;
            self.starts.push((self.offset / ALIGNMENT) as u32);
            self.offset += bytes.len() as u64;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all_at(offset, bytes).map_err(Error::io("write", &self.path, bytes.len() as u64))
    }

    fn finish<D: Disk<File = F>>(
        self,
        disk: &D,
        path: &str,
        bytes: u64,
        first_lsn: u64,
    ) -> Result<Fresh<F>, Error> {
        let zeros = vec![0; bytes.saturating_sub(self.offset) as usize];
        self.write(self.offset, &zeros)?;
        self.file.sync_data().map_err(Error::io("sync", &self.path, bytes))?;
        disk.rename(&self.path, path).map_err(Error::io("rename", &self.path, 0))?;
        disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))?;
        let bytes = self.offset.max(bytes);
        let segment = Segment::new(self.header, self.file, bytes, first_lsn, self.starts);
        Ok(Fresh { segment, tail_offset: self.offset })
    }
}

/// Size of a fresh segment: small, so that opening is fast.
pub(super) fn fresh_bytes(segment_bytes: u64) -> u64 {
    segment_bytes.min(256 << 10)
}
