//! Snapshots of earlier layouts, as released versions wrote them: they load, and are the state that their journal gives.
//!
//! Each file in `layouts/` is a random history: its commits, and snapshots taken along the way. They are on people's
//! disks, so they are never made again.

use std::collections::BTreeMap;
use std::sync::Arc;

use lineshaft_jobs::{Change, Entry, Limits, Now, Snapshot, State};
use lineshaft_wire::JobState;
use lineshaft_wire::message::Filter;

use crate::machine::replay;
use crate::world::limits;

/// Commits and snapshots by LSN.
type History = (Vec<(u64, Vec<u8>)>, Vec<(u64, Vec<u8>)>);

const HISTORIES: [&[u8]; 3] =
    [include_bytes!("layouts/1-1"), include_bytes!("layouts/1-2"), include_bytes!("layouts/1-3")];

fn load(bytes: &[u8]) -> State {
    let snapshot = Snapshot { tables: bytes.to_vec(), pages: Vec::new() };
    State::from_snapshot(&snapshot, limits(false)).expect("a snapshot of an earlier version reads")
}

/// Everything but the idempotency keys, whose numbers in their queue an earlier layout did not have. Behind them stands
/// that places are used in turn, that no child is absent, that no lock was given nor is held, that no turn at a limiter was
/// taken, that no result is cached, that nothing was ever in the cache, and that nothing is counted of tasks nor of what they
/// held, a byte or some each.
fn without_keys(state: &State) -> (Vec<u8>, Vec<(u64, Vec<u8>)>) {
    let Snapshot { mut tables, mut pages } = state.snapshot();
    tables.truncate(tables.len() - 29);
    pages.retain(|(number, _)| *number < 1 << 56);
    (tables, pages)
}

/// The idempotency keys, the oldest first: what is forgotten when all time has passed.
fn keys(state: &mut State) -> Vec<Arc<str>> {
    let (wall_ms, logical_ms) = state.clock();
    let now = Now { wall_ms, logical_ms: logical_ms + 10_000_000, random: 0 };
    let mut forgotten = Vec::new();
    while state.is_due(now) {
        for Entry { change, .. } in state.tick(now) {
            state.apply(&change, u64::MAX >> 1, 0);
            if let Change::KeysExpired { keys } = change {
                forgotten.extend(keys);
            }
        }
    }
    forgotten
}

#[test]
fn the_first_layout_gives_the_state_of_its_journal() {
    let (mut seen, mut with_keys) = ([false; 8], 0);
    for bytes in HISTORIES {
        let (commits, snapshots): History = postcard::from_bytes(bytes).expect("the file is whole");
        let commits: BTreeMap<u64, Vec<u8>> = commits.into_iter().collect();
        let head = replay(State::new(0, limits(false)), &commits, 0);
        for (lsn, snapshot) in snapshots {
            let before = commits.range(..=lsn).map(|(lsn, body)| (*lsn, body.clone())).collect();
            let mut replayed = replay(State::new(0, limits(false)), &before, 0);
            let mut loaded = load(&snapshot);
            assert!(without_keys(&loaded) == without_keys(&replayed), "loaded at commit {lsn}");
            let again = State::from_snapshot(&loaded.snapshot(), limits(false)).expect("it reads");
            assert!(again.snapshot() == loaded.snapshot(), "written again at commit {lsn}");
            assert!(without_keys(&replay(load(&snapshot), &commits, lsn)) == without_keys(&head));
            note_states(&loaded, &mut seen);
            let expected = keys(&mut replayed);
            assert_eq!(keys(&mut loaded), expected, "at commit {lsn}");
            with_keys += usize::from(expected.len() > 1);
        }
    }
    let missing =
        JobState::ALL.into_iter().filter(|state| !seen[*state as usize] && *state != JobState::Pending);
    assert_eq!((missing.collect::<Vec<_>>(), with_keys > 2), (vec![], true), "the histories show too little");
}

fn note_states(state: &State, seen: &mut [bool; 8]) {
    let unfinished = state.page(&Filter::default(), 0, usize::MAX).slots;
    let finished = state.finished_page(&Filter::default(), u64::MAX, usize::MAX);
    unfinished.into_iter().chain(finished).for_each(|slot| seen[state.job_state(slot) as usize] = true);
}

/// Handlers of failures, then checkpoints, then versions came behind the slots: snapshots end before what their version
/// did not know.
#[test]
fn a_tail_that_an_earlier_version_did_not_write_may_be_missing() {
    // An empty state: the version, a session and a child to come, no rows of any kind. Then the tail: handlers and
    // failures came together, checkpoints and versions later.
    let mut snapshot = vec![0; 28];
    (snapshot[0], snapshot[7], snapshot[8]) = (1, 1, 1);
    let whole = load(&snapshot).snapshot();
    assert!(whole == State::new(0, limits(false)).snapshot());
    for missing in [1, 2, 4] {
        let earlier = load(&snapshot[..snapshot.len() - missing]);
        assert!(earlier.snapshot() == whole, "without the last {missing} bytes");
    }
}

/// The fifth layout is the sixth one without the results that are cached, the third one the fourth one without the children
/// that are absent, the second one the third one without the byte that says how places are used.
#[test]
fn places_of_an_earlier_layout_are_used_in_turn_until_a_change_says_otherwise() {
    let (_, snapshots): History = postcard::from_bytes(HISTORIES[0]).expect("the file is whole");
    let first = load(&snapshots[snapshots.len() - 1].1).snapshot();
    let mut earlier = first.clone();
    for (layout, why) in [(5, "nothing is cached"), (3, "nobody is absent"), (2, "used in turn")] {
        earlier.tables[0] = layout;
        assert_eq!(earlier.tables.pop(), Some(0), "{why}");
        let state = State::from_snapshot(&earlier, limits(false)).expect("an earlier layout reads");
        assert!(state.snapshot() == first, "layout {layout}");
    }
    let mut state = State::from_snapshot(&earlier, limits(false)).expect("the second layout reads");
    let changes = state.begin(9, 9);
    assert_eq!(changes[..2], [Change::Started { epoch: 9, nonce: 9 }, Change::PlacesSwept]);
    changes.iter().for_each(|change| state.apply(change, u64::MAX >> 1, 0));
    assert!(!state.begin(10, 9).contains(&Change::PlacesSwept), "once is enough");
    let swept = state.snapshot();
    assert!(State::from_snapshot(&swept, limits(false)).expect("it reads").snapshot() == swept);
}

#[test]
fn every_page_of_an_earlier_layout_is_written_with_the_next_snapshot() {
    let (_, snapshots): History = postcard::from_bytes(HISTORIES[0]).expect("the file is whole");
    let mut state = load(&snapshots[snapshots.len() - 1].1);
    let draft = state.begin_snapshot();
    let pages = draft.changed.into_iter().map(lineshaft_jobs::ChangedPage::encode).collect();
    let written = Snapshot { tables: draft.tables, pages };
    assert!(written == state.snapshot());
    state.end_snapshot(true);
    assert_eq!(state.changed_rows(), 0);
    let mut again = State::from_snapshot(&written, Limits { ..limits(false) }).expect("it reads");
    assert_eq!(again.begin_snapshot().changed.len(), 0, "what was loaded is kept already");
}
