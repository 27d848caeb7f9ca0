//! The whole state as bytes, and back.
//!
//! A snapshot is *tables* and *pages*. Tables are small: everything but jobs and idempotency keys. Those stand in
//! pages, and a page holds all that is durable of its rows, so that a page which did not change need not be written
//! again. Every index (lanes, timers, unique keys, lists) is left out and built again on load from what the rows say,
//! so an index can change its shape without a new format.
//!
//! [`State::begin_snapshot`] costs the engine the tables and a moment per changed page; the pages are encoded wherever
//! the [`SnapshotDraft`] is taken. Until [`State::end_snapshot`] says that it is safe, what was lent is not forgotten.

mod check;
mod first;
mod index;
mod rows;
mod tables;

use std::ops::Range;

pub use rows::{ChangedPage, LoadedPage};

use crate::state::{Limits, State};
use tables::{Rest, RestWithoutCached, RestWithoutStatistics, Tables};

/// Version of the tables' layout. The first one had the rows in it, the second one knew no sweep over free places, the
/// third one no absent children, the fourth one no locks, the fifth one no cached results and no cache, the sixth one no
/// statistics, the seventh one not how long an interpreter's lock was held.
const VERSION: u16 = 8;

/// A snapshot that does not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes are no snapshot.
    #[error("the snapshot does not read: {0}")]
    Malformed(#[from] postcard::Error),
    /// It was written by another version.
    #[error("the snapshot has layout {found}, this version reads up to {VERSION}")]
    Version {
        /// Its layout.
        found: u16,
    },
    /// Its parts contradict each other.
    #[error("the snapshot contradicts itself: {0}")]
    Inconsistent(&'static str),
}

/// A snapshot being taken: the state at one moment, whatever happens to it afterwards.
#[derive(Debug)]
pub struct SnapshotDraft {
    /// The tables, encoded.
    pub tables: Vec<u8>,
    /// Numbers of all pages that belong to it: those below, and others that were kept before and have not changed.
    pub pages: Vec<Range<u64>>,
    /// Pages that changed since they were kept.
    pub changed: Vec<ChangedPage>,
}

/// A whole snapshot, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The tables.
    pub tables: Vec<u8>,
    /// Every page, by number.
    pub pages: Vec<(u64, Vec<u8>)>,
}

impl State {
    /// Begins a snapshot of the state as it is. Whatever changes a page that is still held by the draft copies it
    /// first.
    ///
    /// Its outcome must be told by [`State::end_snapshot`] before the next one begins.
    pub fn begin_snapshot(&mut self) -> SnapshotDraft {
        let (tables, pages) = (self.tables(), self.page_numbers().to_vec());
        let slots = self.slots.pages.lend_changed().into_iter().map(ChangedPage::of_slots);
        let keys = self.keys_by_age.lend_changed().into_iter().map(ChangedPage::of_keys);
        SnapshotDraft { tables, pages, changed: slots.chain(keys).collect() }
    }

    /// The snapshot that was begun is safe, or not: then the next one has its pages again.
    pub fn end_snapshot(&mut self, kept: bool) {
        self.slots.pages.settle(kept);
        self.keys_by_age.settle(kept);
    }

    /// Rows of the pages that a snapshot would write now. Looks at all pages: thousands, not millions.
    pub fn changed_rows(&self) -> u64 {
        self.slots.pages.changed_rows() + self.keys_by_age.changed_rows()
    }

    /// The whole state as bytes, changed or not; [`State::from_snapshot`] reads them.
    pub fn snapshot(&self) -> Snapshot {
        let slots = (0..).zip(self.slots.pages.iter()).map(|(number, rows)| rows::encode_slots(number, rows));
        let keys = self.keys_by_age.pages().map(|(number, rows)| rows::encode_keys(number, rows));
        Snapshot { tables: self.tables(), pages: slots.chain(keys).collect() }
    }

    /// Numbers of the pages of slots, and of those of keys.
    fn page_numbers(&self) -> [Range<u64>; 2] {
        let keys = self.keys_by_age.page_range();
        [0..self.slots.pages.count() as u64, rows::KEYS + keys.start..rows::KEYS + keys.end]
    }

    /// The state that a snapshot holds.
    ///
    /// Errors if the bytes are no snapshot or one of a later version.
    pub fn from_snapshot(snapshot: &Snapshot, limits: Limits) -> Result<Self, SnapshotError> {
        let pages = snapshot.pages.iter().map(|(number, bytes)| LoadedPage::read(*number, bytes));
        Self::from_pages(&snapshot.tables, pages.collect::<Result<_, _>>()?, limits)
    }

    /// The same from pages that were read already, in the order of their numbers. One of the first layout has none.
    pub fn from_pages(tables: &[u8], pages: Vec<LoadedPage>, limits: Limits) -> Result<Self, SnapshotError> {
        let (version, _) = postcard::take_from_bytes::<u16>(tables)?;
        match version {
            1 => first::read(tables, limits),
            2..=VERSION => {
                let (tables, rest) = postcard::take_from_bytes::<Tables>(tables)?;
                let rest = match version {
                    2 => Rest::default(),
                    3 => Rest { hand: postcard::from_bytes(rest)?, ..Rest::default() },
                    4 => {
                        let (hand, absent) = postcard::from_bytes(rest)?;
                        Rest { hand, absent, ..Rest::default() }
                    }
                    5 => postcard::from_bytes::<RestWithoutCached>(rest)?.into(),
                    6 => postcard::from_bytes::<RestWithoutStatistics>(rest)?.into(),
                    7 => postcard::from_bytes(rest)?,
                    _ => {
                        let (rest, gil) = postcard::from_bytes::<(Rest, _)>(rest)?;
                        Rest { gil, ..rest }
                    }
                };
                let (slots, keys) = rows::sort_out(pages)?;
                let mut state = Self::assemble(tables, rest, (slots, keys), limits)?;
                // Building indexes touched rows, but nothing durable of them.
                state.slots.pages.mark_all(false);
                Ok(state)
            }
            found => Err(SnapshotError::Version { found }),
        }
    }
}
