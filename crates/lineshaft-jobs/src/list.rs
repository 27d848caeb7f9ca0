//! Doubly linked lists of slots: a slot is in one list at a time, so two links beside each do for all.

use crate::slots::{Links, Slots};

/// Stands for "no slot" in links.
pub(crate) const NIL: u32 = u32::MAX;

/// A list of slots; the links are beside the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) count: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NIL, tail: NIL, count: 0 }
    }
}

impl List {
    pub(crate) fn push_back(&mut self, slots: &mut Slots, index: u32) {
        self.insert_after(slots, self.tail, index);
    }

    pub(crate) fn push_front(&mut self, slots: &mut Slots, index: u32) {
        self.insert_after(slots, NIL, index);
    }

    pub(crate) fn remove(&mut self, slots: &mut Slots, index: u32) {
        let Links { prev, next } = std::mem::replace(slots.links_mut(index), Links::NONE);
        match prev {
            NIL => self.head = next,
            _ => slots.links_mut(prev).next = next,
        }
        match next {
            NIL => self.tail = prev,
            _ => slots.links_mut(next).prev = prev,
        }
        self.count -= 1;
    }

    pub(crate) fn pop_front(&mut self, slots: &mut Slots) -> Option<u32> {
        let head = self.first()?;
        self.remove(slots, head);
        Some(head)
    }

    pub(crate) fn first(&self) -> Option<u32> {
        (self.head != NIL).then_some(self.head)
    }

    pub(crate) fn iter<'a>(&self, slots: &'a Slots) -> impl Iterator<Item = u32> + 'a {
        std::iter::successors(self.first(), |index| {
            let next = slots.links(*index).next;
            (next != NIL).then_some(next)
        })
    }

    fn insert_after(&mut self, slots: &mut Slots, before: u32, index: u32) {
        let after = if before == NIL { self.head } else { slots.links(before).next };
        *slots.links_mut(index) = Links { prev: before, next: after };
        match before {
            NIL => self.head = index,
            _ => slots.links_mut(before).next = index,
        }
        match after {
            NIL => self.tail = index,
            _ => slots.links_mut(after).prev = index,
        }
        self.count += 1;
    }
}
