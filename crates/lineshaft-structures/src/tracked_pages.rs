//! Pages that remember which of them changed, and lend those to whoever keeps them.

use std::sync::Arc;

use crate::page::{Mark, Page, Rows};

/// A growing list of pages, indexed from 0.
///
/// Every change marks its page. [`Self::lend_changed`] gives the marked pages to a reader, which may live in another
/// thread, in a time that depends on their number alone; [`Self::settle`] says whether what was lent is safe. A change
/// of a page that is still lent copies it first, so the reader sees the moment of lending.
#[derive(Clone, Debug)]
pub struct TrackedPages<R> {
    pages: Vec<Page<R>>,
}

impl<R> TrackedPages<R> {
    /// No pages; allocates nothing.
    pub const fn new() -> Self {
        Self { pages: Vec::new() }
    }

    /// The rows of page `number`, or `None` past the end.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&R> {
        self.pages.get(number).map(Page::rows)
    }

    /// Number of pages.
    pub fn count(&self) -> usize {
        self.pages.len()
    }

    /// Every page in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &R> {
        self.pages.iter().map(Page::rows)
    }

    /// Appends a page, marked.
    pub fn push(&mut self, rows: R) {
        self.pages.push(Page::new(rows, Mark::Changed));
    }

    /// Appends a page that somebody keeps already: it is not marked.
    pub fn push_kept(&mut self, rows: R) {
        self.pages.push(Page::new(rows, Mark::Kept));
    }

    /// Marks every page, or none: for whoever knows better.
    pub fn mark_all(&mut self, changed: bool) {
        let mark = if changed { Mark::Changed } else { Mark::Kept };
        self.pages.iter_mut().for_each(|page| page.set_mark(mark));
    }

    /// What [`Self::lend_changed`] lent last is kept, or else lost: then its pages are marked again.
    pub fn settle(&mut self, kept: bool) {
        self.pages.iter_mut().for_each(|page| page.settle(kept));
    }
}

impl<R: Rows> TrackedPages<R> {
    /// Every marked page with its number, as it is now; the marks are gone, to come back if it is [lost](Self::settle).
    pub fn lend_changed(&mut self) -> Vec<(u32, Arc<R>)> {
        let pages = (0..).zip(&mut self.pages);
        pages.filter_map(|(number, page)| Some((number, page.lend_changed()?))).collect()
    }

    /// The rows of page `number` for a reader elsewhere, marked or not, or `None` past the end. The mark stays.
    pub fn lend(&mut self, number: usize) -> Option<Arc<R>> {
        self.pages.get_mut(number).map(Page::lend)
    }

    /// Does `what`, which changes no row as such, to the page that was [lent](Self::lend), which the reader gives back
    /// herewith. `None`, and nothing done, if it changed meanwhile or another reader has it.
    pub fn take_back_unchanged<T>(
        &mut self,
        number: usize,
        lent: Arc<R>,
        what: impl FnOnce(&mut R) -> T,
    ) -> Option<T> {
        self.pages.get_mut(number)?.take_back_unchanged(lent, what)
    }

    /// The rows of page `number` for changing them, or `None` past the end. Marks the page.
    #[inline]
    pub fn change(&mut self, number: usize) -> Option<&mut R> {
        self.pages.get_mut(number).map(Page::change)
    }

    /// Rows of the pages that changed since they were kept or lent.
    pub fn changed_rows(&self) -> u64 {
        let changed = self.pages.iter().filter(|page| page.is_changed());
        changed.map(|page| page.rows().count() as u64).sum()
    }
}

impl<R> Default for TrackedPages<R> {
    fn default() -> Self {
        Self::new()
    }
}
