//! A disk in memory that can lose power, fail and fill up, on purpose and repeatably.
//!
//! What was written but not synced is kept apart from what is durable. [`SimulatedDisk::power_loss`] gives the disk
//! as it might be found afterwards: of the unsynced writes some 512-byte sectors are there, some are not, some are
//! torn; of the unsynced directory changes some happened. [`SimulatedDisk::crash_at`] stops everything at one
//! operation, so that a test can crash a history at each of them in turn.

mod contents;
mod names;
mod state;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use lineshaft_store::disk::{DirEntry, Disk, DiskFile, LockAttempt, OpenMode};

use names::NameChange;
use state::{Fate, Faults, State, crashed, finish};

/// Places looked at for one that was written.
const FLIP_TRIES: u32 = 256;

/// A simulated disk. Clones are handles on the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

/// What a power loss leaves of the changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    Everything,
    /// A part that depends on the seed.
    Some(u64),
}

impl SimulatedDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Operations so far that change something: creations, writes, lengths, syncs, renames, removals.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Syncs of files so far that succeeded.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Dies in the middle of that operation (from 1); it and all later ones fail.
    pub fn crash_at(&self, operation: u64) {
        self.state().faults.crash_at = Some(operation);
    }

    /// Lets that one operation (from 1) fail with an I/O error. A failed sync drops what it should have made
    /// durable, although reads still see it: as kernels do.
    pub fn fail_at(&self, operation: u64) {
        self.state().faults.fail_at = Some(operation);
    }

    /// Lets the so many-th sync of a file from here (from 1) fail like that.
    pub fn fail_sync(&self, syncs: u64) {
        self.state().faults.syncs_until_error = Some(syncs);
    }

    /// Whether the operation of [`SimulatedDisk::crash_at`] has come.
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// Whether the operation of [`SimulatedDisk::fail_at`] has come.
    pub fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// Lets writes fail that take more than `bytes` more, until room was asked for or missed `looks` times.
    pub fn fill(&self, bytes: u64, looks: u32) {
        let mut state = self.state();
        let capacity = state.used_bytes() + bytes;
        (state.faults.capacity, state.faults.looks) = (Some(capacity), Some(looks));
    }

    /// Looks for room, as a program does that cannot start.
    pub fn look_for_room(&self) {
        self.state().look();
    }

    /// Whether there is an end to what it takes.
    pub fn is_full(&self) -> bool {
        self.state().faults.capacity.is_some()
    }

    /// Takes back every fault that has not come yet.
    pub fn spare(&self) {
        self.state().faults = Faults::default();
    }

    /// Lets the next sync of a file take this long.
    pub fn stall(&self, time: Duration) {
        self.state().faults.stall = Some(time);
    }

    /// Lets writes fail that would make the files together larger than this; `None` for an endless disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().faults.capacity = bytes;
    }

    /// The disk after the process died and another one starts: all finished writes are seen, locks are free, faults
    /// are over. This handle and the returned one are independent.
    #[must_use]
    pub fn restart(&self) -> Self {
        let mut state = self.state().without_handles();
        let Faults { capacity, looks, .. } = state.faults;
        state.faults = Faults { capacity, looks, ..Faults::default() };
        (state.crashed, state.failed) = (false, false);
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as found after the power failed now. This handle and the returned one are independent.
    #[must_use]
    pub fn power_loss(&self, loss: Loss) -> Self {
        let mut rng = match loss {
            Loss::Everything => None,
            Loss::Some(seed) => Some(fastrand::Rng::with_seed(seed)),
        };
        let found = self.restart();
        let mut state = found.state();
        state.names.settle(rng.as_mut());
        state.files.values_mut().for_each(|file| file.settle(rng.as_mut()));
        drop(state);
        found
    }

    /// Inverts the bits of `mask` in a byte of a file, durably.
    ///
    /// Panics if the file is not that long.
    pub fn flip(&self, path: &str, offset: u64, mask: u8) {
        let mut state = self.state();
        let file = state.file_at(path).expect("the file to damage exists");
        state.files.get_mut(&file).expect("names name files").flip(offset as usize, mask);
    }

    /// Inverts a bit of a byte that is not zero, durably, somewhere on the disk; says where. `None` if it found none.
    pub fn flip_any(&self, rng: &mut fastrand::Rng) -> Option<(String, u64)> {
        let mut state = self.state();
        let names: Vec<(String, u64)> =
            state.names.current.iter().map(|(name, file)| (name.clone(), *file)).collect();
        for _ in 0..FLIP_TRIES {
            let (name, file) = names.get(rng.usize(..names.len().max(1)))?;
            let contents = state.contents(*file);
            let length = contents.current.len();
            let offset = rng.usize(..length.max(1));
            if contents.current.get(offset).is_some_and(|byte| *byte != 0) {
                contents.flip(offset, 1 << rng.u32(..8));
                return Some((name.clone(), offset as u64));
            }
        }
        None
    }

    /// Puts some sectors that were written over others, durably, somewhere on the disk, as if a write had gone astray; says
    /// which. `None` if it found none, or they are the same.
    pub fn misdirect_any(&self, rng: &mut fastrand::Rng) -> Option<String> {
        let mut state = self.state();
        let names: Vec<(String, u64)> =
            state.names.current.iter().map(|(name, file)| (name.clone(), *file)).collect();
        for _ in 0..FLIP_TRIES {
            let (from, source) = rng.choice(&names)?;
            let (to, target) = rng.choice(&names)?;
            let Some(bytes) = state.contents(*source).sectors(rng.u32(..), rng.usize(1..=4)) else {
                continue;
            };
            if let Some(offset) = state.contents(*target).overwrite(rng.u32(..), &bytes) {
                return Some(format!("{} bytes of {from} at {offset} of {to}", bytes.len()));
            }
        }
        None
    }

    /// Puts what another disk has in a directory, and what is beneath, in the place of its own, durably.
    pub fn take_directory(&self, directory: &str, other: &Self) {
        let other = other.power_loss(Loss::Everything);
        let (mut state, other) = (self.state(), other.state());
        let prefix = format!("{directory}/");
        state.names.forget(&prefix);
        for (path, file) in other.names.current.iter().filter(|(path, _)| path.starts_with(&prefix)) {
            let number = state.add(other.files[file].clone());
            state.names.put(path, number);
        }
    }

    /// The content of a file as reads see it.
    ///
    /// Panics if there is no such file.
    pub fn content(&self, path: &str) -> Vec<u8> {
        let state = self.state();
        let file = state.file_at(path).expect("the file to read exists");
        state.files[&file].current.to_vec()
    }

    /// Every file.
    pub fn files(&self) -> Vec<String> {
        self.state().names.current.keys().cloned().collect()
    }

    /// Size of all files together.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;
    type Lock = SimulatedLock;

    fn create_dir_all(&self, _path: &str) -> io::Result<()> {
        // Directories exist as soon as a file is in them.
        if self.state().crashed { Err(crashed()) } else { Ok(()) }
    }

    fn open(&self, path: &str, mode: OpenMode) -> io::Result<SimulatedFile> {
        let mut state = self.state();
        if state.crashed {
            return Err(crashed());
        }
        let file = if mode == OpenMode::Create { state.create(path)? } else { state.file_at(path)? };
        Ok(SimulatedFile { disk: self.clone(), file, writable: mode != OpenMode::Read })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.file_at(from)?;
        state.change_names(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), file })
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.file_at(path)?;
        state.change_names(NameChange::Unlink { path: path.to_owned() })
    }

    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>> {
        let state = self.state();
        if state.crashed {
            return Err(crashed());
        }
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let names =
            state.names.current.iter().filter_map(|(name, file)| Some((name.strip_prefix(&prefix)?, file)));
        let here = names.filter(|(name, _)| !name.contains('/'));
        let entry = |(name, file): (&str, &u64)| DirEntry {
            name: name.to_owned(),
            bytes: state.files[file].current.len() as u64,
        };
        Ok(here.map(entry).collect())
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.begin()?;
        if fate == Fate::Succeeds {
            state.names.sync(path);
        }
        finish(fate)
    }

    fn lock(&self, path: &str, owner: &str) -> io::Result<LockAttempt<SimulatedLock>> {
        let mut state = self.state();
        if state.crashed {
            return Err(crashed());
        }
        if let Some(holder) = state.locks.get(path) {
            return Ok(LockAttempt::HeldBy(holder.clone()));
        }
        state.locks.insert(path.to_owned(), owner.to_owned());
        Ok(LockAttempt::Taken(SimulatedLock { disk: self.clone(), path: path.to_owned() }))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let mut state = self.state();
        state.look();
        Ok(state.room_for(1 << 50))
    }
}

