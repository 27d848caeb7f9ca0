//! A page that can be lent to a reader elsewhere while its owner goes on changing it.

use std::sync::Arc;

use crate::paged_vec::PAGE_LEN;

/// What a page holds. The default is no rows, and allocates nothing.
pub trait Rows: Default {
    /// Number of rows.
    fn count(&self) -> usize;

    /// A copy that can be changed, and grow up to [`PAGE_LEN`] rows without moving if this one can.
    #[must_use]
    fn copied(&self) -> Self;
}

impl<T: Clone> Rows for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn copied(&self) -> Self {
        let mut copy = Self::with_capacity(self.capacity().min(PAGE_LEN));
        copy.extend_from_slice(self);
        copy
    }
}

/// Up to [`PAGE_LEN`] rows, and whether they changed since somebody kept them.
///
/// An owned page is changed without an atomic operation. Lending moves it behind an [`Arc`]; the first change after
/// that takes it back if the reader is done, and copies it if not.
#[derive(Clone, Debug)]
pub(crate) struct Page<R> {
    content: Content<R>,
    mark: Mark,
    /// Lent with changes in it, and nobody said yet whether they are kept.
    lent: bool,
}

#[derive(Clone, Debug)]
enum Content<R> {
    Own(R),
    Shared(Arc<R>),
}

/// Whether a page is as it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Kept,
    Changed,
}

impl<R> Page<R> {
    pub(crate) fn new(rows: R, mark: Mark) -> Self {
        Self { content: Content::Own(rows), mark, lent: false }
    }

    #[inline]
    pub(crate) fn rows(&self) -> &R {
        match &self.content {
            Content::Own(rows) => rows,
            Content::Shared(rows) => rows,
        }
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.mark == Mark::Changed
    }

    pub(crate) fn set_mark(&mut self, mark: Mark) {
        self.mark = mark;
    }

    /// What was lent is kept, or lost: then it counts as changed again.
    pub(crate) fn settle(&mut self, kept: bool) {
        if std::mem::take(&mut self.lent) && !kept {
            self.mark = Mark::Changed;
        }
    }
}

impl<R: Rows> Page<R> {
    /// The rows as they are now, for a reader elsewhere, if they changed since they were kept.
    pub(crate) fn lend_changed(&mut self) -> Option<Arc<R>> {
        if self.mark == Mark::Kept {
            return None;
        }
        (self.mark, self.lent) = (Mark::Kept, true);
        Some(self.lend())
    }

    /// The rows for a reader elsewhere, whether they changed or not.
    pub(crate) fn lend(&mut self) -> Arc<R> {
        let lent = match std::mem::take(&mut self.content) {
            Content::Own(rows) => Arc::new(rows),
            Content::Shared(rows) => rows,
        };
        self.content = Content::Shared(Arc::clone(&lent));
        lent
    }

    /// Does something to the rows that changes none of them, if `lent` is still what they are and nobody else has it.
    pub(crate) fn take_back_unchanged<T>(
        &mut self,
        lent: Arc<R>,
        what: impl FnOnce(&mut R) -> T,
    ) -> Option<T> {
        let Content::Shared(shared) = &mut self.content else { return None };
        if !Arc::ptr_eq(shared, &lent) {
            return None;
        }
        drop(lent);
        Arc::get_mut(shared).map(what)
    }

    /// The rows for changing them; the page counts as changed.
    #[inline]
    pub(crate) fn change(&mut self) -> &mut R {
        self.mark = Mark::Changed;
        if matches!(self.content, Content::Shared(_)) {
            self.take_back();
        }
        match &mut self.content {
            Content::Own(rows) => rows,
            Content::Shared(_) => unreachable!("it was just taken back"),
        }
    }

    #[cold]
    fn take_back(&mut self) {
        if let Content::Shared(shared) = std::mem::take(&mut self.content) {
            self.content = Content::Own(Arc::try_unwrap(shared).unwrap_or_else(|shared| shared.copied()));
        }
    }
}

impl<R: Rows> Default for Content<R> {
    fn default() -> Self {
        Self::Own(R::default())
    }
}
