//! The first layout of a snapshot: everything in one row of bytes, the slots one by one behind the tables, and a tail
//! for what came to be later, which earlier versions did not write.
//!
//! It is read for ever and written no more.

use std::sync::Arc;

use lineshaft_structures::PAGE_LEN;
use lineshaft_wire::JobId;
use serde::Deserialize;

use super::rows::{JobRow, KeyPage, ReadExtra};
use super::tables::{ChildRow, HandlersOfRules, Rest, SessionRow, Tables, Versions};
use super::{SnapshotError, VERSION};
use crate::change::Lease;
use crate::extra::{Checkpoint, Extra, Failure};
use crate::interned::Parts;
use crate::rules::Plain;
use crate::slot::Slot;
use crate::slot_page::{Row as SlotRow, SlotPage};
use crate::state::{Key, Limits, State};

#[derive(Deserialize)]
struct Head {
    _version: u16,
    shard: u16,
    wall_ms: u64,
    logical_ms: u64,
    epoch: u64,
    fence_counter: u64,
    next_order: u64,
    next_session: u64,
    next_child: u32,
    finish_number: u64,
    archived: u64,
    names: Parts<str>,
    rules: Parts<Plain>,
    free: Vec<u32>,
    leases: Vec<(u32, Lease)>,
    children: Vec<(u32, ChildRow)>,
    sessions: Vec<SessionRow>,
    queues: Vec<(u32, bool, Option<u64>)>,
    keys: Vec<(u64, Arc<str>, JobId)>,
    periods: Vec<(u64, Arc<str>, JobId)>,
    deleted: Vec<(JobId, u64)>,
    slots: u32,
}

#[derive(Deserialize)]
enum Row {
    Free { generation: u32 },
    Job(JobRow<ReadExtra>),
}

#[derive(Default, Deserialize)]
struct Tail {
    handlers: HandlersOfRules,
    /// What ties jobs that gave up to their handlers, by slot.
    failures: Vec<(u32, Failure)>,
}

/// The state of a snapshot of this layout. All of its pages are new to whoever keeps pages.
pub(super) fn read(bytes: &[u8], limits: Limits) -> Result<State, SnapshotError> {
    let (mut head, mut rest) = postcard::take_from_bytes::<Head>(bytes)?;
    let mut slots = Vec::new();
    for _ in 0..head.slots {
        let (row, after) = postcard::take_from_bytes::<Row>(rest)?;
        slots.push(match row {
            Row::Free { generation } => Slot::free(generation).into(),
            Row::Job(row) => row.into_row(),
        });
        rest = after;
    }
    number_free(&mut slots, &head.free, head.archived)?;
    let (tail, rest) = take_part::<Tail>(rest)?;
    let (checkpoints, rest) = take_part::<Vec<(u32, Checkpoint)>>(rest)?;
    let (versions, _) = take_part::<Versions>(rest)?;
    for (index, failure) in tail.failures {
        extra_of(&mut slots, index, "the failure of no job")?.failure = Some(Box::new(failure));
    }
    for (index, checkpoint) in checkpoints {
        extra_of(&mut slots, index, "a checkpoint of no job")?.checkpoint = Some(Box::new(checkpoint));
    }
    let keys = std::mem::take(&mut head.keys);
    let tables = tables(head, tail.handlers, versions, keys.len() as u64);
    let pages = (in_pages::<_, SlotPage>(slots), key_pages(keys));
    let mut state = State::assemble(tables, Rest::default(), pages, limits)?;
    state.slots.pages.mark_all(true);
    state.keys_by_age.mark_all(true);
    Ok(state)
}

fn take_part<'a, T: Default + Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), SnapshotError> {
    Ok(if bytes.is_empty() { (T::default(), bytes) } else { postcard::take_from_bytes(bytes)? })
}

/// Free places stood in a list in the order of their use; now each says its turn.
fn number_free(slots: &mut [SlotRow], free: &[u32], archived: u64) -> Result<(), SnapshotError> {
    let contradiction = SnapshotError::Inconsistent("a list of free places that is not theirs");
    let Some(before) = archived.checked_sub(free.len() as u64) else { return Err(contradiction) };
    for (order, index) in (before + 1..).zip(free) {
        let slot = slots.get_mut(*index as usize).filter(|row| row.slot.is_free());
        let Some(row) = slot else { return Err(contradiction) };
        row.slot.order = order;
    }
    Ok(())
}

fn extra_of<'a>(
    slots: &'a mut [SlotRow],
    index: u32,
    contradiction: &'static str,
) -> Result<&'a mut Extra, SnapshotError> {
    let slot = slots.get_mut(index as usize).filter(|row| !row.slot.is_free());
    slot.map(SlotRow::extra_mut).ok_or(SnapshotError::Inconsistent(contradiction))
}

fn tables(head: Head, handlers: HandlersOfRules, versions: Versions, keys: u64) -> Tables {
    Tables {
        version: VERSION,
        shard: head.shard,
        wall_ms: head.wall_ms,
        logical_ms: head.logical_ms,
        epoch: head.epoch,
        fence_counter: head.fence_counter,
        next_order: head.next_order,
        next_session: head.next_session,
        next_child: head.next_child,
        finish_number: head.finish_number,
        archived: head.archived,
        names: head.names,
        rules: head.rules,
        handlers,
        versions,
        leases: head.leases,
        children: head.children,
        sessions: head.sessions,
        queues: head.queues,
        periods: head.periods,
        deleted: head.deleted,
        slots: head.slots,
        first_key: 0,
        next_key: keys,
    }
}

fn key_pages(keys: Vec<(u64, Arc<str>, JobId)>) -> Vec<KeyPage> {
    let keys = keys.into_iter().map(|(expires_ms, text, job)| Key { expires_ms, text, job });
    (0..).zip(in_pages(keys.collect())).collect()
}

fn in_pages<T, P: FromIterator<T>>(rows: Vec<T>) -> Vec<P> {
    let mut rows = rows.into_iter().peekable();
    let mut pages = Vec::new();
    while rows.peek().is_some() {
        pages.push(rows.by_ref().take(PAGE_LEN).collect());
    }
    pages
}
