//! Pages of rows: slots, and idempotency keys.
//!
//! A page outlives the snapshot that it was written for, so it says its own layout. Rows of slots are an enumeration:
//! what is added to jobs later becomes a further variant.

use std::sync::Arc;

use lineshaft_structures::PAGE_LEN;
use lineshaft_wire::JobState;
use serde::{Deserialize, Serialize};

use super::SnapshotError;
use crate::change::Place;
use crate::slot::{Checkpoint, Extra, Failure, Slot, SlotState};
use crate::state::Key;

/// Version of the layout of a page.
const LAYOUT: u16 = 1;

/// Pages of keys have numbers from here on, those of slots from 0.
pub(super) const KEYS: u64 = 1 << 56;

/// Bytes of an ordinary row, to begin with.
const ROW_BYTES: usize = 32;

/// What stands before the rows.
#[derive(Serialize, Deserialize)]
struct PageHead {
    layout: u16,
    number: u64,
    rows: u32,
}

#[derive(Serialize, Deserialize)]
enum SlotRow<E, F, C> {
    Free { generation: u32, order: u64 },
    Job(JobRow<E>),
    Rare(JobRow<E>, Option<F>, Option<C>),
}

/// Written from a borrowed box of rarer things, read into one of its own.
#[derive(Serialize, Deserialize)]
pub(super) struct JobRow<E> {
    pub(super) created_ms: u64,
    pub(super) order: u64,
    pub(super) arguments: Place,
    pub(super) generation: u32,
    pub(super) task: u32,
    pub(super) queue: u32,
    pub(super) rules: u32,
    pub(super) failures: u16,
    pub(super) crashes: u8,
    pub(super) priority: u8,
    pub(super) state: JobState,
    pub(super) cancelling: bool,
    pub(super) extra: Option<E>,
}

type Written<'a> = SlotRow<&'a Extra, &'a Failure, &'a Checkpoint>;
type Read = SlotRow<Box<Extra>, Box<Failure>, Box<Checkpoint>>;

/// A page of a [`SnapshotDraft`](super::SnapshotDraft), not encoded yet.
#[derive(Debug)]
pub struct ChangedPage {
    number: u64,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Slots(Arc<Vec<Slot>>),
    Keys(Arc<Vec<Key>>),
}

impl ChangedPage {
    pub(super) fn of_slots((number, rows): (u32, Arc<Vec<Slot>>)) -> Self {
        Self { number: u64::from(number), rows: Rows::Slots(rows) }
    }

    pub(super) fn of_keys((number, rows): (u64, Arc<Vec<Key>>)) -> Self {
        Self { number, rows: Rows::Keys(rows) }
    }

    /// Its number and bytes, which [`LoadedPage::read`] reads.
    pub fn encode(self) -> (u64, Vec<u8>) {
        match self.rows {
            Rows::Slots(rows) => encode_slots(self.number, &rows),
            Rows::Keys(rows) => encode_keys(self.number, &rows),
        }
    }
}

pub(super) fn encode_slots(number: u64, rows: &[Slot]) -> (u64, Vec<u8>) {
    encode(number, rows, written)
}

pub(super) fn encode_keys(number: u64, rows: &[Key]) -> (u64, Vec<u8>) {
    encode(KEYS + number, rows, |key| key)
}

fn encode<'a, T, R: Serialize>(number: u64, rows: &'a [T], row: impl Fn(&'a T) -> R) -> (u64, Vec<u8>) {
    let head = PageHead { layout: LAYOUT, number, rows: rows.len() as u32 };
    let bytes = Vec::with_capacity(rows.len() * ROW_BYTES);
    let bytes = postcard::to_extend(&head, bytes).expect("a vector takes every page");
    let append =
        |bytes, element| postcard::to_extend(&row(element), bytes).expect("a vector takes every row");
    (number, rows.iter().fold(bytes, append))
}

