//! Where the timers of a wheel live: numbered places in pages, reused, and given back page by page.
//!
//! The lowest page with room is filled first, so that after a peak the upper pages empty and are released. One empty
//! page is kept, or a table at the edge of a page would allocate and free it with every timer.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use crate::paged_vec::PAGE_LEN;

/// The end of a list of timers.
pub(crate) const NONE: u32 = u32::MAX;

/// One timer, linked into the list of its slot, or into the free list of its page when `generation` is `None`.
#[derive(Clone, Copy)]
pub(crate) struct Timer<T> {
    pub(crate) at_ms: u64,
    pub(crate) next: u32,
    pub(crate) previous: u32,
    generation: Option<NonZeroU32>,
    pub(crate) item: T,
}

#[derive(Clone)]
pub(crate) struct TimerSlab<T> {
    pages: Vec<Page<T>>,
    /// Numbers of the pages that are not full.
    open: BTreeSet<u32>,
    /// The one page that is empty and still holds memory.
    spare: Option<u32>,
    len: u32,
    generation: NonZeroU32,
}

#[derive(Clone)]
struct Page<T> {
    timers: Vec<Timer<T>>,
    free: u32,
    live: u32,
}

impl<T: Copy> TimerSlab<T> {
    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new(), open: BTreeSet::new(), spare: None, len: 0, generation: NonZeroU32::MIN }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn reserved(&self) -> usize {
        self.pages.iter().map(|page| page.timers.capacity()).sum()
    }

    pub(crate) fn insert(&mut self, at_ms: u64, item: T) -> (u32, NonZeroU32) {
        self.len = self.len.checked_add(1).filter(|&len| len < NONE).expect("fewer than u32::MAX timers");
        self.generation = self.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let number = self.page_with_room();
        let timer = Timer { at_ms, next: NONE, previous: NONE, generation: Some(self.generation), item };
        let page = &mut self.pages[number as usize];
        let offset = page.insert(timer);
        if page.live as usize == PAGE_LEN {
            self.open.remove(&number);
        }
        if self.spare == Some(number) {
            self.spare = None;
        }
        (number * PAGE_LEN as u32 + offset, self.generation)
    }

    /// The timer of `index` if it is still the one of `generation`.
    pub(crate) fn find(&self, index: u32, generation: NonZeroU32) -> Option<&Timer<T>> {
        let (page, offset) = split(index);
        let timer = self.pages.get(page)?.timers.get(offset)?;
        (timer.generation == Some(generation)).then_some(timer)
    }

    /// The timer of `index`, which the caller knows to be live.
    pub(crate) fn get(&self, index: u32) -> &Timer<T> {
        let (page, offset) = split(index);
        &self.pages[page].timers[offset]
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> &mut Timer<T> {
        let (page, offset) = split(index);
        &mut self.pages[page].timers[offset]
    }

    /// Frees the place of `index`, which the caller knows to be live and has unlinked.
    pub(crate) fn remove(&mut self, index: u32) {
        let (number, offset) = split(index);
        let page = &mut self.pages[number];
        page.remove(offset);
        self.len -= 1;
        if page.live as usize == PAGE_LEN - 1 {
            self.open.insert(number as u32);
        }
        if page.live == 0 {
            self.keep_one_spare(number as u32);
        }
    }

    fn page_with_room(&mut self) -> u32 {
        if let Some(&number) = self.open.first() {
            return number;
        }
        let number = self.pages.len() as u32;
        self.pages.push(Page::new());
        self.open.insert(number);
        number
    }

    fn keep_one_spare(&mut self, emptied: u32) {
        let spare = self.spare.map_or(emptied, |spare| spare.min(emptied));
        let released = self.spare.map(|spare| spare.max(emptied));
        self.spare = Some(spare);
        if let Some(number) = released {
            self.pages[number as usize] = Page::new();
        }
        self.drop_tail();
    }

    /// Shortens the page table past the last page that holds memory.
    fn drop_tail(&mut self) {
        while self.pages.last().is_some_and(|page| page.timers.capacity() == 0) {
            self.pages.pop();
            self.open.remove(&(self.pages.len() as u32));
        }
    }
}

impl<T: Copy> Page<T> {
    const fn new() -> Self {
        Self { timers: Vec::new(), free: NONE, live: 0 }
    }

    fn insert(&mut self, timer: Timer<T>) -> u32 {
        self.live += 1;
        if self.free == NONE {
            self.timers.push(timer);
            return self.timers.len() as u32 - 1;
        }
        let offset = self.free;
        let place = &mut self.timers[offset as usize];
        self.free = place.next;
        *place = timer;
        offset
    }

    fn remove(&mut self, offset: usize) {
        let timer = &mut self.timers[offset];
        timer.generation = None;
        timer.next = self.free;
        self.free = offset as u32;
        self.live -= 1;
    }
}

fn split(index: u32) -> (usize, usize) {
    (index as usize / PAGE_LEN, index as usize % PAGE_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u32 = PAGE_LEN as u32;

    fn filled(count: u32) -> TimerSlab<u32> {
        let mut slab = TimerSlab::new();
        for item in 0..count {
            assert_eq!(slab.insert(u64::from(item), item).0, item);
        }
        slab
    }

    #[test]
    fn a_timer_of_a_slot_number_takes_at_most_32_bytes() {
        assert!(size_of::<Timer<u32>>() <= 32, "{}", size_of::<Timer<u32>>());
    }

    #[test]
    fn memory_is_given_back_after_a_peak() {
        let mut slab = filled(5 * PAGE);
        (100..5 * PAGE).for_each(|index| slab.remove(index));
        assert_eq!((slab.len(), slab.reserved()), (100, 2 * PAGE_LEN));
        assert_eq!(slab.pages.len(), slab.open.len());
    }

    #[test]
    fn a_released_page_comes_back_and_old_ids_stay_dead() {
        let mut slab = filled(3 * PAGE);
        let stale = slab.get(2 * PAGE).generation.unwrap();
        (0..3 * PAGE).for_each(|index| slab.remove(index));
        (0..3 * PAGE).for_each(|index| assert_eq!(slab.insert(0, index).0 / PAGE, index / PAGE));
        assert!(slab.find(2 * PAGE, stale).is_none());
        assert_eq!((slab.len(), slab.reserved()), (3 * PAGE, 3 * PAGE_LEN));
    }

    #[test]
    fn the_edge_of_a_page_does_not_allocate_with_every_timer() {
        let mut slab = filled(PAGE);
        let (index, _) = slab.insert(0, 0);
        slab.remove(index);
        let reserved = slab.reserved();
        for _ in 0..10 {
            let (again, _) = slab.insert(0, 0);
            slab.remove(again);
            assert_eq!((again, slab.reserved()), (index, reserved));
        }
    }

    #[test]
    fn generations_pass_over_zero_when_they_wrap() {
        let mut slab: TimerSlab<u32> = TimerSlab::new();
        slab.generation = NonZeroU32::MAX;
        let (index, generation) = slab.insert(5, 7);
        assert_eq!(generation, NonZeroU32::MIN);
        assert_eq!(slab.find(index, generation).map(|timer| (timer.at_ms, timer.item)), Some((5, 7)));
    }
}
