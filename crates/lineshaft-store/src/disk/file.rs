//! The real disk: a directory of the operating system.
//!
//! It is opened once, and files are found from there: a directory that is moved takes its writer along, and what is put
//! in its place is left alone.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{DirEntry, Disk, DiskFile, LockAttempt, OpenMode};

/// Files below a directory.
#[derive(Clone, Debug)]
pub struct FileDisk {
    root: Arc<Root>,
}

#[derive(Debug)]
struct Root {
    path: PathBuf,
    /// From the first use on.
    directory: OnceLock<OwnedFd>,
}

impl FileDisk {
    /// The disk in `root`, which is created when the store opens it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: Arc::new(Root { path: root.into(), directory: OnceLock::new() }) }
    }

    /// Where the directory was when it was first used.
    pub fn root(&self) -> &Path {
        &self.root.path
    }

    fn directory(&self) -> io::Result<BorrowedFd<'_>> {
        let Root { path, directory } = &*self.root;
        if let Some(opened) = directory.get() {
            return Ok(opened.as_fd());
        }
        let opened = File::open(path)?;
        Ok(directory.get_or_init(|| opened.into()).as_fd())
    }

    fn open_at(&self, path: &str, flags: OFlags) -> io::Result<File> {
        let directory = self.directory()?;
        let path = if path.is_empty() { "." } else { path };
        let opened = retry_on_intr(|| {
            rustix::fs::openat(directory, path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))
        });
        Ok(opened?.into())
    }
}

impl Disk for FileDisk {
    type File = File;
    type Lock = FileLock;

    fn create_dir_all(&self, path: &str) -> io::Result<()> {
        // What jobs are given and give back is nobody else's business.
        const MODE: u32 = 0o700;
        if self.root.directory.get().is_none() {
            fs::DirBuilder::new().recursive(true).mode(MODE).create(&self.root.path)?;
        }
        let directory = self.directory()?;
        let mut made = PathBuf::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            made.push(part);
            match rustix::fs::mkdirat(directory, &made, Mode::from_raw_mode(MODE)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn open(&self, path: &str, mode: OpenMode) -> io::Result<File> {
        let flags = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::Write => OFlags::RDWR,
            OpenMode::Create => OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
        };
        self.open_at(path, flags)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let directory = self.directory()?;
        Ok(rustix::fs::renameat(directory, from, directory, to)?)
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self.directory()?, path, AtFlags::empty())?)
    }

    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>> {
        let directory = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let found = rustix::fs::statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
            // Names that are not UTF-8 are not ours.
            if let (true, Ok(name)) = (is_file, entry.file_name().to_str()) {
                entries.push(DirEntry { name: name.to_owned(), bytes: found.st_size.cast_unsigned() });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?.sync_all()
    }

    fn lock(&self, path: &str, owner: &str) -> io::Result<LockAttempt<FileLock>> {
        let mut file = self.open_at(path, OFlags::RDWR | OFlags::CREATE)?;
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
        let stat = rustix::fs::fstatvfs(self.directory()?)?;
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

    /// A server whose home was moved away wrote its next files into the home that had taken its place.
    #[test]
    fn a_directory_that_is_moved_takes_its_writer_along() {
        let place = tempfile::tempdir().unwrap();
        let (old, new) = (place.path().join("home"), place.path().join("moved"));
        let disk = FileDisk::new(&old);
        disk.create_dir_all("seg").unwrap();
        fs::rename(&old, &new).unwrap();
        fs::create_dir_all(old.join("seg")).unwrap();
        let file = disk.open("seg/1.tmp", OpenMode::Create).unwrap();
        DiskFile::write_all_at(&file, 0, b"one").unwrap();
        disk.rename("seg/1.tmp", "seg/1").unwrap();
        disk.create_dir_all("snap").unwrap();
        disk.sync_dir("seg").unwrap();
        assert_eq!(fs::read(new.join("seg/1")).unwrap(), b"one");
        assert_eq!(disk.list("seg").unwrap(), [DirEntry { name: "1".to_owned(), bytes: 3 }]);
        disk.remove_file("seg/1").unwrap();
        assert!(new.join("snap").exists() && !new.join("seg/1").exists());
        assert!(!old.join("snap").exists() && fs::read_dir(old.join("seg")).unwrap().next().is_none());
    }
}
