//! Memory that several processes share: a [`Segment`], handed over as a descriptor.
//!
//! It is anonymous memory, or where the system gives none a file without a name; either way nothing is left of it when
//! the last process has closed it, however that ends. (A [`TableFile`](crate::table::TableFile) has one with a name.) What lies in it is placed by the types of [`crate::sync`],
//! [`crate::ring`], [`crate::arena`] and [`crate::table`], which see it through [`Segment::at`] and [`Segment::bytes`].
#![allow(unsafe_code)] // The mapping, its casts to types made of atomics, and copies from and to it.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{
    FallocateFlags, FileType, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, fstat,
    ftruncate, memfd_create,
};

use crate::fd::set_cloexec;
use crate::sync::AtomicU64;
use crate::{Error, Result};

/// What a segment is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Anonymous memory that nobody can make smaller.
    Memory,
    /// A file without a name, since the system gave no such memory.
    File,
    /// A file that its user's processes find by its name.
    Named,
}

/// A type that may lie in a segment.
///
/// # Safety
///
/// It consists of atomics only, so that every bit pattern is a value and others may write it meanwhile, and it needs no
/// greater alignment than a memory page has.
pub(crate) unsafe trait Shared {}

// SAFETY: an atomic.
unsafe impl Shared for AtomicU64 {}

/// Shared memory, mapped in this process and in what it forks.
#[derive(Debug)]
pub struct Segment {
    fd: OwnedFd,
    mapping: MmapRaw,
    backing: Backing,
}

impl Segment {
    /// A segment of so many bytes, all zero; a file for it would lie in the directory for temporary files.
    ///
    /// The first `reserved` bytes are there for certain: writing to them never fails. Of the others memory is taken as they
    /// are touched, or by [`Self::reserve`]. Its descriptor closes on exec until it is passed on
    /// (`lineshaft_ipc::fd::inherit`).
    pub fn create(bytes: usize, reserved: usize) -> Result<Self> {
        match Self::in_memory(bytes, reserved) {
            // A file could not be opened or mapped either, and the directory would be blamed for it.
            Err(error @ (Error::TooManyFiles { .. } | Error::NoAddresses { .. })) => Err(error),
            Err(_) => Self::in_file(&std::env::temp_dir(), bytes, reserved),
            made => made,
        }
    }

