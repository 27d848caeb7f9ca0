//! A file without a name, for what is wanted back but needs no memory meanwhile.
//!
//! It grows by extents of 64 MiB, each of which the file system is asked for at once and which is mapped once. An
//! extent is divided into frames of one size, and whoever puts bytes gets a frame that reads as those. The kernel
//! keeps what is read often and drops the rest; nothing is ever synced, and nothing is left of it after the process.
#![allow(unsafe_code)] // The mapping, and why it may be read as bytes: see `map`. Advice on it: see `Frame`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{Mmap, MmapOptions, UncheckedAdvice};
use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::process::{Resource, getrlimit};

/// Bytes of an extent, and the most that can be put at once.
pub const EXTENT_BYTES: usize = 64 << 20;
/// Sizes of frames are multiples of this.
const GRAIN_BYTES: usize = 64 << 10;
/// Bytes of the disk that the file leaves to others: what is written here could stay in memory, their bytes cannot.
const KEPT_FREE_BYTES: u64 = 256 << 20;

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
    /// The first with a free frame of this size, so that the last ones empty; else an empty one, divided anew.
    fn with_room(&mut self, frame_bytes: usize) -> Option<(u64, &mut Extent)> {
        let fits = |extent: &Extent| extent.frame_bytes == frame_bytes && !extent.free.is_empty();
        let offset = self.first(fits).or_else(|| self.first(Extent::is_empty))?;
        let extent = self.used.get_mut(&offset)?;
        if extent.frame_bytes != frame_bytes {
            extent.divide(frame_bytes);
        }
        Some((offset, extent))
    }

    fn first(&self, is_meant: impl Fn(&Extent) -> bool) -> Option<u64> {
        self.used.iter().find(|(_, extent)| is_meant(extent)).map(|(offset, _)| *offset)
    }

    /// Takes out the empty ones, but for the first.
    fn take_empty(&mut self) -> Vec<(u64, Extent)> {
        let empty = self.used.iter().filter(|(_, extent)| extent.is_empty());
        let gone: Vec<u64> = empty.map(|(offset, _)| *offset).skip(1).collect();
        gone.into_iter().filter_map(|offset| self.used.remove_entry(&offset)).collect()
    }
}

impl Extent {
    fn new(mapping: Mmap, frame_bytes: usize) -> Self {
        let mut extent = Self { mapping: Arc::new(mapping), frame_bytes, free: Vec::new() };
        extent.divide(frame_bytes);
        extent
    }

