//! The suites of both traits, on the real and on the simulated disk.

use lineshaft_store::{BlockArchive, Disk, FileDisk, Home, Options, SegmentJournal};
use lineshaft_testkit::conformance;
use lineshaft_testkit::disk::SimulatedDisk;

use crate::support::small;

/// A disk in a directory that is removed with the last handle.
fn file_disk() -> (tempfile::TempDir, FileDisk) {
    let directory = tempfile::tempdir().unwrap();
    let disk = FileDisk::new(directory.path().join("home"));
    (directory, disk)
}

fn home<D: Disk>(disk: &D) -> Home<D> {
    Home::open(disk.clone()).expect("the home is free")
}

#[test]
fn segment_journal_on_the_real_disk() {
    conformance::journal::check(|| {
        let (directory, disk) = file_disk();
        move || {
            let _keep = &directory;
            SegmentJournal::open(&home(&disk), Options::default()).unwrap()
        }
    });
}

#[test]
fn segment_journal_with_small_segments_and_no_cache() {
    conformance::journal::check(|| {
        let (directory, disk) = file_disk();
        move || {
            let _keep = &directory;
            SegmentJournal::open(&home(&disk), Options { background: true, ..small() }).unwrap()
        }
    });
}

#[test]
fn segment_journal_on_the_simulated_disk() {
    conformance::journal::check(|| {
        let disk = SimulatedDisk::new();
        move || SegmentJournal::open(&home(&disk), small()).unwrap()
    });
}

#[test]
fn block_archive_on_the_real_disk() {
    conformance::archive::check(|| {
        let (directory, disk) = file_disk();
        move || {
            let _keep = &directory;
            BlockArchive::open(&home_shared(&disk)).unwrap()
        }
    });
}

#[test]
fn block_archive_on_the_simulated_disk() {
    conformance::archive::check(|| {
        let disk = SimulatedDisk::new();
        move || BlockArchive::open(&home_shared(&disk)).unwrap()
    });
}

/// The suite opens an archive a second time while the first is still there, to compare: so each gets a free lock.
fn home_shared<D: Disk>(disk: &D) -> Home<UnlockedDisk<D>> {
    Home::open(UnlockedDisk(disk.clone())).expect("there is no lock")
}

/// A disk that lets everyone have the lock.
#[derive(Clone)]
struct UnlockedDisk<D>(D);

impl<D: Disk> Disk for UnlockedDisk<D> {
    type File = D::File;
    type Lock = ();

    fn create_dir_all(&self, path: &str) -> std::io::Result<()> {
        self.0.create_dir_all(path)
    }
    fn open(&self, path: &str, mode: lineshaft_store::disk::OpenMode) -> std::io::Result<D::File> {
        self.0.open(path, mode)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &str) -> std::io::Result<()> {
        self.0.remove_file(path)
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<lineshaft_store::disk::DirEntry>> {
        self.0.list(path)
    }
    fn sync_dir(&self, path: &str) -> std::io::Result<()> {
        self.0.sync_dir(path)
    }
    fn lock(&self, _path: &str, _owner: &str) -> std::io::Result<lineshaft_store::disk::LockAttempt<()>> {
        Ok(lineshaft_store::disk::LockAttempt::Taken(()))
    }
    fn free_bytes(&self) -> std::io::Result<u64> {
        self.0.free_bytes()
    }
}
