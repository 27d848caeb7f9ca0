//! A disk that reads another one and keeps what is written in memory: what an opening would do to a home can be seen
//! without doing it.
//!
//! Looking at a home needs everything that opening it does (cutting an unfinished tail, passing over a damaged
//! snapshot), but must leave it as it is. On an overlay the very same code runs and nothing reaches the files.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{DirEntry, Disk, DiskFile, LockAttempt, OpenMode, join};

/// What is written is kept in blocks of this size.
const BLOCK_BYTES: usize = 4 << 10;

/// Another disk, with changes in memory. Clones share them; they end with the last clone.
///
/// A file that was opened to be read shows later changes only if it was written, or made, before.
#[derive(Clone)]
pub struct Overlay<D: Disk> {
    shared: Arc<Shared<D>>,
}

impl<D: Disk> fmt::Debug for Overlay<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("locking", &self.shared.locking).finish_non_exhaustive()
    }
}

struct Shared<D: Disk> {
    base: D,
    locking: Locking,
    names: Mutex<Names<D::File>>,
}

/// Files by path: one of the overlay, or `None` for one that is gone. All others are the base's.
type Names<F> = BTreeMap<String, Option<OverlayFile<F>>>;

/// Whether locking an overlay locks the disk below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// It does, so that nothing changes below.
    Real,
    /// It does not: somebody else has the lock, and goes on changing what is below.
    Beside,
}

impl<D: Disk> Overlay<D> {
    /// A view of `base` as it is.
    pub fn new(base: D, locking: Locking) -> Self {
        Self { shared: Arc::new(Shared { base, locking, names: Mutex::default() }) }
    }

    /// The disk below.
    pub fn base(&self) -> &D {
        &self.shared.base
    }

