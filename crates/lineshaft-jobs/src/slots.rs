//! All slots by number, in the pages that snapshots write. What follows from the slots and changes without them, their
//! links in lists and the ids of their timers, stands beside the pages.

use lineshaft_structures::{PAGE_LEN, PagedVec, SparseVec, TimerId, TrackedPages, split};
use lineshaft_wire::JobId;

use crate::change::Place;
use crate::cold::Rest;
use crate::extra::Extra;
use crate::job::Job;
use crate::list::NIL;
use crate::slot::{Slot, Times};
use crate::slot_page::{Row, SlotPage};

/// The neighbours of a slot in the list that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) prev: u32,
    pub(crate) next: u32,
}

impl Links {
    pub(crate) const NONE: Self = Self { prev: NIL, next: NIL };
}

/// The slots.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    pub(crate) pages: TrackedPages<SlotPage>,
    length: u32,
    pub(crate) rest: Rest,
    links: PagedVec<Links>,
    /// When a job's time comes, and when it must have begun or ended.
    pub(crate) timers: SparseVec<TimerId>,
    pub(crate) limit_timers: SparseVec<TimerId>,
    /// Of jobs that are gone, for the next ones: a job that comes and goes takes no memory from the allocator, and gets
    /// what still lies in the cache. Their contents mean nothing.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spare_extras: Vec<Box<Extra>>,
}

/// Two blocks of finished jobs.
const SPARE_EXTRAS_MAX: usize = 2_048;

impl Slots {
    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.pages.iter().flat_map(SlotPage::slots)
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = Job<'_>> {
        self.pages.iter().flat_map(SlotPage::jobs)
    }

    pub(crate) fn push(&mut self, slot: Slot) -> u32 {
        let index = self.length;
        let (number, offset) = split(index);
        if offset == 0 {
            // The first page alone grows like a `Vec`, so that a small table stays small.
            self.pages.push(SlotPage::with_room(if index == 0 { 0 } else { PAGE_LEN }));
            self.rest.add_page();
        }
        self.page_mut(number).push(slot.into());
        self.links.push(Links::NONE);
        self.length += 1;
        index
    }

    /// Appends a page from a snapshot. It must follow full ones.
    pub(crate) fn push_page(&mut self, page: SlotPage) {
        self.links.extend(std::iter::repeat_n(Links::NONE, page.len()));
        self.length += page.len() as u32;
        self.pages.push_kept(page);
        self.rest.add_page();
    }

    /// The slot with a number that came from the state itself.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &Slot {
        let (number, offset) = split(index);
        self.pages.get(number).and_then(|page| page.slot(offset)).expect(EXISTS)
    }

    /// The same with what belongs to it.
    #[inline]
    pub(crate) fn job(&self, index: u32) -> Job<'_> {
        let (number, offset) = split(index);
        self.pages.get(number).and_then(|page| page.job(offset)).expect(EXISTS)
    }

    #[inline]
    pub(crate) fn extra(&self, index: u32) -> Option<&Extra> {
        let (number, offset) = split(index);
        self.pages.get(number)?.extra(offset)
    }

    /// The slot for changing it: the next snapshot writes its page.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Slot {
        let (number, offset) = split(index);
        self.page_mut(number).slot_mut(offset).expect(EXISTS)
    }

    pub(crate) fn set_times(&mut self, index: u32, times: Times) {
        let (number, offset) = split(index);
        self.page_mut(number).set_times(offset, times);
    }

    /// The rarer things of a job for changing them, made if need be.
    pub(crate) fn extra_mut(&mut self, index: u32) -> &mut Extra {
        let (number, offset) = split(index);
        let spare = if self.extra(index).is_none() { self.spare_extras.pop() } else { None };
        self.page_mut(number).extra_mut(offset).get_or_insert_with(|| spare.unwrap_or_default())
    }

    /// Keeps the rarer things of a job that is gone for one to come.
    pub(crate) fn recycle(&mut self, extra: Option<Box<Extra>>) {
        if let Some(mut extra) = extra.filter(|_| self.spare_extras.len() < SPARE_EXTRAS_MAX) {
            extra.clear();
            self.spare_extras.push(extra);
        }
    }

    /// The same if it has some.
    pub(crate) fn some_extra_mut(&mut self, index: u32) -> Option<&mut Extra> {
        if self.extra(index).is_some() { Some(self.extra_mut(index)) } else { None }
    }

    /// Puts another job, or none, in the place of the one with this number, which it gives.
    pub(crate) fn replace(&mut self, index: u32, row: Row) -> Row {
        let (number, offset) = split(index);
        self.page_mut(number).replace(offset, row).expect(EXISTS)
    }

    /// Every stored payload of the job, to be changed.
    pub(crate) fn places_mut(&mut self, index: u32) -> Vec<&mut Place> {
        let (number, offset) = split(index);
        self.page_mut(number).places_mut(offset)
    }

    /// A page for changing it: it is in memory afterwards, for a while at least.
    #[inline]
    fn page_mut(&mut self, number: usize) -> &mut SlotPage {
        let page = self.pages.change(number).expect(EXISTS);
        if page.is_cold() {
            page.warm();
            self.rest.came_back(number as u32);
        }
        self.rest.touch(number);
        page
    }

    pub(crate) fn links(&self, index: u32) -> Links {
        self.links[index]
    }

    pub(crate) fn links_mut(&mut self, index: u32) -> &mut Links {
        &mut self.links[index]
    }

    /// The slot of a job, if the job is in memory.
    pub(crate) fn find(&self, job: JobId, shard: u16) -> Option<u32> {
        let (index, generation) = job.slot()?;
        let (number, offset) = split(index);
        let slot = self.pages.get(number)?.slot(offset)?;
        let same = !slot.is_free()
            && slot.generation == generation
            && JobId::direct(slot.created_ms, shard, index, generation) == job;
        same.then_some(index)
    }
}

const EXISTS: &str = "slot numbers in the state exist";
