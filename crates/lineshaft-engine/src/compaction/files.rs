//! The cold files that there are, and since when nobody needs them.

use std::collections::BTreeMap;

use lineshaft_jobs::State;
use lineshaft_store::{Error, JournalHandle};

/// What is on disk.
#[derive(Debug, Default)]
pub(crate) struct ColdFiles {
    /// Bytes of each file.
    bytes: BTreeMap<u64, u64>,
    /// Files that no job needed in a snapshot of this commit, nor will.
    dead: BTreeMap<u64, u64>,
}

impl ColdFiles {
    /// Finds the files. Errors if one is missing that a job needs.
    pub(crate) fn open(journal: &impl JournalHandle, state: &State) -> Result<Self, Error> {
        let bytes: BTreeMap<u64, u64> =
            journal.cold_files()?.into_iter().map(|file| (file.number, file.bytes)).collect();
        match state.cold_files().find(|(file, _)| !bytes.contains_key(file)) {
            Some((file, _)) => Err(Error::NoCold { file }),
            None => Ok(Self { bytes, dead: BTreeMap::new() }),
        }
    }

    /// A number that no commit and no snapshot names: greater than all others, and never below the newest commit's, so
    /// that one which is gone does not come again.
    pub(crate) fn next_number(&self, lsn: u64) -> u64 {
        self.bytes.keys().next_back().map_or(0, |newest| newest + 1).max(lsn)
    }

    pub(crate) fn add(&mut self, file: u64, bytes: u64) {
        self.bytes.insert(file, bytes);
    }

    /// Number and size of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.bytes.iter().map(|(file, bytes)| (*file, *bytes))
    }

    /// Notes the files that the state of commit `lsn` does not need; `filling` is going to be needed.
    pub(crate) fn note_dead(&mut self, state: &State, filling: Option<u64>, lsn: u64) {
        for file in self.bytes.keys() {
            if Some(*file) != filling && state.live_in_file(*file).payloads == 0 {
                self.dead.entry(*file).or_insert(lsn);
            }
        }
    }

    /// Takes out the files that were dead at `past_lsn`: no state from there on needs them.
    pub(crate) fn take_dead(&mut self, past_lsn: u64) -> Vec<u64> {
        let gone: Vec<u64> =
            self.dead.iter().filter(|(_, lsn)| **lsn <= past_lsn).map(|(file, _)| *file).collect();
        for file in &gone {
            self.dead.remove(file);
            self.bytes.remove(file);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use lineshaft_jobs::Limits;

    use super::*;

    #[test]
    fn a_dead_file_goes_when_both_snapshots_are_past_its_death() {
        let state = State::new(0, Limits::default());
        let mut files = ColdFiles::default();
        files.add(5, 100);
        files.add(9, 100);
        files.note_dead(&state, Some(9), 20);
        assert_eq!(files.take_dead(19), [0; 0]);
        files.note_dead(&state, None, 30);
        assert_eq!(files.take_dead(29), [5]);
        assert_eq!(files.take_dead(30), [9]);
        assert_eq!(files.iter().count(), 0);
    }

    #[test]
    fn a_new_number_is_above_all_files_and_all_commits() {
        let mut files = ColdFiles::default();
        assert_eq!(files.next_number(7), 7);
        files.add(7, 1);
        assert_eq!(files.next_number(7), 8);
        assert_eq!(files.next_number(70), 70);
    }
}
