//! The segment that takes the commits above what was known to be durable, and then the next ones.

use super::chain::{Chain, Opened};
use super::commit::{self, ALIGNMENT, Header};
use super::scan::{Found, Window};
use super::segment::{self, COMMITS_START, DIRECTORY, Segment, SegmentHeader};
use crate::Error;
use crate::disk::{Disk, DiskFile, OpenMode};

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

/// Writes the commits above `synced_lsn` to a new segment, durable before it gets its name.
pub(super) fn write_fresh<D: Disk>(
    disk: &D,
    header: SegmentHeader,
    opened: &[Opened<D::File>],
    chain: &Chain,
    synced_lsn: u64,
    fresh_bytes: u64,
) -> Result<Fresh<D::File>, Error> {
    let path = segment::path(header.number);
    let temporary = format!("{path}.tmp");
    let file =
        disk.open(&temporary, OpenMode::Create).map_err(Error::io("create", &temporary, fresh_bytes))?;
    let mut fresh = FreshWriter { file, header, path: temporary, offset: COMMITS_START, starts: Vec::new() };
    fresh.write(0, &header.encode())?;
    for (segment, count) in opened.iter().zip(&chain.kept) {
        let tail = segment.scanned.commits[..*count].iter().filter(|found| found.header.lsn > synced_lsn);
        fresh.copy(segment, tail)?;
    }
    let first_lsn = chain.head.lsn + 1 - fresh.starts.len() as u64;
    fresh.finish(disk, &path, fresh_bytes, first_lsn)
}

struct FreshWriter<F> {
    file: F,
    header: SegmentHeader,
    path: String,
    offset: u64,
    starts: Vec<u32>,
}

impl<F: DiskFile> FreshWriter<F> {
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