    /// Divides it, of which nobody has a frame, into frames of this size.
    fn divide(&mut self, frame_bytes: usize) {
        self.frame_bytes = frame_bytes;
        self.free = (0..(EXTENT_BYTES / frame_bytes) as u32).rev().collect();
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
        // What was read of it counts as memory of this process until then.
        // SAFETY: The mapping is shared, so nothing is lost by it, and nobody reads these bytes any more. That the kernel
        // does not take the advice is no error.
        let _ = unsafe {
            self.mapping.unchecked_advise_range(UncheckedAdvice::DontNeed, self.start, self.length)
        };
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
    /// Errors if less than 256 MiB of the disk would be left free, or if it fails. Panics if there are more than
    /// [`EXTENT_BYTES`] of them, or none.
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

    /// Gives back the space of extents in which nothing is left, but for one.
    ///
    /// Errors if the file system does not take it; it is used again all the same.
    pub fn shrink(&self) -> io::Result<()> {
        let gone = lock(&self.extents).take_empty();
        let mut result = Ok(());
        for (offset, extent) in gone {
            drop(extent);
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            result = result.and(fallocate(&self.file, flags, offset, EXTENT_BYTES as u64));
            lock(&self.extents).unused.push(offset);
        }
        Ok(result?)
    }

    /// A free frame of this size.
    fn take(&self, frame_bytes: usize, length: usize) -> Option<Frame> {
        let mut extents = lock(&self.extents);
        let (offset, extent) = extents.with_room(frame_bytes)?;
        let (number, mapping) = (extent.free.pop()?, Arc::clone(&extent.mapping));
        let start = number as usize * frame_bytes;
        Some(Frame { mapping, extents: Arc::clone(&self.extents), extent: offset, number, start, length })
    }

    fn grow(&self, frame_bytes: usize, length: usize) -> io::Result<Frame> {
        let offset = {
            let mut extents = lock(&self.extents);
            let next = extents.used.last_key_value().map_or(0, |(last, _)| last + EXTENT_BYTES as u64);
            extents.unused.pop().unwrap_or(next)
        };
        match self.allocate(offset) {
            Ok(mapping) => lock(&self.extents).used.insert(offset, Extent::new(mapping, frame_bytes)),
            Err(error) => {
                lock(&self.extents).unused.push(offset);
                return Err(error);
            }
        };
        Ok(self.take(frame_bytes, length).expect("a new extent has free frames, and nobody else takes them"))
    }

    fn allocate(&self, offset: u64) -> io::Result<Mmap> {
        let disk = fstatvfs(&self.file)?;
        check_room(disk.f_bavail.saturating_mul(disk.f_frsize))?;
        check_length(offset + EXTENT_BYTES as u64, getrlimit(Resource::Fsize).current)?;
        fallocate(&self.file, FallocateFlags::empty(), offset, EXTENT_BYTES as u64)?;
        self.map(offset)
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

/// Whether a disk with so many bytes free takes another extent.
fn check_room(free_bytes: u64) -> io::Result<()> {
    if free_bytes >= KEPT_FREE_BYTES + EXTENT_BYTES as u64 {
        return Ok(());
    }
    let (free, kept) = (free_bytes >> 20, KEPT_FREE_BYTES >> 20);
    let reason = format!("the disk has {free} MiB left, and {kept} MiB stay free for what has to be durable");
    Err(io::Error::new(io::ErrorKind::StorageFull, reason))
}

/// Whether this process may have a file of so many bytes. The kernel ends it otherwise.
fn check_length(bytes: u64, bytes_max: Option<u64>) -> io::Result<()> {
    let Some(most) = bytes_max.filter(|most| bytes > *most) else { return Ok(()) };
    let reason = format!("files of this process end at {} MiB: see `ulimit -f`", most >> 20);
    Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
}

fn lock(extents: &Mutex<Extents>) -> MutexGuard<'_, Extents> {
    extents.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::resident::resident_pages;

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

    /// Each size kept extents of its own, so that one page that grew over and over took seven of them.
    #[test]
    fn empty_extents_are_divided_anew_for_other_sizes() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = ScratchFile::beneath(directory.path()).unwrap();
        for grains in 1..=11 {
            let bytes = vec![grains as u8; grains * GRAIN_BYTES];
            assert_eq!(scratch.put(&bytes).unwrap().as_ref(), bytes);
        }
        assert_eq!(scratch.file.metadata().unwrap().len(), EXTENT_BYTES as u64);
        let (small, large) = (scratch.put(&[1; 5]).unwrap(), scratch.put(&vec![2; GRAIN_BYTES + 1]).unwrap());
        assert_eq!((small.as_ref()[4], large.as_ref()[GRAIN_BYTES]), (1, 2));
        assert_eq!(scratch.file.metadata().unwrap().len(), 2 * EXTENT_BYTES as u64);
    }

    #[test]
    fn a_disk_keeps_room_for_others() {
        assert!(check_room(KEPT_FREE_BYTES + EXTENT_BYTES as u64).is_ok());
        let error = check_room(KEPT_FREE_BYTES + EXTENT_BYTES as u64 - 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("the disk has 319 MiB left"), "{error}");
    }

    /// A server whose files were limited was ended by SIGXFSZ when its scratch file grew beyond that.
    #[test]
    fn a_file_ends_at_the_limit_of_the_process() {
        assert!(check_length(u64::MAX, None).is_ok());
        assert!(check_length(64 << 20, Some(64 << 20)).is_ok());
        let error = check_length(128 << 20, Some(100 << 20)).unwrap_err();
        assert_eq!(error.to_string(), "files of this process end at 100 MiB: see `ulimit -f`");
    }

    /// Jobs that had come back still counted as memory where they had been: a server that had drained four million had
    /// 200 MB of them.
    #[test]
    fn what_was_read_of_a_dropped_frame_is_no_memory_of_this_process_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = ScratchFile::beneath(directory.path()).unwrap();
        let frame = scratch.put(&vec![1; EXTENT_BYTES]).unwrap();
        assert_eq!(frame.as_ref().iter().step_by(512).map(|byte| u64::from(*byte)).sum::<u64>(), 131_072);
        let (start, length) = (frame.as_ref().as_ptr(), frame.as_ref().len());
        assert!(resident_pages(start, length) > length / 8192, "it was read");
        drop(frame);
        assert_eq!(resident_pages(start, length), 0);
    }
}
