//! Remembers the objects written so far, so that one met again is written as a reference.

use pyo3::prelude::*;
use rustc_hash::FxHashMap;

use super::super::native::reference_count;

/// References to an object that cannot be met twice: its container's and the encoder's own.
const REFERENCES_UNSHARED: isize = 2;
/// Up to so many objects, looking through all is faster than a map.
const SCANNED_MAX: usize = 16;

/// Objects with their numbers. They are kept alive, so that an address means one object.
#[derive(Default)]
pub(super) struct Memo<'py> {
    objects: Vec<(Bound<'py, PyAny>, u32)>,
    numbers: FxHashMap<usize, u32>,
}

impl<'py> Memo<'py> {
    /// The number under which the object was met before; otherwise it is remembered as `next`.
    pub(super) fn number(&mut self, object: &Bound<'py, PyAny>, next: u32) -> Option<u32> {
        if reference_count(object) <= REFERENCES_UNSHARED {
            return None;
        }
        let earlier = self.find(object);
        if earlier.is_none() {
            self.remember(object, next);
        }
        earlier
    }

    fn find(&self, object: &Bound<'py, PyAny>) -> Option<u32> {
        if self.numbers.is_empty() {
            return self.objects.iter().find(|(known, _)| known.is(object)).map(|(_, number)| *number);
        }
        self.numbers.get(&(object.as_ptr() as usize)).copied()
    }

    fn remember(&mut self, object: &Bound<'py, PyAny>, number: u32) {
        self.objects.push((object.clone(), number));
        if self.objects.len() == SCANNED_MAX {
            self.numbers =
                self.objects.iter().map(|(known, number)| (known.as_ptr() as usize, *number)).collect();
        } else if self.objects.len() > SCANNED_MAX {
            self.numbers.insert(object.as_ptr() as usize, number);
        }
    }
}
