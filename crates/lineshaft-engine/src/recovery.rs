//! From what is on disk to the state in memory.

use lineshaft_jobs::{Change, Limits, LoadedPage, State};
use lineshaft_store::{Journal, Recovery, Snapshot};

use crate::Error;
use crate::kept_snapshots::Taken;
use crate::spill::Memory;

/// What a journal holds.
#[derive(Debug)]
pub struct Recovered {
    /// The state after the newest commit.
    pub state: State,
    /// Bytes of the commits after the snapshot: what the next start saves if there is a newer one by then.
    pub replayed_bytes: u64,
    /// The oldest commit that jobs of the snapshot need, or the one after it; 0 without a snapshot.
    pub snapshot_needs_lsn: u64,
}

/// The state that a journal holds: its newest snapshot and every commit after it.
///
/// Errors if the snapshot or a commit does not read, although its checksum is right.
pub fn recover(journal: &mut impl Journal, recovery: &Recovery, limits: Limits) -> Result<Recovered, Error> {
    recover_within(journal, recovery, limits, &Memory { page_bytes: u64::MAX, scratch: None })
}

/// The same with the snapshot's jobs in no more memory than they may take.
pub(crate) fn recover_within(
    journal: &mut impl Journal,
    recovery: &Recovery,
    limits: Limits,
    memory: &Memory,
) -> Result<Recovered, Error> {
    let mut state = match &recovery.snapshot {
        Some(snapshot) => load(snapshot, limits, memory)?,
        None => State::new(0, limits),
    };
    let taken = recovery.snapshot.as_ref().map(|snapshot| Taken::of(&state, snapshot.lsn));
    let after = recovery.snapshot.as_ref().map_or(0, |snapshot| snapshot.lsn);
    let mut replayed_bytes = 0;
    journal.replay(after, |lsn, body| {
        replayed_bytes += body.len() as u64;
        replay_commit(&mut state, lsn, body)
    })?;
    let snapshot_needs_lsn = taken.map_or(0, |taken| taken.needs_lsn);
    Ok(Recovered { state, replayed_bytes, snapshot_needs_lsn })
}

fn load(snapshot: &Snapshot, limits: Limits, memory: &Memory) -> Result<State, Error> {
    let mut room = memory.page_bytes;
    let mut pages = Vec::with_capacity(snapshot.pages.len());
    for (number, bytes) in &snapshot.pages {
        let mut page = LoadedPage::read(*number, bytes)?;
        match (&memory.scratch, room.checked_sub(page.plain_bytes())) {
            (Some(scratch), None) if page.cool(|bytes| scratch.put(bytes)).is_ok() => {}
            // One that cannot leave takes memory: it is tried again while the engine runs.
            (_, left) => room = left.unwrap_or(0),
        }
        pages.push(page);
    }
    Ok(State::from_pages(&snapshot.tables, pages, limits)?)
}

fn replay_commit(state: &mut State, lsn: u64, body: &[u8]) -> Result<(), Error> {
    let mut rest = body;
    while !rest.is_empty() {
        let at = body.len() - rest.len();
        let damaged = |reason: String| Error::Commit { lsn, offset: at, reason };
        let (change, after) = Change::decode(rest).map_err(|error| damaged(error.to_string()))?;
        let payload_bytes = change.inline_length() as usize;
        let offset = body.len() - after.len();
        rest = after.get(payload_bytes..).ok_or_else(|| damaged("its payloads are cut short".to_owned()))?;
        state.apply(&change, lsn, offset as u32);
        // Nobody outside is left to hear what happened back then.
        state.take_events();
    }
    Ok(())
}
