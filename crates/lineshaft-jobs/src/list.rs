//! Doubly linked lists through the slots themselves: a job is in one list at a time, so two links per slot do for all.

use crate::slot::Slots;

/// Stands for "no slot" in links.
pub(crate) const NIL: u32 = u32::MAX;

/// A list of slots; the links are in the slots.
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
        let slot = slots.at_mut(index);
        let (prev, next) = (slot.prev, slot.next);
        (slot.prev, slot.next) = (NIL, NIL);
        match prev {
            NIL => self.head = next,
            _ => slots.at_mut(prev).next = next,
        }
        match next {
            NIL => self.tail = prev,
            _ => slots.at_mut(next).prev = prev,
        }
        self.count -= 1;
    }

    pub(crate) fn pop_front(&mut self, slots: &mut Slots) -> Option<u32> {
        let head = self.head;
        (head != NIL).then(|| {
            self.remove(slots, head);
            head
        })
    }

    pub(crate) fn iter<'a>(&self, slots: &'a Slots) -> impl Iterator<Item = u32> + 'a {
        let first = (self.head != NIL).then_some(self.head);
        std::iter::successors(first, |index| {
            let next = slots.at(*index).next;
            (next != NIL).then_some(next)
        })
    }

    fn insert_after(&mut self, slots: &mut Slots, before: u32, index: u32) {
        let after = if before == NIL { self.head } else { slots.at(before).next };
        let slot = slots.at_mut(index);
        (slot.prev, slot.next) = (before, after);
        match before {
            NIL => self.head = index,
            _ => slots.at_mut(before).next = index,
        }
        match after {
            NIL => self.tail = index,
            _ => slots.at_mut(after).prev = index,
        }
        self.count += 1;
    }
}
