//! A file without a name, for what is wanted back but needs no memory meanwhile.
//!
//! It grows by extents of 64 MiB, each of which the file system is asked for at once and which is mapped once. An
//! extent is divided into frames of one size, and whoever puts bytes gets a frame that reads as those. The kernel
//! keeps what is read often and drops the rest; nothing is ever synced, and nothing is left of it after the process.
#![allow(unsafe_code)] // The mapping, and why it may be read as bytes: see `map`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{Mmap, MmapOptions};
use rustix::fs::{FallocateFlags, fallocate};

/// Bytes of an extent, and the most that can be put at once.
pub const EXTENT_BYTES: usize = 64 << 20;
/// Sizes of frames are multiples of this.
const GRAIN_BYTES: usize = 64 << 10;

/// The file; its space is given back when it and all frames are dropped.
#[derive(Debug)]
pub struct ScratchFile {
    file: File,
    extents: Arc<Mutex<Extents>>,
}

#[derive(Debug, Default)]
struct Extents {
    /// By their offset.
    used: BTreeMap<u64, Extent>,
    /// Offsets of those that were given back.
    unused: Vec<u64>,
}

#[derive(Debug)]
struct Extent {
    mapping: Arc<Mmap>,
    frame_bytes: usize,
    /// Numbers of frames that nobody has; the last is taken next.
    free: Vec<u32>,
}

impl Extents {
    /// Takes out the empty ones, but for the first of each size.
    fn take_empty(&mut self) -> Vec<(u64, Extent)> {
        let empty = self.used.iter().filter(|(_, extent)| extent.is_empty());
        let empty = empty.map(|(offset, extent)| (*offset, extent.frame_bytes));
        let (mut sizes, mut gone) = (Vec::new(), Vec::new());
        for (offset, size) in empty {
            if sizes.contains(&size) { gone.push(offset) } else { sizes.push(size) }
        }
        gone.into_iter().filter_map(|offset| self.used.remove_entry(&offset)).collect()
    }
}

impl Extent {
    fn new(mapping: Mmap, frame_bytes: usize) -> Self {
        let free = (0..(EXTENT_BYTES / frame_bytes) as u32).rev().collect();
        Self { mapping: Arc::new(mapping), frame_bytes, free }
    }

    fn is_empty(&self) -> bool {
        self.free.len() == EXTENT_BYTES / self.frame_bytes
    }
}

/// Bytes in a [`ScratchFile`]; dropping them frees the place.
#[derive(Debug)]
pub struct Frame {
    mapping: Arc<Mmap>,
    extents: Arc<Mutex<Extents>>,
    extent: u64,
    number: u32,
    start: usize,
    length: usize,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.mapping[self.start..self.start + self.length]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let Some(extent) = lock(&self.extents).used.get_mut(&self.extent) {
            extent.free.push(self.number);
        }
    }
}

