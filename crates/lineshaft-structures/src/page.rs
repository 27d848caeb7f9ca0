//! A page that can be lent to a reader elsewhere while its owner goes on changing it.

use std::sync::Arc;

use crate::paged_vec::PAGE_LEN;

/// Up to [`PAGE_LEN`] elements, and whether they changed since somebody kept them.
///
/// An owned page is a plain vector: changing an element costs no atomic operation. Lending moves the vector behind an
/// [`Arc`]; the first change after that takes it back if the reader is done, and copies it if not.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    content: Content<T>,
    mark: Mark,
    /// Lent with changes in it, and nobody said yet whether they are kept.
    lent: bool,
}

#[derive(Clone, Debug)]
enum Content<T> {
    Own(Vec<T>),
    Shared(Arc<Vec<T>>),
}

/// Whether a page is as it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Kept,
    Changed,
}

impl<T> Page<T> {
    pub(crate) fn new(elements: Vec<T>, mark: Mark) -> Self {
        Self { content: Content::Own(elements), mark, lent: false }
    }

    pub(crate) fn elements(&self) -> &[T] {
        match &self.content {
            Content::Own(elements) => elements,
            Content::Shared(elements) => elements,
        }
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.mark == Mark::Changed
    }

    pub(crate) fn set_mark(&mut self, mark: Mark) {
        self.mark = mark;
    }

    /// The elements as they are now, for a reader elsewhere, if they changed since they were kept.
    pub(crate) fn lend_changed(&mut self) -> Option<Arc<Vec<T>>> {
        if self.mark == Mark::Kept {
            return None;
        }
        (self.mark, self.lent) = (Mark::Kept, true);
        let lent = match std::mem::replace(&mut self.content, Content::Own(Vec::new())) {
            Content::Own(elements) => Arc::new(elements),
            Content::Shared(elements) => elements,
        };
        self.content = Content::Shared(Arc::clone(&lent));
        Some(lent)
    }

    /// What was lent is kept, or lost: then it counts as changed again.
    pub(crate) fn settle(&mut self, kept: bool) {
        if std::mem::take(&mut self.lent) && !kept {
            self.mark = Mark::Changed;
        }
    }
}

impl<T: Clone> Page<T> {
    /// The elements for changing them; the page counts as changed.
    pub(crate) fn change(&mut self) -> &mut Vec<T> {
        self.mark = Mark::Changed;
        if matches!(self.content, Content::Shared(_)) {
            self.take_back();
        }
        match &mut self.content {
            Content::Own(elements) => elements,
            Content::Shared(_) => unreachable!("it was just taken back"),
        }
    }

    #[cold]
    fn take_back(&mut self) {
        let Content::Shared(shared) = std::mem::replace(&mut self.content, Content::Own(Vec::new())) else {
            return;
        };
        let own = Arc::try_unwrap(shared).unwrap_or_else(|shared| {
            let mut copy = Vec::with_capacity(shared.capacity().min(PAGE_LEN));
            copy.extend_from_slice(&shared);
            copy
        });
        self.content = Content::Own(own);
    }
}
