//! Pages of rows: slots, and idempotency keys.
//!
//! A page outlives the snapshot that it was written for, so it says its own layout. Rows of slots are an enumeration:
//! what is added to jobs later becomes a further variant.

use std::sync::Arc;

use bytes::Bytes;
use lineshaft_structures::PAGE_LEN;
use lineshaft_wire::JobState;
use serde::{Deserialize, Serialize};

use super::SnapshotError;
use crate::account::Account;
use crate::change::{Place, RunAt};
use crate::cold::put_parts;
use crate::extra::{Checkpoint, Extra, Failure};
use crate::job::Job;
use crate::slot::{Slot, Times};
use crate::slot_page::{Row, SlotPage};
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
    Measured(JobRow<E>, Option<F>, Option<C>, Measured),
}

/// What stands behind the rest of a job of which more is known than layouts before kept.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Measured {
    /// When the time came that it waited for, Unix milliseconds.
    ready_ms: Option<u64>,
    /// What its attempts took, in their order; empty if that is known of none.
    accounts: Vec<Option<Account>>,
}

impl Measured {
    fn of(job: Job<'_>) -> Self {
        let is_known = job.history().iter().any(|attempt| attempt.account.is_some());
        let history = if is_known { job.history() } else { &[] };
        let accounts = history.iter().map(|attempt| attempt.account.clone()).collect();
        Self { ready_ms: job.times.ready_ms(), accounts }
    }

    fn put_back(self, row: &mut Row) {
        if let Some(at_ms) = self.ready_ms {
            row.times.set_ready(at_ms);
        }
        let attempts = row.extra.iter_mut().flat_map(|extra| &mut extra.history);
        attempts.zip(self.accounts).for_each(|(attempt, account)| attempt.account = account);
    }
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

/// Times and rarer things, one behind the other, of a job that has one of either.
#[derive(Serialize, Deserialize)]
pub(super) struct ExtraRow<E> {
    run_at: Option<RunAt>,
    expires_ms: Option<u64>,
    deadline_ms: Option<u64>,
    rest: E,
}

pub(super) type ReadExtra = ExtraRow<Box<Extra>>;
type Written<'a> = SlotRow<ExtraRow<&'a Extra>, &'a Failure, &'a Checkpoint>;
type Read = SlotRow<ReadExtra, Box<Failure>, Box<Checkpoint>>;

/// A page of a [`SnapshotDraft`](super::SnapshotDraft), not encoded yet.
#[derive(Debug)]
pub struct ChangedPage {
    number: u64,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Slots(Arc<SlotPage>),
    Keys(Arc<Vec<Key>>),
}

impl ChangedPage {
    pub(super) fn of_slots((number, rows): (u32, Arc<SlotPage>)) -> Self {
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

pub(super) fn encode_slots(number: u64, page: &SlotPage) -> (u64, Vec<u8>) {
    let none = Extra::default();
    encode(number, page.len(), page.jobs().map(|job| written(job, &none)))
}

pub(super) fn encode_keys(number: u64, rows: &[Key]) -> (u64, Vec<u8>) {
    encode(KEYS + number, rows.len(), rows.iter())
}

fn encode(number: u64, count: usize, rows: impl Iterator<Item = impl Serialize>) -> (u64, Vec<u8>) {
    let head = PageHead { layout: LAYOUT, number, rows: count as u32 };
    let bytes = Vec::with_capacity(count * ROW_BYTES);
    let bytes = postcard::to_extend(&head, bytes).expect("a vector takes every page");
    let append = |bytes, row| postcard::to_extend(&row, bytes).expect("a vector takes every row");
    (number, rows.fold(bytes, append))
}

fn written<'a>(slot: Job<'a>, none: &'a Extra) -> Written<'a> {
    let Some(state) = slot.state() else {
        return SlotRow::Free { generation: slot.generation, order: slot.order };
    };
    let times = slot.times;
    // What lost all of its contents is not there after a load: it must not be written before.
    let rest = slot.extra.filter(|extra| !extra.is_empty());
    let extra = (rest.is_some() || *times != Times::NONE).then(|| ExtraRow {
        run_at: times.run_at(),
        expires_ms: times.expires_ms(),
        deadline_ms: times.deadline_ms(),
        rest: rest.unwrap_or(none),
    });
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
        cancelling: slot.is_cancelling(),
        extra,
    };
    let failure = slot.extra.and_then(|extra| extra.failure.as_deref());
    let checkpoint = slot.extra.and_then(|extra| extra.checkpoint.as_deref());
    let measured = Measured::of(slot);
    if measured != Measured::default() {
        return SlotRow::Measured(row, failure, checkpoint, measured);
    }
    if failure.is_none() && checkpoint.is_none() {
        return SlotRow::Job(row);
    }
    SlotRow::Rare(row, failure, checkpoint)
}

impl JobRow<ReadExtra> {
    pub(super) fn into_row(self) -> Row {
        let mut slot = Slot {
            created_ms: self.created_ms,
            order: self.order,
            arguments: self.arguments,
            task: self.task,
            queue: self.queue,
            rules: self.rules,
            failures: self.failures,
            crashes: self.crashes,
            priority: self.priority,
            ..Slot::free(self.generation)
        };
        slot.set_state(self.state);
        slot.set_cancelling(self.cancelling);
        let Some(ExtraRow { run_at, expires_ms, deadline_ms, rest }) = self.extra else { return slot.into() };
        let extra = Some(rest).filter(|extra| !extra.is_empty());
        Row { slot, times: Times::new(run_at, expires_ms, deadline_ms), extra }
    }
}

fn row_of(row: Read) -> Row {
    match row {
        SlotRow::Free { generation, order } => Slot { order, ..Slot::free(generation) }.into(),
        SlotRow::Job(row) => row.into_row(),
        SlotRow::Rare(row, failure, checkpoint) => rare(row, failure, checkpoint),
        SlotRow::Measured(row, failure, checkpoint, measured) => {
            let mut row = if failure.is_some() || checkpoint.is_some() {
                rare(row, failure, checkpoint)
            } else {
                row.into_row()
            };
            measured.put_back(&mut row);
            row
        }
    }
}

fn rare(row: JobRow<ReadExtra>, failure: Option<Box<Failure>>, checkpoint: Option<Box<Checkpoint>>) -> Row {
    let mut row = row.into_row();
    let extra = row.extra_mut();
    (extra.failure, extra.checkpoint) = (failure, checkpoint);
    row
}

/// A page of a snapshot, read. Reading one needs nothing else, so several threads may read some each.
#[derive(Debug)]
pub struct LoadedPage {
    number: u64,
    rows: LoadedRows,
}

#[derive(Debug)]
enum LoadedRows {
    Slots(SlotPage),
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
            LoadedRows::Slots(read_rows(rest, rows, row_of)?.into_iter().collect())
        } else {
            LoadedRows::Keys(read_rows(rest, rows, |key| key)?)
        };
        Ok(Self { number, rows })
    }