fn written(slot: &Slot) -> Written<'_> {
    let SlotState::Job(state) = slot.state else {
        return SlotRow::Free { generation: slot.generation, order: slot.order };
    };
    let extra = slot.extra.as_deref();
    let row = JobRow {
        created_ms: slot.created_ms,
        order: slot.order,
        arguments: slot.arguments,
        generation: slot.generation,
        task: slot.task,
        queue: slot.queue,
        rules: slot.rules,
        failures: slot.failures,
        crashes: slot.crashes,
        priority: slot.priority,
        state,
        cancelling: slot.cancelling,
        extra,
    };
    let failure = extra.and_then(|extra| extra.failure.as_deref());
    let checkpoint = extra.and_then(|extra| extra.checkpoint.as_deref());
    if failure.is_none() && checkpoint.is_none() {
        return SlotRow::Job(row);
    }
    SlotRow::Rare(row, failure, checkpoint)
}

impl JobRow<Box<Extra>> {
    pub(super) fn into_slot(self) -> Slot {
        Slot {
            created_ms: self.created_ms,
            order: self.order,
            arguments: self.arguments,
            task: self.task,
            queue: self.queue,
            rules: self.rules,
            failures: self.failures,
            crashes: self.crashes,
            priority: self.priority,
            state: SlotState::Job(self.state),
            cancelling: self.cancelling,
            extra: self.extra,
            ..Slot::free(self.generation)
        }
    }
}

fn slot_of(row: Read) -> Slot {
    match row {
        SlotRow::Free { generation, order } => Slot { order, ..Slot::free(generation) },
        SlotRow::Job(row) => row.into_slot(),
        SlotRow::Rare(row, failure, checkpoint) => {
            let mut slot = row.into_slot();
            let extra = slot.extra_mut();
            (extra.failure, extra.checkpoint) = (failure, checkpoint);
            slot
        }
    }
}

/// A page of a snapshot, read. Reading one needs nothing else, so several threads may read some each.
#[derive(Debug)]
pub struct LoadedPage {
    number: u64,
    rows: LoadedRows,
}

#[derive(Debug)]
enum LoadedRows {
    Slots(Vec<Slot>),
    Keys(Vec<Key>),
}

impl LoadedPage {
    /// Reads the page that was kept under `number`.
    ///
    /// Errors if the bytes are no page, one of a later version, or that of another number.
    pub fn read(number: u64, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let (head, rest) = postcard::take_from_bytes::<PageHead>(bytes)?;
        let PageHead { layout, number: own, rows } = head;
        if layout != LAYOUT {
            return Err(SnapshotError::Inconsistent("a page of a later version"));
        }
        if own != number || rows as usize > PAGE_LEN {
            return Err(SnapshotError::Inconsistent("a page in the place of another one"));
        }
        let rows = if number < KEYS {
            LoadedRows::Slots(read_rows(rest, rows, slot_of)?)
        } else {
            LoadedRows::Keys(read_rows(rest, rows, |key| key)?)
        };
        Ok(Self { number, rows })
    }
}

fn read_rows<'a, R: Deserialize<'a>, T>(
    mut bytes: &'a [u8],
    count: u32,
    of: impl Fn(R) -> T,
) -> Result<Vec<T>, SnapshotError> {
    let mut rows = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (row, rest) = postcard::take_from_bytes::<R>(bytes)?;
        rows.push(of(row));
        bytes = rest;
    }
    if bytes.is_empty() {
        Ok(rows)
    } else {
        Err(SnapshotError::Inconsistent("a page with more than its rows"))
    }
}

/// A page of keys with its number among those.
pub(super) type KeyPage = (u64, Vec<Key>);

/// The pages of slots, and those of keys. Each kind must be in order and without a gap.
pub(super) fn sort_out(pages: Vec<LoadedPage>) -> Result<(Vec<Vec<Slot>>, Vec<KeyPage>), SnapshotError> {
    let (mut slots, mut keys) = (Vec::new(), Vec::<KeyPage>::new());
    for page in pages {
        let fits = match (page.rows, page.number) {
            (LoadedRows::Slots(rows), number) => {
                slots.push(rows);
                slots.len() as u64 == number + 1
            }
            (LoadedRows::Keys(rows), number) => {
                let number = number - KEYS;
                let follows = keys.last().is_none_or(|last| last.0.checked_add(1) == Some(number));
                keys.push((number, rows));
                follows
            }
        };
        if !fits {
            return Err(SnapshotError::Inconsistent("a page is missing"));
        }
    }
    Ok((slots, keys))
}
