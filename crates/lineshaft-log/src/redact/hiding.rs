//! A text of which parts are hidden, from its beginning to its end.

use std::ops::Range;

use super::HIDDEN;

pub(super) struct Hiding<'t> {
    text: &'t str,
    shown: String,
    /// Up to where the text is in `shown`, or hidden.
    done: usize,
}

impl<'t> Hiding<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, shown: String::new(), done: 0 }
    }

    /// Whether what is there is still to be looked at.
    pub(super) fn is_open(&self, at: usize) -> bool {
        at >= self.done
    }

    /// From where on it is.
    pub(super) fn open_from(&self) -> usize {
        self.done
    }

    /// Hides a range behind the last one, unless it is empty.
    pub(super) fn hide(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.shown.push_str(&self.text[self.done..range.start]);
        self.shown.push_str(HIDDEN);
        self.done = range.end;
    }

    /// The text without them, if there were any.
    pub(super) fn finish(mut self) -> Option<String> {
        (self.done > 0).then(|| {
            self.shown.push_str(&self.text[self.done..]);
            self.shown
        })
    }
}