/// A file of a simulated disk.
#[derive(Clone, Debug)]
pub struct SimulatedFile {
    disk: SimulatedDisk,
    file: u64,
    writable: bool,
}

impl SimulatedFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        if state.crashed {
            return Err(crashed());
        }
        let content = state.contents(self.file).current.get(offset as usize..).unwrap_or_default();
        let count = content.len().min(buffer.len());
        buffer[..count].copy_from_slice(&content[..count]);
        Ok(count)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        self.disk.state().write(self.file, offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let stall = self.disk.state().faults.stall.take();
        if let Some(time) = stall {
            thread::sleep(time);
        }
        self.disk.state().sync(self.file)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.state().change_contents(self.file, |contents| contents.set_length(length as usize))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state().contents(self.file).current.len() as u64)
    }
}

/// A lock of a simulated disk; ends when dropped.
#[derive(Debug)]
pub struct SimulatedLock {
    disk: SimulatedDisk,
    path: String,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(disk: &SimulatedDisk, path: &str, bytes: &[u8]) -> SimulatedFile {
        let file = disk.open(path, OpenMode::Create).unwrap();
        file.write_all_at(0, bytes).unwrap();
        file
    }

    #[test]
    fn unsynced_files_vanish_and_synced_ones_stay() {
        let disk = SimulatedDisk::new();
        write(&disk, "a", b"one").sync_data().unwrap();
        write(&disk, "b", b"two").sync_data().unwrap();
        assert_eq!(disk.power_loss(Loss::Everything).list("").unwrap(), []);
        disk.sync_dir("").unwrap();
        let found = disk.power_loss(Loss::Everything);
        assert_eq!((found.content("a"), found.content("b")), (b"one".to_vec(), b"two".to_vec()));
    }

