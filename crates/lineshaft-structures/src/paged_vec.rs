//! A vector in pages.
//!
//! A `Vec` that doubles holds three times its contents while it copies, and stalls the one thread that owns it. Pages
//! stay where they are: growing by one page costs one allocation, whatever the length. The first page alone grows
//! like a `Vec`, so that a small table stays small.

use std::fmt;
use std::ops::{Index, IndexMut};

/// Elements in a full page.
pub const PAGE_LEN: usize = 8_192;

/// A growing list whose elements never move, indexed by `u32`.
///
/// Every page but the last holds exactly [`PAGE_LEN`] elements: the element of index `i` is number `i % PAGE_LEN` of
/// page `i / PAGE_LEN`. At most `u32::MAX` elements.
#[derive(Clone)]
pub struct PagedVec<T> {
    pages: Vec<Vec<T>>,
}

impl<T> PagedVec<T> {
    /// An empty list; allocates nothing.
    pub const fn new() -> Self {
        Self { pages: Vec::new() }
    }

    /// Appends `value` and returns its index. Copies at most one page, and only while that is the first.
    ///
    /// Panics at `u32::MAX` elements; callers cap their tables far below.
    pub fn push(&mut self, value: T) -> u32 {
        let index = self.len();
        assert!(index < u32::MAX, "a paged list holds at most {} elements", u32::MAX);
        self.page_with_room().push(value);
        index
    }

    /// The element of `index`, or `None` past the end.
    pub fn get(&self, index: u32) -> Option<&T> {
        let (page, offset) = split(index);
        self.pages.get(page)?.get(offset)
    }

    /// The element of `index` for changing, or `None` past the end.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let (page, offset) = split(index);
        self.pages.get_mut(page)?.get_mut(offset)
    }

    /// Number of elements.
    pub fn len(&self) -> u32 {
        self.pages.last().map_or(0, |last| ((self.pages.len() - 1) * PAGE_LEN + last.len()) as u32)
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Number of pages, the last possibly partial.
    pub fn page_count(&self) -> u32 {
        self.pages.len() as u32
    }

    /// The elements of page `number`, from 0; `None` past the last page.
    pub fn page(&self, number: u32) -> Option<&[T]> {
        self.pages.get(number as usize).map(Vec::as_slice)
    }

    /// Every page in order. Only the last may be shorter than [`PAGE_LEN`]; none is empty.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = &[T]> {
        self.pages.iter().map(Vec::as_slice)
    }

    /// Every element in order of index.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    fn page_with_room(&mut self) -> &mut Vec<T> {
        if self.pages.last().is_none_or(|last| last.len() == PAGE_LEN) {
            let reserved = if self.pages.is_empty() { 0 } else { PAGE_LEN };
            self.pages.push(Vec::with_capacity(reserved));
        }
        self.pages.last_mut().expect("a page was just made sure of")
    }
}

/// The page of an index, and the place in the page.
#[inline]
pub const fn split(index: u32) -> (usize, usize) {
    (index as usize / PAGE_LEN, index as usize % PAGE_LEN)
}

impl<T> Default for PagedVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Panics past the end, like a `Vec`.
impl<T> Index<u32> for PagedVec<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        let (page, offset) = split(index);
        &self.pages[page][offset]
    }
}

/// Panics past the end, like a `Vec`.
impl<T> IndexMut<u32> for PagedVec<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        let (page, offset) = split(index);
        &mut self.pages[page][offset]
    }
}

impl<T> Extend<T> for PagedVec<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        for value in values {
            self.push(value);
        }
    }
}

impl<T> FromIterator<T> for PagedVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut list = Self::new();
        list.extend(values);
        list
    }
}

impl<T: fmt::Debug> fmt::Debug for PagedVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_never_move_when_the_list_grows() {
        let mut list: PagedVec<u64> = (0..2 * PAGE_LEN as u64).collect();
        let ends = (&raw const list[0], &raw const list[2 * PAGE_LEN as u32 - 1]);
        list.extend(0..3 * PAGE_LEN as u64);
        assert_eq!(ends, (&raw const list[0], &raw const list[2 * PAGE_LEN as u32 - 1]));
    }

    #[test]
    fn a_small_list_stays_small() {
        let list: PagedVec<u64> = (0..5).collect();
        assert!(list.pages[0].capacity() <= 8, "{}", list.pages[0].capacity());
    }

    #[test]
    fn a_full_first_page_wastes_nothing() {
        let list: PagedVec<u64> = (0..PAGE_LEN as u64).collect();
        assert_eq!((list.pages[0].capacity(), list.page_count()), (PAGE_LEN, 1));
    }

    #[test]
    fn an_index_past_the_end_is_none() {
        let mut list: PagedVec<u8> = PagedVec::new();
        assert_eq!(list.get_mut(u32::MAX), None);
        assert_eq!((list.get(0), list.page(0)), (None, None));
        list.push(7);
        assert_eq!((list.get(0), list.get(1), list.len()), (Some(&7), None, 1));
    }
}
