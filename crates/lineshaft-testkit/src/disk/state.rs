//! Everything a simulated disk remembers, and what becomes of each operation.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::contents::Contents;
use super::names::{NameChange, Names};

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// By numbers that are never used again: who has one open reads it whatever becomes of its name.
    pub(super) files: BTreeMap<u64, Contents>,
    /// Files made so far.
    made: u64,
    pub(super) names: Names,
    /// Owners of the locks, by path.
    pub(super) locks: BTreeMap<String, String>,
    pub(super) faults: Faults,
    pub(super) operations: u64,
    pub(super) syncs: u64,
    pub(super) crashed: bool,
    pub(super) failed: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) crash_at: Option<u64>,
    pub(super) fail_at: Option<u64>,
    /// The sync of a file that fails, counted down.
    pub(super) syncs_until_error: Option<u64>,
    pub(super) capacity: Option<u64>,
    /// After so many looks for room there is some.
    pub(super) looks: Option<u32>,
    pub(super) stall: Option<Duration>,
}

/// What becomes of an operation that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeds,
    /// It fails with an I/O error, possibly after doing a part.
    Fails,
    /// The machine dies in the middle of it.
    Crashes,
}

impl State {
    /// The same when nobody has a file open any more: those without a name are gone, unless something of them is still to be
    /// decided.
    pub(super) fn without_handles(&self) -> Self {
        let named = self.names.files();
        let files =
            self.files.iter().filter(|(file, contents)| contents.is_unsettled() || named.contains(file));
        Self {
            files: files.map(|(file, contents)| (*file, contents.clone())).collect(),
            made: self.made,
            names: self.names.clone(),
            locks: BTreeMap::new(),
            faults: self.faults.clone(),
            ..*self
        }
    }

    /// Takes in a file; gives its number.
    pub(super) fn add(&mut self, contents: Contents) -> u64 {
        self.made += 1;
        self.files.insert(self.made, contents);
        self.made
    }

    pub(super) fn begin(&mut self) -> io::Result<Fate> {
        if self.crashed {
            return Err(crashed());
        }
        self.operations += 1;
        self.crashed = self.faults.crash_at == Some(self.operations);
        let fails = self.faults.fail_at == Some(self.operations);
        self.failed |= fails;
        Ok(if self.crashed {
            Fate::Crashes
        } else if fails {
            Fate::Fails
        } else {
            Fate::Succeeds
        })
    }

    pub(super) fn file_at(&self, path: &str) -> io::Result<u64> {
        self.names.current.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.names.current.values().map(|file| self.files[file].current.len() as u64).sum()
    }

    /// How many of `growth` bytes still fit.
    pub(super) fn room_for(&self, growth: u64) -> u64 {
        self.faults.capacity.map_or(growth, |capacity| growth.min(capacity.saturating_sub(self.used_bytes())))
    }

    /// Somebody looks for room, or misses it.
    pub(super) fn look(&mut self) {
        self.faults.looks = self.faults.looks.map(|looks| looks.saturating_sub(1));
        if self.faults.looks == Some(0) {
            (self.faults.capacity, self.faults.looks) = (None, None);
        }
    }

    /// Carries out a change of names, unless it fails; one that crashes may happen.
    pub(super) fn change_names(&mut self, change: NameChange) -> io::Result<()> {
        let fate = self.begin()?;
        if fate != Fate::Fails {
            self.names.change(change);
        }
        finish(fate)
    }

    pub(super) fn create(&mut self, path: &str) -> io::Result<u64> {
        if let Ok(file) = self.file_at(path) {
            self.change_contents(file, |contents| contents.set_length(0))?;
            return Ok(file);
        }
        let file = self.add(Contents::default());
        self.change_names(NameChange::Link { path: path.to_owned(), file })?;
        Ok(file)
    }

    pub(super) fn change_contents(
        &mut self,
        file: u64,
        change: impl FnOnce(&mut Contents),
    ) -> io::Result<()> {
        let fate = self.begin()?;
        if fate != Fate::Fails {
            change(self.contents(file));
        }
        finish(fate)
    }

    pub(super) fn write(&mut self, file: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let fate = self.begin()?;
        let length = self.contents(file).current.len() as u64;
        let growth = (offset + bytes.len() as u64).saturating_sub(length);
        let missing = growth - self.room_for(growth);
        let written = match fate {
            Fate::Fails => bytes.len() / 2,
            _ => bytes.len().saturating_sub(missing as usize),
        };
        self.contents(file).write(offset as usize, &bytes[..written]);
        finish(fate)?;
        if missing > 0 {
            self.look();
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, file: u64) -> io::Result<()> {
        let mut fate = self.begin()?;
        self.faults.syncs_until_error = self.faults.syncs_until_error.map(|left| left.saturating_sub(1));
        if fate == Fate::Succeeds && self.faults.syncs_until_error.take_if(|left| *left == 0).is_some() {
            (fate, self.failed) = (Fate::Fails, true);
        }
        match fate {
            Fate::Succeeds => {
                self.syncs += 1;
                self.contents(file).sync();
            }
            Fate::Fails => self.contents(file).forget_pending(),
            Fate::Crashes => {}
        }
        finish(fate)
    }

    pub(super) fn contents(&mut self, file: u64) -> &mut Contents {
        self.files.get_mut(&file).expect("handles name files")
    }
}

pub(super) fn finish(fate: Fate) -> io::Result<()> {
    match fate {
        Fate::Succeeds => Ok(()),
        Fate::Fails => Err(io::Error::other("simulated input/output error")),
        Fate::Crashes => Err(crashed()),
    }
}

pub(super) fn crashed() -> io::Error {
    io::Error::other("simulated crash")
}