    fn in_memory(bytes: usize, reserved: usize) -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("lineshaft", flags).map_err(Error::os("create a segment"))?;
        ftruncate(&fd, bytes as u64).map_err(Error::os("size a segment"))?;
        // Nobody may shrink it: touching the missing part would kill every other process.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&fd, seals).map_err(Error::os("seal a segment"))?;
        Self::map(fd, bytes, Backing::Memory)?.reserved(reserved)
    }

    /// As [`Self::create`], as a file on the disk of `directory`.
    pub fn in_file(directory: &Path, bytes: usize, reserved: usize) -> Result<Self> {
        let action = || format!("create a segment in {}", directory.display());
        let file = tempfile::tempfile_in(directory).map_err(Error::os(action()))?;
        file.set_len(bytes as u64).map_err(Error::os(action()))?;
        Self::map(file.into(), bytes, Backing::File)?.reserved(reserved)
    }

    fn reserved(self, bytes: usize) -> Result<Self> {
        self.reserve(0, bytes)?;
        Ok(self)
    }

    /// The segment behind a descriptor that another process passed on; it closes on exec from here on.
    ///
    /// [`Error::BadSegment`] if it is something else: only memory that is sealed against shrinking will do, or a file
    /// without a name, which no stranger can have opened.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        set_cloexec(&fd, true)?;
        let stat = fstat(&fd).map_err(Error::os("look at a segment"))?;
        let is_sealed = fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        let backing = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if is_sealed => Backing::Memory,
            FileType::RegularFile if stat.st_nlink == 0 => Backing::File,
            _ => return Err(bad_segment("it is neither sealed memory nor a file without a name")),
        };
        match usize::try_from(stat.st_size) {
            Ok(bytes) if bytes > 0 => Self::map(fd, bytes, backing),
            _ => Err(bad_segment("it is empty")),
        }
    }

    /// A file of this user's as a segment, which nobody makes smaller while others have it: that is the caller's to see to.
    pub(crate) fn of_file(file: File) -> Result<Self> {
        let length = file.metadata().map_err(Error::os("look at a segment"))?.len();
        match usize::try_from(length) {
            Ok(bytes) if bytes > 0 => Self::map(file.into(), bytes, Backing::Named),
            _ => Err(bad_segment("it is empty")),
        }
    }

    fn map(fd: OwnedFd, bytes: usize, backing: Backing) -> Result<Self> {
        let file = File::from(fd);
        let mapping = MmapOptions::new().len(bytes).map_raw(&file).map_err(Error::unmapped(bytes))?;
        Ok(Self { fd: file.into(), mapping, backing })
    }

    /// What it is made of.
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// Its bytes.
    pub fn size_bytes(&self) -> usize {
        self.mapping.len()
    }

    /// Takes memory for so many bytes from `start` on, so that writing to them cannot fail. What was written there stays.
    ///
    /// Errors where there is not so much.
    ///
    /// # Panics
    ///
    /// If the segment ends before them, as of the other functions that name a part.
    pub fn reserve(&self, start: usize, bytes: usize) -> Result<()> {
        self.assert_has(start, bytes);
        if bytes == 0 {
            return Ok(());
        }
        loop {
            match fallocate(&self.fd, FallocateFlags::empty(), start as u64, bytes as u64) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.map_err(Error::os("take memory for a segment")),
            }
        }
    }

    /// Gives back the memory of so many bytes from `start` on, which read as zero afterwards; whole pages only.
    ///
    /// Errors if the system does not take it; then they stay.
    pub fn release(&self, start: usize, bytes: usize) -> io::Result<()> {
        self.assert_has(start, bytes);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&self.fd, flags, start as u64, bytes as u64)?)
    }

    /// What lies at `offset`.
    pub(crate) fn at<T: Shared>(&self, offset: usize) -> &T {
        &self.slice(offset, 1)[0]
    }

    /// So many of them from `offset` on.
    pub(crate) fn slice<T: Shared>(&self, offset: usize, count: usize) -> &[T] {
        self.assert_has(offset, size_of::<T>().saturating_mul(count));
        assert!(offset.is_multiple_of(align_of::<T>()), "{offset} is not aligned");
        let first = self.mapping.as_mut_ptr().wrapping_add(offset).cast::<T>();
        // SAFETY: the mapping has so many bytes from the offset on, readable and writable, and lives as long as `self`;
        // nobody shrinks the file: it is sealed, or has no name and is only with processes that run this code, or is a
        // table's, which is cut by nobody but who has it alone. A mapping
        // starts at a memory page and `Shared` types ask for no more, so `first` is aligned. They consist of atomics, for
        // which every bit pattern is a value and which may be written by others meanwhile.
        unsafe { std::slice::from_raw_parts(first, count) }
    }

    /// The first of so many bytes.
    pub(crate) fn pointer(&self, offset: usize, length: usize) -> *mut u8 {
        self.assert_has(offset, length);
        self.mapping.as_mut_ptr().wrapping_add(offset)
    }

    /// Bytes that are copied in and out.
    pub(crate) fn bytes(&self, offset: usize, length: usize) -> Bytes<'_> {
        Bytes { start: self.pointer(offset, length), length, segment: PhantomData }
    }

    fn assert_has(&self, start: usize, bytes: usize) {
        let end = start.checked_add(bytes);
        assert!(end.is_some_and(|end| end <= self.size_bytes()), "{bytes} bytes at {start} are outside");
    }
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Where something lies, which keeps its segment.
#[derive(Debug)]
pub(crate) struct Place<T> {
    segment: Arc<Segment>,
    offset: usize,
    count: usize,
    what: PhantomData<fn() -> T>,
}

impl<T> Clone for Place<T> {
    fn clone(&self) -> Self {
        Self { segment: Arc::clone(&self.segment), ..*self }
    }
}

impl<T: Shared> Place<T> {
    /// [`Error::BadSegment`] unless one lies at `offset`.
    pub(crate) fn new(segment: Arc<Segment>, offset: usize) -> Result<Self> {
        Self::of_many(segment, offset, 1)
    }

    /// [`Error::BadSegment`] unless so many lie from `offset` on.
    pub(crate) fn of_many(segment: Arc<Segment>, offset: usize, count: usize) -> Result<Self> {
        let end = size_of::<T>().checked_mul(count).and_then(|bytes| bytes.checked_add(offset));
        if !offset.is_multiple_of(align_of::<T>()) || end.is_none_or(|end| end > segment.size_bytes()) {
            let size = segment.size_bytes();
            return Err(bad_segment(format!("nothing can be at {offset} of its {size} bytes")));
        }
        Ok(Self { segment, offset, count, what: PhantomData })
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn get(&self) -> &T {
        self.segment.at(self.offset)
    }

    pub(crate) fn all(&self) -> &[T] {
        self.segment.slice(self.offset, self.count)
    }
}

/// Bytes of a segment that are not atomics: whoever reads or writes them has them alone by a rule of his own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    start: *mut u8,
    length: usize,
    segment: PhantomData<&'a Segment>,
}