impl ScratchFile {
    /// A file on the disk of `directory`; takes no space yet.
    pub fn beneath(directory: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(directory)?, extents: Arc::default() })
    }

    /// Writes `bytes`, and gives where they stand: at the start of a page of memory.
    ///
    /// Errors if the disk has no room or fails. Panics if there are more than [`EXTENT_BYTES`] of them, or none.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Frame> {
        assert!((1..=EXTENT_BYTES).contains(&bytes.len()), "what is put fits in an extent");
        let frame_bytes = bytes.len().next_multiple_of(GRAIN_BYTES);
        let frame = match self.take(frame_bytes, bytes.len()) {
            Some(frame) => frame,
            None => self.grow(frame_bytes, bytes.len())?,
        };
        self.file.write_all_at(bytes, frame.extent + frame.start as u64)?;
        Ok(frame)
    }

    /// Gives back the space of extents in which nothing is left, but for one of each size.
    pub fn shrink(&self) -> io::Result<()> {
        let gone = lock(&self.extents).take_empty();
        for (offset, extent) in gone {
            drop(extent);
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&self.file, flags, offset, EXTENT_BYTES as u64)?;
            lock(&self.extents).unused.push(offset);
        }
        Ok(())
    }

    /// A free frame of this size, in the first extent that has one: so that the last ones empty.
    fn take(&self, frame_bytes: usize, length: usize) -> Option<Frame> {
        let mut extents = lock(&self.extents);
        let fits = |extent: &Extent| extent.frame_bytes == frame_bytes && !extent.free.is_empty();
        let (offset, extent) = extents.used.iter_mut().find(|(_, extent)| fits(extent))?;
        let (number, mapping) = (extent.free.pop()?, Arc::clone(&extent.mapping));
        let start = number as usize * frame_bytes;
        Some(Frame { mapping, extents: Arc::clone(&self.extents), extent: *offset, number, start, length })
    }

    fn grow(&self, frame_bytes: usize, length: usize) -> io::Result<Frame> {
        let offset = {
            let mut extents = lock(&self.extents);
            let next = extents.used.last_key_value().map_or(0, |(last, _)| last + EXTENT_BYTES as u64);
            extents.unused.pop().unwrap_or(next)
        };
        let mapped = fallocate(&self.file, FallocateFlags::empty(), offset, EXTENT_BYTES as u64)
            .map_err(io::Error::from)
            .and_then(|()| self.map(offset));
        match mapped {
            Ok(mapping) => lock(&self.extents).used.insert(offset, Extent::new(mapping, frame_bytes)),
            Err(error) => {
                lock(&self.extents).unused.push(offset);
                return Err(error);
            }
        };
        Ok(self.take(frame_bytes, length).expect("a new extent has free frames, and nobody else takes them"))
    }

    fn map(&self, offset: u64) -> io::Result<Mmap> {
        let mut options = MmapOptions::new();
        options.offset(offset).len(EXTENT_BYTES);
        // SAFETY: The file has no name, so nobody else opens it, and it is never cut. A frame is written only between
        // being taken and being handed out, and holes are made only where no frame is left: bytes that somebody can read
        // do not change.
        unsafe { options.map(&self.file) }
    }
}

fn lock(extents: &Mutex<Extents>) -> MutexGuard<'_, Extents> {
    extents.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn disk_bytes(scratch: &ScratchFile) -> u64 {
        scratch.file.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn what_was_put_reads_the_same_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = ScratchFile::beneath(directory.path()).unwrap();
        assert_eq!(directory.path().read_dir().unwrap().count(), 0, "it has no name");
        let (ones, twos) = (vec![1; GRAIN_BYTES + 1], vec![2; 5]);
        let first = scratch.put(&ones).unwrap();
        let second = scratch.put(&twos).unwrap();
        assert_eq!((first.as_ref(), second.as_ref()), (&ones[..], &twos[..]));
        let place = first.start;
        drop(first);
        let third = scratch.put(&vec![3; GRAIN_BYTES * 2]).unwrap();
        assert_eq!((third.start, third.as_ref()[0], second.as_ref()), (place, 3, &twos[..]));
        assert_eq!(second.as_ref().as_ptr() as usize % 4096, 0);
        drop(scratch);
        assert_eq!(second.as_ref(), &twos[..], "frames outlive the handle");
    }

    #[test]
    fn the_space_of_empty_extents_is_given_back_and_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = ScratchFile::beneath(directory.path()).unwrap();
        let mut frames: Vec<Frame> = (0..3).map(|n| scratch.put(&vec![n; EXTENT_BYTES]).unwrap()).collect();
        assert!(disk_bytes(&scratch) >= 3 * EXTENT_BYTES as u64);
        let last = frames.pop();
        frames.clear();
        scratch.shrink().unwrap();
        let left = disk_bytes(&scratch);
        assert!((2 * EXTENT_BYTES as u64..3 * EXTENT_BYTES as u64).contains(&left), "one is kept: {left}");
        let again: Vec<Frame> = (7..9).map(|n| scratch.put(&vec![n; EXTENT_BYTES]).unwrap()).collect();
        assert_eq!(scratch.file.metadata().unwrap().len(), 3 * EXTENT_BYTES as u64);
        assert_eq!([again[0].as_ref()[9], again[1].as_ref()[9], last.unwrap().as_ref()[9]], [7, 8, 2]);
    }
}