    /// What is other than below, by path.
    pub fn changed(&self) -> io::Result<Vec<Changed>> {
        let names: Vec<_> = self.names().iter().map(|(path, file)| (path.clone(), file.clone())).collect();
        let mut changed = Vec::new();
        for (path, file) in names {
            let below = match self.shared.base.open(&path, OpenMode::Read) {
                Ok(below) => Some(below),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            let length = file.as_ref().map(DiskFile::length).transpose()?;
            let same = match (&file, &below) {
                (Some(file), Some(below)) => is_same(file, below)?,
                (None, None) => true,
                _ => false,
            };
            if !same {
                changed.push(Changed { path, length, replaces: below.is_some() });
            }
        }
        Ok(changed)
    }

    fn names(&self) -> MutexGuard<'_, Names<D::File>> {
        self.shared.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file with this path, whether changed or not.
    fn find(&self, path: &str) -> io::Result<OverlayFile<D::File>> {
        match self.names().get(path) {
            Some(Some(file)) => return Ok(file.clone()),
            Some(None) => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
        OverlayFile::over(self.shared.base.open(path, OpenMode::Read)?)
    }
}

impl<D: Disk> Disk for Overlay<D> {
    type File = OverlayFile<D::File>;
    type Lock = Option<D::Lock>;

    fn create_dir_all(&self, _path: &str) -> io::Result<()> {
        // A directory that is not below is empty until a file is made in it.
        Ok(())
    }

    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Self::File> {
        let file = if mode == OpenMode::Create { OverlayFile::empty() } else { self.find(path)? };
        if mode != OpenMode::Read {
            self.names().insert(path.to_owned(), Some(file.clone()));
        }
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.find(from)?;
        let mut names = self.names();
        names.insert(from.to_owned(), None);
        names.insert(to.to_owned(), Some(file));
        Ok(())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.find(path)?;
        self.names().insert(path.to_owned(), None);
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>> {
        let below = match self.shared.base.list(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        let mut sizes: BTreeMap<String, u64> =
            below.into_iter().map(|entry| (entry.name, entry.bytes)).collect();
        for (changed, file) in &*self.names() {
            let name = changed.rsplit('/').next().unwrap_or(changed);
            if join(path, name) != *changed {
                continue;
            }
            match file {
                Some(file) => drop(sizes.insert(name.to_owned(), file.length()?)),
                None => drop(sizes.remove(name)),
            }
        }
        Ok(sizes.into_iter().map(|(name, bytes)| DirEntry { name, bytes }).collect())
    }

    fn sync_dir(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &str, owner: &str) -> io::Result<LockAttempt<Self::Lock>> {
        if self.shared.locking == Locking::Beside {
            return Ok(LockAttempt::Taken(None));
        }
        Ok(match self.shared.base.lock(path, owner)? {
            LockAttempt::Taken(lock) => LockAttempt::Taken(Some(lock)),
            LockAttempt::HeldBy(owner) => LockAttempt::HeldBy(owner),
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        // Memory has room; a look at a home on a full disk is no other than at any home.
        Ok(1 << 40)
    }
}

/// A file that an overlay changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its path.
    pub path: String,
    /// Its length now; `None` if it is gone.
    pub length: Option<u64>,
    /// Whether there is one below, too.
    pub replaces: bool,
}

fn is_same<F: DiskFile>(file: &OverlayFile<F>, below: &F) -> io::Result<bool> {
    if file.length()? != below.length()? {
        return Ok(false);
    }
    let mut buffers = [vec![0; 1 << 20], vec![0; 1 << 20]];
    let mut offset = 0;
    loop {
        let count = file.read_at(offset, &mut buffers[0])?;
        let same =
            below.read_at(offset, &mut buffers[1])? == count && buffers[0][..count] == buffers[1][..count];
        if !same || count == 0 {
            return Ok(same);
        }
        offset += count as u64;
    }
}

/// A file of the disk below, a changed one, or a new one.
#[derive(Debug)]
pub struct OverlayFile<F> {
    shared: Arc<SharedFile<F>>,
}

impl<F> Clone for OverlayFile<F> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct SharedFile<F> {
    base: Option<F>,
    written: RwLock<Written>,
}

#[derive(Debug, Default)]
struct Written {
    length: u64,
    /// Where the base ends, or was cut: what lies behind it in no block is zeros.
    base_length: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl<F: DiskFile> OverlayFile<F> {
    fn empty() -> Self {
        Self { shared: Arc::new(SharedFile { base: None, written: RwLock::default() }) }
    }

    fn over(base: F) -> io::Result<Self> {
        let length = base.length()?;
        let written = Written { length, base_length: length, blocks: BTreeMap::new() };
        Ok(Self { shared: Arc::new(SharedFile { base: Some(base), written: written.into() }) })
    }

    /// Fills `buffer` from the base, and with zeros behind its end.
    fn read_base(&self, written: &Written, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let count = written.base_length.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let read = match &self.shared.base {
            Some(base) if count > 0 => base.read_at(offset, &mut buffer[..count])?,
            _ => 0,
        };
        buffer[read..].fill(0);
        Ok(())
    }
}

impl<F: DiskFile> DiskFile for OverlayFile<F> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let written = self.shared.written.read().unwrap_or_else(PoisonError::into_inner);
        let count = written.length.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let buffer = &mut buffer[..count];
        self.read_base(&written, offset, buffer)?;
        let last = (offset + count as u64).div_ceil(BLOCK_BYTES as u64);
        for (block, bytes) in written.blocks.range(offset / BLOCK_BYTES as u64..last) {
            let start = block * BLOCK_BYTES as u64;
            let (from, to) = (start.max(offset), (start + BLOCK_BYTES as u64).min(offset + count as u64));
            let part = &bytes[(from - start) as usize..(to - start) as usize];
            buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
        }
        Ok(count)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = self.shared.written.write().unwrap_or_else(PoisonError::into_inner);
        let mut at = 0;
        while at < bytes.len() {
            let position = offset + at as u64;
            let (block, within) = (position / BLOCK_BYTES as u64, (position % BLOCK_BYTES as u64) as usize);
            let count = (BLOCK_BYTES - within).min(bytes.len() - at);
            let mut content = match written.blocks.remove(&block) {
                Some(content) => content,
                None => {
                    let mut content = vec![0; BLOCK_BYTES].into_boxed_slice();
                    self.read_base(&written, block * BLOCK_BYTES as u64, &mut content)?;
                    content
                }
            };
            content[within..within + count].copy_from_slice(&bytes[at..at + count]);
            written.blocks.insert(block, content);
            at += count;
        }
        written.length = written.length.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut written = self.shared.written.write().unwrap_or_else(PoisonError::into_inner);
        if length < written.length {
            written.base_length = written.base_length.min(length);
            let within = (length % BLOCK_BYTES as u64) as usize;
            drop(written.blocks.split_off(&length.div_ceil(BLOCK_BYTES as u64)));
            if let Some(last) = written.blocks.get_mut(&(length / BLOCK_BYTES as u64)) {
                last[within..].fill(0);
            }
        }
        written.length = length;
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.shared.written.read().unwrap_or_else(PoisonError::into_inner).length)
    }
}
