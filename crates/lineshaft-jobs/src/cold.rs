//! Pages of jobs at rest leave memory, and come back with the first change of one of their jobs.
//!
//! What leaves is the plain part of a page: the slots, and the times that jobs wait for. It reads the same wherever it
//! lies, so no rule knows of it. Somebody outside says when pages leave, and where they go: the pages that
//! [`State::resting_pages`] lends are [cooled](RestingPage::cool) on any thread and given [back](State::take_cold).

use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;

use crate::slot_page::{SlotPage, Vacated};
use crate::state::State;

/// When pages changed last, in eras of the caller's, and which came back.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    era: u32,
    changed: Vec<u32>,
    came_back: Vec<u32>,
}

impl Rest {
    pub(crate) fn add_page(&mut self) {
        self.changed.push(self.era);
    }

    #[inline]
    pub(crate) fn touch(&mut self, page: usize) {
        self.changed[page] = self.era;
    }

    pub(crate) fn came_back(&mut self, page: u32) {
        self.came_back.push(page);
    }
}

/// What the plain parts of all pages take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageBytes {
    /// In memory.
    pub hot: u64,
    /// Elsewhere.
    pub cold: u64,
}

/// A page that nobody changed for a while, lent to whoever takes it out of memory.
#[derive(Debug)]
pub struct RestingPage {
    number: u32,
    page: Arc<SlotPage>,
}

/// The same with its plain part elsewhere too.
#[derive(Debug)]
pub struct ColdPage {
    number: u32,
    page: Arc<SlotPage>,
    parts: [Bytes; 2],
}

impl RestingPage {
    /// Has its plain part put elsewhere: `put` gives where the same bytes stand from now on, aligned to 8.
    pub fn cool<E>(self, put: impl FnMut(&[u8]) -> Result<Bytes, E>) -> Result<ColdPage, E> {
        let parts = put_parts(&self.page, put)?;
        Ok(ColdPage { number: self.number, page: self.page, parts })
    }
}

/// Puts the plain part of a page elsewhere.
pub(crate) fn put_parts<E>(
    page: &SlotPage,
    mut put: impl FnMut(&[u8]) -> Result<Bytes, E>,
) -> Result<[Bytes; 2], E> {
    let [slots, times] = page.plain();
    let times = if times.is_empty() { Bytes::new() } else { put(times)? };
    Ok([put(slots)?, times])
}

impl State {
    /// Says which era it is; they only grow.
    pub fn set_era(&mut self, era: u32) {
        self.slots.rest.era = era;
    }

    /// What pages take. Looks at all of them: thousands, not millions.
    pub fn page_bytes(&self) -> PageBytes {
        self.slots.pages.iter().map(SlotPage::plain_bytes).fold(PageBytes::default(), |sum, (hot, cold)| {
            PageBytes { hot: sum.hot + hot, cold: sum.cold + cold }
        })
    }

    /// Lends pages that are in memory and were last changed in `era` or before: those that rest longest, up to so many.
    pub fn resting_pages(&mut self, era: u32, at_most: usize) -> Vec<RestingPage> {
        let pages = (0..).zip(self.slots.pages.iter().zip(&self.slots.rest.changed));
        let resting = pages.filter(|(_, (page, changed))| !page.is_cold() && **changed <= era);
        // Among equals those that are used last leave first.
        let mut resting: Vec<(u32, Reverse<u32>)> =
            resting.map(|(number, (_, changed))| (*changed, Reverse(number))).collect();
        if resting.len() > at_most {
            resting.select_nth_unstable(at_most);
            resting.truncate(at_most);
        }
        let lend = |(_, Reverse(number)): (u32, Reverse<u32>)| {
            Some(RestingPage { number, page: self.slots.pages.lend(number as usize)? })
        };
        resting.into_iter().filter_map(lend).collect()
    }

    /// Reads a page elsewhere from now on, and gives the memory that it took. Nothing happens if it changed meanwhile or
    /// is lent to a snapshot.
    pub fn take_cold(&mut self, page: ColdPage) -> Option<Vacated> {
        let ColdPage { number, page, parts } = page;
        self.slots.pages.take_back_unchanged(number as usize, page, |page| page.cool(parts))
    }

    /// The pages that came back into memory since the last call, by number.
    pub fn take_came_back(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.slots.rest.came_back)
    }

    /// The bytes that a page lies in, as far as that is not memory.
    pub fn cold_parts(&self, page: u32) -> impl Iterator<Item = &Bytes> {
        self.slots.pages.get(page as usize).into_iter().flat_map(SlotPage::elsewhere)
    }
}
