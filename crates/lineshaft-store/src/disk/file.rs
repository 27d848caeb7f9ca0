//! The real disk: a directory of the operating system.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DirEntry, Disk, DiskFile, LockAttempt, OpenMode};

/// Files below a directory.
#[derive(Clone, Debug)]
pub struct FileDisk {
    root: Arc<Path>,
}

impl FileDisk {
    /// The disk in `root`, which is created when the store opens it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn full(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.to_path_buf() } else { self.root.join(path) }
    }
}

impl Disk for FileDisk {
    type File = File;
    type Lock = FileLock;

    fn create_dir_all(&self, path: &str) -> io::Result<()> {
        // What jobs are given and give back is nobody else's business.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.full(path))
    }

    fn open(&self, path: &str, mode: OpenMode) -> io::Result<File> {
        let create = mode == OpenMode::Create;
        File::options()
            .read(true)
            .write(mode != OpenMode::Read)
            .create(create)
            .truncate(create)
            .open(self.full(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.full(from), self.full(to))
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.full(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.full(path))? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // Names that are not UTF-8 are not ours.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                entries.push(DirEntry { name, bytes: metadata.len() });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        File::open(self.full(path))?.sync_all()
    }

    fn lock(&self, path: &str, owner: &str) -> io::Result<LockAttempt<FileLock>> {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(self.full(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(LockAttempt::HeldBy(read_start(&file)?)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // In place: on a full disk a file that is emptied first may stay so.
        file.write_all(owner.as_bytes())?;
        file.set_len(owner.len() as u64)?;
        Ok(LockAttempt::Taken(FileLock(file)))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&*self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The lock of a file, given up when this is dropped even if a process that was forked meanwhile still has the descriptor.
#[derive(Debug)]
pub struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        // It ends with the descriptor anyway, at the latest.
        let _ = self.0.unlock();
    }
}

fn read_start(file: &File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(4096).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl DiskFile for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            match FileExt::read_at(self, &mut buffer[count..], offset + count as u64) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn share(&self, other: BorrowedFd<'_>) -> io::Result<()> {
        Ok(rustix::fs::ioctl_ficlone(self, other)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that was forked while a home was open kept it locked until it ran its own program.
    #[test]
    fn a_lock_that_is_given_up_is_free_although_a_copy_of_its_descriptor_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(directory.path());
        let Ok(LockAttempt::Taken(lock)) = disk.lock("LOCK", "me") else { panic!("not free") };
        let _inherited = lock.0.try_clone().unwrap();
        assert!(matches!(disk.lock("LOCK", "other"), Ok(LockAttempt::HeldBy(owner)) if owner == "me"));
        drop(lock);
        assert!(matches!(disk.lock("LOCK", "other"), Ok(LockAttempt::Taken(_))));
    }
}