impl Bytes<'_> {
    /// Copies `bytes` there.
    ///
    /// # Safety
    ///
    /// No process that lives reads or writes that part meanwhile.
    pub(crate) unsafe fn write(self, at: usize, bytes: &[u8]) {
        assert!(at <= self.length && bytes.len() <= self.length - at, "written within");
        // SAFETY: the part lies within, as asserted; `bytes` is not of a segment, since nobody makes references to those;
        // and nobody else touches the part, as the caller promises.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(at), bytes.len()) }
    }

    /// The bytes from `at` on.
    ///
    /// # Safety
    ///
    /// No process that lives writes that part meanwhile.
    #[cfg_attr(model, allow(dead_code))]
    pub(crate) unsafe fn read_array<const N: usize>(self, at: usize) -> [u8; N] {
        assert!(at <= self.length && N <= self.length - at, "read within");
        // SAFETY: the part lies within, as asserted, and nobody writes it, as the caller promises; bytes need no alignment.
        unsafe { self.start.add(at).cast::<[u8; N]>().read() }
    }

    /// Appends so many bytes from `at` on to `into`.
    ///
    /// # Safety
    ///
    /// No process that lives writes that part meanwhile.
    pub(crate) unsafe fn read(self, at: usize, length: usize, into: &mut Vec<u8>) {
        assert!(at <= self.length && length <= self.length - at, "read within");
        into.reserve(length);
        let end = into.len();
        // SAFETY: the part lies within, as asserted, and nobody writes it, as the caller promises; `into` has room for so
        // many bytes behind its end, which are bytes of it once they are copied.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.add(at), into.as_mut_ptr().add(end), length);
            into.set_len(end + length);
        }
    }
}

pub(crate) fn bad_segment(reason: impl Into<String>) -> Error {
    Error::BadSegment { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin(segment: &Segment) -> Segment {
        Segment::from_fd(segment.as_fd().try_clone_to_owned().unwrap()).unwrap()
    }

    fn check_is_shared(segment: &Segment) {
        let mut found = Vec::new();
        // SAFETY: nobody else has the segment.
        unsafe {
            segment.bytes(4_096, 8).write(3, b"word");
            twin(segment).bytes(4_096, 8).read(2, 6, &mut found);
        }
        assert_eq!(found, b"\0word\0");
        assert_eq!(twin(segment).backing(), segment.backing());
    }

    #[test]
    fn what_one_writes_the_other_reads() {
        let memory = Segment::create(1 << 20, 1 << 20).unwrap();
        assert_eq!(memory.backing(), Backing::Memory);
        check_is_shared(&memory);
        let file = Segment::in_file(&std::env::temp_dir(), 1 << 20, 1 << 20).unwrap();
        assert_eq!(file.backing(), Backing::File);
        check_is_shared(&file);
    }

    #[test]
    fn memory_is_there_as_reserved_and_comes_back() {
        let segment = Segment::create(64 << 20, 4_096).unwrap();
        let taken = |segment: &Segment| fstat(segment).unwrap().st_blocks as usize * 512;
        assert_eq!(taken(&segment), 4_096);
        segment.reserve(1 << 20, 1 << 20).unwrap();
        assert_eq!(taken(&segment), 4_096 + (1 << 20));
        segment.release(1 << 20, 1 << 20).unwrap();
        assert_eq!(taken(&segment), 4_096);
    }

    #[test]
    fn what_is_no_segment_is_refused() {
        let refused = |fd: OwnedFd| matches!(Segment::from_fd(fd), Err(Error::BadSegment { .. }));
        let named = tempfile::NamedTempFile::new().unwrap();
        named.as_file().set_len(4_096).unwrap();
        assert!(refused(named.as_file().try_clone().unwrap().into()), "a file with a name");
        assert!(refused(tempfile::tempfile().unwrap().into()), "an empty one");
        assert!(refused(crate::fd::pipe().unwrap().0), "a pipe");
    }

    #[test]
    fn more_than_there_is_cannot_be_reserved() {
        assert!(Segment::create(1 << 50, 1 << 50).is_err());
    }

    #[test]
    #[should_panic(expected = "outside")]
    fn nothing_beyond_the_end_is_seen() {
        Segment::create(4_096, 0).unwrap().bytes(4_000, 97);
    }
}
