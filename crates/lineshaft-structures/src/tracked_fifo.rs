//! A queue in pages that remembers which pages changed, and lends them to whoever keeps them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::page::{Mark, Page};
use crate::paged_vec::PAGE_LEN;

/// Elements that come in at the back and go at the front, each under a number that it keeps: they count from 0 for as
/// long as the queue lives.
///
/// The element of number `n` is in page `n / PAGE_LEN`. A full page never changes again, so it is lent once; elements
/// that went stay in their page until all of it is gone.
#[derive(Clone, Debug)]
pub struct TrackedFifo<T> {
    pages: VecDeque<Page<Vec<T>>>,
    first: u64,
    next: u64,
}

const LEN: u64 = PAGE_LEN as u64;

impl<T> TrackedFifo<T> {
    /// An empty queue whose next element has the number 0; allocates nothing.
    pub const fn new() -> Self {
        Self { pages: VecDeque::new(), first: 0, next: 0 }
    }

    /// Number of elements.
    pub const fn len(&self) -> u64 {
        self.next - self.first
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// Numbers of the elements: from the oldest up to the next one to come.
    pub const fn range(&self) -> std::ops::Range<u64> {
        self.first..self.next
    }

    /// Numbers of the pages.
    pub fn page_range(&self) -> std::ops::Range<u64> {
        let first = self.first / LEN;
        first..first + self.pages.len() as u64
    }

    /// The element of number `number`, if it is there.
    pub fn get(&self, number: u64) -> Option<&T> {
        if !self.range().contains(&number) {
            return None;
        }
        let page = &self.pages[(number / LEN - self.first / LEN) as usize];
        page.rows().get((number % LEN) as usize)
    }

    /// Every element, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let gone = (self.first % LEN) as usize;
        let skipped = std::iter::once(gone).chain(std::iter::repeat(0));
        self.pages.iter().zip(skipped).flat_map(|(page, skipped)| &page.rows()[skipped..])
    }

    /// Every page in order, with its number.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[T])> {
        self.page_range().zip(self.pages.iter().map(|page| page.rows().as_slice()))
    }

    /// Takes the oldest element out; false if there is none. Its value is dropped with its page.
    pub fn pop_front(&mut self) -> bool {
        if self.is_empty() {
            return false;
        }
        self.first += 1;
        if self.first.is_multiple_of(LEN) {
            self.pages.pop_front();
        }
        true
    }

    /// The queue of the elements `range`, whose pages somebody keeps already: none is marked. `None` unless the pages
    /// are those of that range, all full but the last.
    pub fn from_kept_pages(range: std::ops::Range<u64>, pages: Vec<Vec<T>>) -> Option<Self> {
        let mut rows = range.start - range.start % LEN;
        for page in &pages {
            let fits = rows.is_multiple_of(LEN) && (1..=PAGE_LEN).contains(&page.len());
            rows = if fits { rows.checked_add(page.len() as u64)? } else { return None };
        }
        // An empty queue may stand at the beginning of a page that is not there yet.
        let is_whole = rows == range.end && range.start <= range.end;
        let pages = pages.into_iter().map(|page| Page::new(page, Mark::Kept)).collect();
        is_whole.then_some(Self { pages, first: range.start, next: range.end })
    }

    /// Elements of the pages that changed since they were kept or lent.
    pub fn changed_rows(&self) -> u64 {
        let changed = self.pages.iter().filter(|page| page.is_changed());
        changed.map(|page| page.rows().len() as u64).sum()
    }

    /// Marks every page, or none: for whoever knows better.
    pub fn mark_all(&mut self, changed: bool) {
        let mark = if changed { Mark::Changed } else { Mark::Kept };
        self.pages.iter_mut().for_each(|page| page.set_mark(mark));
    }

    /// What was lent last is kept, or else lost: then its pages are marked again.
    pub fn settle(&mut self, kept: bool) {
        self.pages.iter_mut().for_each(|page| page.settle(kept));
    }
}

impl<T: Clone> TrackedFifo<T> {
    /// Every marked page with its number, as it is now; the marks are gone, to come back if it is [lost](Self::settle).
    pub fn lend_changed(&mut self) -> Vec<(u64, Arc<Vec<T>>)> {
        let pages = self.page_range().zip(&mut self.pages);
        pages.filter_map(|(number, page)| Some((number, page.lend_changed()?))).collect()
    }

    /// Appends an element and returns its number.
    pub fn push_back(&mut self, value: T) -> u64 {
        if self.next.is_multiple_of(LEN) {
            self.pages.push_back(Page::new(Vec::new(), Mark::Changed));
        }
        self.pages.back_mut().expect("the page of the next element is there").change().push(value);
        self.next += 1;
        self.next - 1
    }
}

impl<T> Default for TrackedFifo<T> {
    fn default() -> Self {
        Self::new()
    }
}
