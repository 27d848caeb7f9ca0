//! A page of slots: all that is durable of up to 8,192 jobs and nothing else. A snapshot writes the pages that changed.

use bytes::Bytes;
use lineshaft_structures::{ColdVec, PAGE_LEN, Rows};

use crate::change::Place;
use crate::extra::Extra;
use crate::job::Job;
use crate::slot::{Slot, Times};

/// Slots, and what some of them have beside: each of those tables is empty until one of them has it, and stays then, so
/// that a job that comes and goes costs no new table each time.
///
/// Of a [cold](Self::cool) page slots and times lie outside memory. They read as always; changing one brings them back.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotPage {
    slots: ColdVec<Slot>,
    times: ColdVec<Times>,
    extras: Vec<Option<Box<Extra>>>,
}

/// Memory of a page that lies elsewhere now.
#[derive(Debug)]
pub struct Vacated {
    slots: Vec<Slot>,
    times: Vec<Times>,
}

impl Vacated {
    /// The memory, with bytes that nobody needs.
    pub fn memory(&mut self) -> [&mut [u8]; 2] {
        [bytemuck::cast_slice_mut(&mut self.slots), bytemuck::cast_slice_mut(&mut self.times)]
    }
}

/// A job on its way into a page.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) slot: Slot,
    pub(crate) times: Times,
    pub(crate) extra: Option<Box<Extra>>,
}

impl From<Slot> for Row {
    fn from(slot: Slot) -> Self {
        Self { slot, times: Times::NONE, extra: None }
    }
}

impl Row {
    pub(crate) fn job(&self) -> Job<'_> {
        Job { slot: &self.slot, times: &self.times, extra: self.extra.as_deref() }
    }

    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }
}

impl SlotPage {
    /// An empty page with room for so many slots.
    pub(crate) fn with_room(slots: usize) -> Self {
        Self { slots: ColdVec::with_capacity(slots), ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn push(&mut self, row: Row) {
        let offset = self.slots.len();
        self.slots.to_mut().push(row.slot);
        self.set_times(offset, row.times);
        self.set_extra(offset, row.extra);
    }

    #[inline]
    pub(crate) fn slot(&self, offset: usize) -> Option<&Slot> {
        self.slots.get(offset)
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    #[inline]
    pub(crate) fn slot_mut(&mut self, offset: usize) -> Option<&mut Slot> {
        self.slots.to_mut().get_mut(offset)
    }

    pub(crate) fn job(&self, offset: usize) -> Option<Job<'_>> {
        Some(Job { slot: self.slots.get(offset)?, times: self.times(offset), extra: self.extra(offset) })
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = Job<'_>> {
        (0..self.len()).filter_map(|offset| self.job(offset))
    }

    pub(crate) fn times(&self, offset: usize) -> &Times {
        self.times.get(offset).unwrap_or(&Times::NONE)
    }

    pub(crate) fn set_times(&mut self, offset: usize, times: Times) {
        if *self.times(offset) == times {
            return;
        }
        if self.times.len() <= offset {
            self.times.to_mut().resize(self.slots.len(), Times::NONE);
        }
        self.times.to_mut()[offset] = times;
    }

    #[inline]
    pub(crate) fn extra(&self, offset: usize) -> Option<&Extra> {
        self.extras.get(offset)?.as_deref()
    }

    pub(crate) fn extra_mut(&mut self, offset: usize) -> &mut Option<Box<Extra>> {
        if self.extras.len() <= offset {
            self.extras.resize_with(self.slots.len(), || None);
        }
        &mut self.extras[offset]
    }

    /// Whether its slots lie outside memory.
    pub(crate) const fn is_cold(&self) -> bool {
        self.slots.is_cold()
    }

    /// Memory that slots and times take now, and what they take elsewhere, bytes.
    pub(crate) fn plain_bytes(&self) -> (u64, u64) {
        let bytes = self.plain().map(|part| part.len() as u64).iter().sum();
        if self.is_cold() { (0, bytes) } else { (bytes, 0) }
    }

    /// What may lie outside memory: the bytes of the slots, and of the times if there are some.
    pub(crate) fn plain(&self) -> [&[u8]; 2] {
        [self.slots.as_bytes(), self.times.as_bytes()]
    }

    /// Reads slots and times elsewhere from now on, where the same bytes as in [`Self::plain`] stand, and gives the memory
    /// that they took.
    pub(crate) fn cool(&mut self, [slots, times]: [Bytes; 2]) -> Vacated {
        let slots = self.slots.cool(slots);
        let times = if times.is_empty() { Vec::new() } else { self.times.cool(times) };
        Vacated { slots, times }
    }

    /// Brings slots and times back into memory.
    pub(crate) fn warm(&mut self) {
        self.slots.to_mut();
        self.times.to_mut();
    }

    /// Where slots and times lie, as far as that is outside memory.
    pub(crate) fn elsewhere(&self) -> impl Iterator<Item = &Bytes> {
        self.slots.elsewhere().into_iter().chain(self.times.elsewhere())
    }

    /// Puts another job, or none, in the place of the one at `offset`, which it gives.
    pub(crate) fn replace(&mut self, offset: usize, row: Row) -> Option<Row> {
        let slot = std::mem::replace(self.slots.to_mut().get_mut(offset)?, row.slot);
        let times = *self.times(offset);
        self.set_times(offset, row.times);
        Some(Row { slot, times, extra: self.set_extra(offset, row.extra) })
    }

    fn set_extra(&mut self, offset: usize, extra: Option<Box<Extra>>) -> Option<Box<Extra>> {
        if extra.is_none() && self.extras.len() <= offset {
            return None;
        }
        std::mem::replace(self.extra_mut(offset), extra)
    }

    /// Every stored payload of the job at `offset`, to be changed.
    pub(crate) fn places_mut(&mut self, offset: usize) -> Vec<&mut Place> {
        let mut places: Vec<&mut Place> = Vec::new();
        places.extend(self.slots.to_mut().get_mut(offset).map(|slot| &mut slot.arguments));
        let Some(extra) = self.extras.get_mut(offset).and_then(Option::as_deref_mut) else { return places };
        places.push(&mut extra.result);
        places.extend(extra.history.iter_mut().flat_map(|it| [&mut it.error, &mut it.output]));
        places.extend(extra.checkpoint.iter_mut().map(|checkpoint| &mut checkpoint.value));
        places
    }
}

impl FromIterator<Row> for SlotPage {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let rows = rows.into_iter();
        let mut page = Self::with_room(rows.size_hint().0.min(PAGE_LEN));
        rows.for_each(|row| page.push(row));
        page
    }
}

impl Rows for SlotPage {
    fn count(&self) -> usize {
        self.len()
    }

    fn copied(&self) -> Self {
        Self { slots: self.slots.copied(), times: self.times.copied(), extras: self.extras.copied() }
    }
}