    #[test]
    fn some_sectors_of_an_unsynced_write_survive_and_each_seed_repeats() {
        let disk = SimulatedDisk::new();
        let file = write(&disk, "a", &[1; 4096]);
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        file.write_all_at(0, &[2; 4096]).unwrap();
        let images: Vec<_> = (0..20).map(|seed| disk.power_loss(Loss::Some(seed)).content("a")).collect();
        assert!(images.iter().any(|image| image.contains(&1) && image.contains(&2)));
        assert_eq!(images[7], disk.power_loss(Loss::Some(7)).content("a"));
        assert_eq!(disk.power_loss(Loss::Everything).content("a"), [1; 4096]);
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next_one() {
        let disk = SimulatedDisk::new();
        let file = write(&disk, "a", b"one");
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        file.write_all_at(0, b"two").unwrap();
        disk.fail_at(disk.operations() + 1);
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok());
        assert_eq!(disk.content("a"), b"two");
        assert_eq!(disk.power_loss(Loss::Everything).content("a"), b"one");
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let disk = SimulatedDisk::new();
        disk.set_capacity(Some(5));
        let file = write(&disk, "a", b"abc");
        let error = file.write_all_at(3, b"defg").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.content("a"), b"abcde");
    }

    /// A file that was left over and removed, though not durably, came back under the name of the one that was made in its
    /// place: seed 400116.
    #[test]
    fn a_renaming_is_of_its_own_file_whatever_else_is_lost() {
        let disk = SimulatedDisk::new();
        write(&disk, "a.tmp", b"old").sync_data().unwrap();
        disk.sync_dir("").unwrap();
        disk.remove_file("a.tmp").unwrap();
        write(&disk, "a.tmp", b"new").sync_data().unwrap();
        disk.rename("a.tmp", "a").unwrap();
        for seed in 0..50 {
            let found = disk.power_loss(Loss::Some(seed));
            assert!(!found.files().contains(&"a".to_owned()) || found.content("a") == b"new");
        }
    }

    #[test]
    fn a_file_without_a_name_is_gone_when_nobody_has_it_open() {
        let disk = SimulatedDisk::new();
        let file = write(&disk, "a", b"one");
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        disk.remove_file("a").unwrap();
        assert_eq!(disk.restart().state().files.len(), 1, "its removal may be lost");
        disk.sync_dir("").unwrap();
        assert_eq!(disk.restart().state().files.len(), 0);
        let mut bytes = [0; 3];
        assert_eq!((file.read_at(0, &mut bytes).unwrap(), &bytes), (3, b"one"));
    }

    #[test]
    fn a_directory_of_another_disk_takes_the_place_of_its_own() {
        let (disk, other) = (SimulatedDisk::new(), SimulatedDisk::new());
        for (disk, path, bytes) in
            [(&disk, "a/old", &b"old"[..]), (&disk, "b", b"stays"), (&other, "a/new", b"new")]
        {
            write(disk, path, bytes).sync_data().unwrap();
            disk.sync_dir("a").unwrap();
            disk.sync_dir("").unwrap();
        }
        disk.take_directory("a", &other);
        let found = disk.power_loss(Loss::Everything);
        assert_eq!(found.files(), ["a/new", "b"]);
        assert_eq!(found.content("a/new"), b"new");
    }

    #[test]
    fn nothing_works_after_the_crash_until_the_restart() {
        let disk = SimulatedDisk::new();
        let file = write(&disk, "a", b"abc");
        disk.crash_at(disk.operations() + 1);
        assert!(file.sync_data().is_err());
        assert!(disk.open("a", OpenMode::Read).is_err());
        assert_eq!(disk.restart().content("a"), b"abc");
    }
}