    /// Bytes of memory that its plain part takes, 0 if it has none.
    pub fn plain_bytes(&self) -> u64 {
        match &self.rows {
            LoadedRows::Slots(page) => page.plain_bytes().0,
            LoadedRows::Keys(_) => 0,
        }
    }

    /// Has its plain part put elsewhere, as [`RestingPage::cool`](crate::RestingPage::cool) does.
    pub fn cool<E>(&mut self, put: impl FnMut(&[u8]) -> Result<Bytes, E>) -> Result<(), E> {
        if let LoadedRows::Slots(page) = &mut self.rows {
            let parts = put_parts(page, put)?;
            drop(page.cool(parts));
        }
        Ok(())
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
pub(super) fn sort_out(pages: Vec<LoadedPage>) -> Result<(Vec<SlotPage>, Vec<KeyPage>), SnapshotError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What was recovered was another state, byte for byte, than the one that lived, where a job had been parked.
    #[test]
    fn a_job_that_lost_its_rarer_things_is_written_like_one_without() {
        let page = |extra| {
            let mut slot = Slot::free(3);
            slot.set_state(JobState::Available);
            encode_slots(0, &SlotPage::from_iter([Row { extra, ..slot.into() }]))
        };
        assert_eq!(page(Some(Box::default())), page(None));
        let reason = Box::new(Extra { reason: Some("busy".into()), ..Extra::default() });
        assert_ne!(page(Some(reason)), page(None));
    }
}
