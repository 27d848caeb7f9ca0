//! The available jobs of one lane and priority, in the order in which they go.
//!
//! New jobs go to the back of a linked list. Jobs that are handed back belong somewhere near its front, and thousands
//! may come back at once when a worker dies; looking for each one's place would cost a step per job that came back
//! before it. Those that fit neither end wait beside the list in a map, and reading takes the lower of the two.

use std::collections::BTreeMap;

use crate::list::{List, NIL};
use crate::slots::Slots;

#[derive(Debug, Default)]
pub(crate) struct Line {
    list: List,
    /// Jobs that came back, by their order.
    returned: BTreeMap<u64, u32>,
}

impl Line {
    /// Puts a job where its order belongs.
    pub(crate) fn insert(&mut self, slots: &mut Slots, index: u32) {
        let order = slots.at(index).order;
        if self.list.tail == NIL || slots.at(self.list.tail).order < order {
            self.list.push_back(slots, index);
        } else if order < slots.at(self.list.head).order {
            self.list.push_front(slots, index);
        } else {
            self.returned.insert(order, index);
        }
    }

    pub(crate) fn remove(&mut self, slots: &mut Slots, index: u32) {
        if self.returned.remove(&slots.at(index).order).is_none() {
            self.list.remove(slots, index);
        }
    }

    pub(crate) fn first(&self, slots: &Slots) -> Option<u32> {
        self.iter(slots).next()
    }

    pub(crate) fn count(&self) -> u64 {
        u64::from(self.list.count) + self.returned.len() as u64
    }

    pub(crate) fn iter<'a>(&'a self, slots: &'a Slots) -> impl Iterator<Item = u32> + 'a {
        let mut listed = self.list.iter(slots).peekable();
        let mut returned = self.returned.iter().peekable();
        std::iter::from_fn(move || {
            let first_listed = listed.peek().map(|index| slots.at(*index).order);
            let comes_first = |order: u64| first_listed.is_none_or(|listed| order < listed);
            match returned.next_if(|(order, _)| comes_first(**order)) {
                Some((_, index)) => Some(*index),
                None => listed.next(),
            }
        })
    }
}
