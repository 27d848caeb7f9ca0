//! A vector in pages that remembers which pages changed, and lends them to whoever keeps them.

use std::sync::Arc;

use crate::page::{Mark, Page};
use crate::paged_vec::{PAGE_LEN, split};

/// A growing list indexed by `u32`, cut into the same pages as a [`PagedVec`](crate::PagedVec).
///
/// Every change marks its page. [`Self::lend_changed`] gives the marked pages to a reader, which may live in another
/// thread, in a time that depends on their number alone; [`Self::settle`] says whether what was lent is safe. A change
/// of a page that is still lent copies it first, so the reader sees the moment of lending. At most `u32::MAX` elements.
#[derive(Clone, Debug)]
pub struct TrackedVec<T> {
    pages: Vec<Page<T>>,
    length: u32,
}

impl<T> TrackedVec<T> {
    /// An empty list; allocates nothing.
    pub const fn new() -> Self {
        Self { pages: Vec::new(), length: 0 }
    }

    /// The element of `index`, or `None` past the end.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        let (page, offset) = split(index);
        self.pages.get(page)?.elements().get(offset)
    }

    /// Number of elements.
    pub const fn len(&self) -> u32 {
        self.length
    }

    /// Whether nothing was pushed yet.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Number of pages, the last possibly partial.
    pub fn page_count(&self) -> u32 {
        self.pages.len() as u32
    }

    /// Every page in order. Only the last may be shorter than [`PAGE_LEN`]; none is empty.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = &[T]> {
        self.pages.iter().map(Page::elements)
    }

    /// Every element in order of index.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages().flatten()
    }

    /// Appends a page that somebody keeps already: it is not marked.
    ///
    /// Panics unless every page before it is full and it has 1 to [`PAGE_LEN`] elements.
    pub fn push_kept_page(&mut self, elements: Vec<T>) {
        assert!((1..=PAGE_LEN).contains(&elements.len()), "a page holds 1 to {PAGE_LEN} elements");
        assert!((self.length as usize).is_multiple_of(PAGE_LEN), "a page follows full ones only");
        self.length += elements.len() as u32;
        self.pages.push(Page::new(elements, Mark::Kept));
    }

    /// Elements of the pages that changed since they were kept or lent.
    pub fn changed_rows(&self) -> u64 {
        let changed = self.pages.iter().filter(|page| page.is_changed());
        changed.map(|page| page.elements().len() as u64).sum()
    }

    /// Marks every page, or none: for whoever knows better.
    pub fn mark_all(&mut self, changed: bool) {
        let mark = if changed { Mark::Changed } else { Mark::Kept };
        self.pages.iter_mut().for_each(|page| page.set_mark(mark));
    }

    /// Every marked page with its number, as it is now; the marks are gone, to come back if it is [lost](Self::settle).
    pub fn lend_changed(&mut self) -> Vec<(u32, Arc<Vec<T>>)> {
        let pages = (0..).zip(&mut self.pages);
        pages.filter_map(|(number, page)| Some((number, page.lend_changed()?))).collect()
    }

    /// What was lent last is kept, or else lost: then its pages are marked again.
    pub fn settle(&mut self, kept: bool) {
        self.pages.iter_mut().for_each(|page| page.settle(kept));
    }
}

impl<T: Clone> TrackedVec<T> {
    /// Appends `value` and returns its index. Copies at most one page.
    ///
    /// Panics at `u32::MAX` elements; callers cap their tables far below.
    pub fn push(&mut self, value: T) -> u32 {
        let index = self.length;
        assert!(index < u32::MAX, "a paged list holds at most {} elements", u32::MAX);
        if split(index).1 == 0 {
            // The first page alone grows like a `Vec`, so that a small table stays small.
            let reserved = if index == 0 { 0 } else { PAGE_LEN };
            self.pages.push(Page::new(Vec::with_capacity(reserved), Mark::Changed));
        }
        self.pages.last_mut().expect("a page was just made sure of").change().push(value);
        self.length += 1;
        index
    }

    /// The element of `index` for changing, or `None` past the end. Marks its page.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let (page, offset) = split(index);
        self.pages.get_mut(page)?.change().get_mut(offset)
    }
}

impl<T> Default for TrackedVec<T> {
    fn default() -> Self {
        Self::new()
    }
}
