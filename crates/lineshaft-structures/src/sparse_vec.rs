//! A table with small values for some indexes: memory is taken only where there are some.

use crate::paged_vec::{PAGE_LEN, split};

/// Values by index, in pages of [`PAGE_LEN`] that are there only while they hold a value.
#[derive(Clone, Debug)]
pub struct SparseVec<T> {
    pages: Vec<Option<Page<T>>>,
    /// One that lost its last value: so a value that comes and goes costs no new page each time.
    spare: Option<Page<T>>,
}

#[derive(Clone, Debug)]
struct Page<T> {
    values: Box<[Option<T>]>,
    count: usize,
}

impl<T: Copy> SparseVec<T> {
    /// No values; allocates nothing.
    pub const fn new() -> Self {
        Self { pages: Vec::new(), spare: None }
    }

    /// The value of `index`.
    pub fn get(&self, index: u32) -> Option<T> {
        let (page, offset) = split(index);
        self.pages.get(page)?.as_ref()?.values[offset]
    }

    /// Gives `index` a value, in the place of the one before, if any. Allocates where it is the first of its page.
    pub fn set(&mut self, index: u32, value: T) {
        let (number, offset) = split(index);
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        let spare = &mut self.spare;
        let empty = || spare.take().unwrap_or_else(|| Page { values: vec![None; PAGE_LEN].into(), count: 0 });
        let page = self.pages[number].get_or_insert_with(empty);
        page.count += usize::from(page.values[offset].replace(value).is_none());
    }

    /// Takes the value of `index` out. The last one of a page frees it, or keeps it for the next that is needed.
    pub fn take(&mut self, index: u32) -> Option<T> {
        let (number, offset) = split(index);
        let place = self.pages.get_mut(number)?;
        let page = place.as_mut()?;
        let value = page.values[offset].take()?;
        page.count -= 1;
        if page.count == 0 {
            self.spare = place.take();
        }
        Some(value)
    }
}

impl<T: Copy> Default for SparseVec<T> {
    fn default() -> Self {
        Self::new()
    }
}
