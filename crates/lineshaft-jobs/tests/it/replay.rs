//! What was written is what is: a journal read again, a snapshot loaded, and both together give the state that was.

use std::collections::BTreeMap;

use lineshaft_jobs::{Change, ChangedPage, Limits, Snapshot, SnapshotDraft, State};
use lineshaft_testkit::model::Model;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::machine::replay;
use crate::steps::{self, Step};
use crate::world::{Return, World, limits};

fn load(snapshot: &Snapshot, limits: Limits) -> State {
    State::from_snapshot(snapshot, limits).expect("a snapshot reads")
}

/// Runs a history and takes a snapshot now and then.
fn run(tight: bool, history: &[Step]) -> (World, Vec<(u64, Snapshot)>) {
    let mut world = World::new(limits(tight));
    let mut snapshots = Vec::new();
    for (number, step) in history.iter().enumerate() {
        world.step(step);
        if number % 40 == 7 {
            snapshots.push((world.machine.lsn(), world.machine.state.snapshot()));
        }
    }
    (world, snapshots)
}

/// Keeps the pages of a draft beside those that did not change, as a store does.
fn keep(store: &mut BTreeMap<u64, Vec<u8>>, draft: SnapshotDraft) -> Snapshot {
    store.extend(draft.changed.into_iter().map(ChangedPage::encode));
    store.retain(|number, _| draft.pages.iter().any(|pages| pages.contains(number)));
    Snapshot { tables: draft.tables, pages: store.clone().into_iter().collect() }
}

/// A quarter of the usual cases: each runs its history several times.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { failure_persistence: None, cases: usual.cases / 4, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_replayed_journal_gives_the_same_state((tight, history) in steps::histories()) {
        let (world, snapshots) = run(tight, &history);
        let (machine, live) = (&world.machine, world.machine.state.snapshot());
        let replayed = replay(State::new(0, machine.limits), &machine.commits, 0);
        prop_assert!(replayed.snapshot() == live, "from the beginning");
        for (lsn, snapshot) in snapshots {
            let loaded = load(&snapshot, machine.limits);
            prop_assert!(loaded.snapshot() == snapshot, "a snapshot of what was loaded at commit {lsn}");
            let gone_on = replay(loaded, &machine.commits, lsn);
            prop_assert!(gone_on.snapshot() == live, "from the snapshot of commit {lsn} on");
        }
    }

    /// What a store holds that keeps changed pages only, though some snapshots are lost and drafts are encoded late.
    #[test]
    fn changed_pages_and_those_kept_before_are_the_whole_state(
        (tight, history) in steps::histories(),
        fates in vec(any::<(bool, u8)>(), 40),
    ) {
        let history: Vec<_> = history.into_iter().filter(|step| !matches!(step, Step::Restart { .. })).collect();
        let mut world = World::new(limits(tight));
        let (mut store, mut newest) = (BTreeMap::new(), None);
        for (steps, (is_kept, late)) in history.chunks(7).zip(fates.iter().cycle()) {
            steps.iter().for_each(|step| world.step(step));
            let (lsn, expected) = (world.machine.lsn(), world.machine.state.snapshot());
            let draft = world.machine.state.begin_snapshot();
            history.iter().take(usize::from(late % 4)).for_each(|step| world.step(step));
            if *is_kept {
                let found = keep(&mut store, draft);
                prop_assert!(found == expected);
                newest = Some((lsn, found));
            }
            world.machine.state.end_snapshot(*is_kept);
        }
        let Some((lsn, snapshot)) = newest else { return Ok(()) };
        let machine = &world.machine;
        let mut gone_on = replay(load(&snapshot, machine.limits), &machine.commits, lsn);
        let draft = gone_on.begin_snapshot();
        prop_assert!(keep(&mut store, draft) == machine.state.snapshot(), "what is loaded knows what was kept");
    }

    #[test]
    fn a_loaded_state_goes_on_like_the_live_one(
        history in vec(steps::step(), 1..80),
        rest in vec(steps::step(), 1..40),
    ) {
        // The credit for a stall is not durable, and bulk steps may cut ties between timers elsewhere after a load.
        let lasts = |step: &&Step| !matches!(step, Step::Stall(_));
        let mut live = World::new(Limits { step: 4_096, ..limits(false) });
        history.iter().filter(lasts).for_each(|step| live.step(step));
        let mut loaded = live.fork();
        live.answers.clear();
        for world in [&mut live, &mut loaded] {
            world.restart(Return::Live);
        }
        for step in rest.iter().filter(lasts) {
            live.step(step);
            loaded.step(step);
            prop_assert_eq!(&live.answers, &loaded.answers);
            prop_assert!(live.machine.state.snapshot() == loaded.machine.state.snapshot(), "after {step:?}");
        }
    }

    #[test]
    fn a_snapshot_of_the_layout_before_has_all_but_how_long_locks_of_interpreters_were_held(
        history in vec(steps::step(), 1..60),
    ) {
        let (world, _) = run(false, &history);
        let state = &world.machine.state;
        let mut known = state.task_statistics(None);
        let held: Vec<_> = known.iter().map(|task| [task.gil_us, task.gil_ran_us]).collect();
        let mut snapshot = state.snapshot();
        let behind = postcard::to_allocvec(&held).unwrap().len();
        snapshot.tables.truncate(snapshot.tables.len() - behind);
        snapshot.tables[0] = 7;
        let loaded = State::from_snapshot(&snapshot, world.machine.limits).expect("layout 7 reads");
        known.iter_mut().for_each(|task| (task.gil_us, task.gil_ran_us) = (0, 0));
        prop_assert_eq!(loaded.task_statistics(None), known);
    }

    #[test]
    fn a_damaged_snapshot_never_panics(
        history in vec(steps::step(), 1..40),
        which in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (world, _) = run(false, &history);
        let mut snapshot = world.machine.state.snapshot();
        let pages = snapshot.pages.len();
        let part = which.index(pages + 1);
        let bytes = if part < pages { &mut snapshot.pages[part].1 } else { &mut snapshot.tables };
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |at| at.index(bytes.len())));
        drop(State::from_snapshot(&snapshot, world.machine.limits));
        snapshot.pages.truncate(part);
        prop_assert!(part == pages || State::from_snapshot(&snapshot, world.machine.limits).is_err());
    }

    #[test]
    fn bytes_that_are_no_change_give_an_error(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok((change, rest)) = Change::decode(&bytes) {
            prop_assert!(rest.len() < bytes.len(), "{:?} has no bytes", change);
        }
    }
}

#[test]
fn a_snapshot_of_another_layout_is_refused_by_its_number() {
    let mut snapshot = State::new(0, Limits::default()).snapshot();
    snapshot.tables[0] = 99;
    let error = State::from_snapshot(&snapshot, Limits::default()).expect_err("nobody knows layout 99");
    assert_eq!(error.to_string(), "the snapshot has layout 99, this version reads up to 8");
}

#[test]
fn an_empty_model_has_nothing_to_do() {
    let model = Model::new(Limits::default());
    assert_eq!((model.overdue(), model.next_moments()), (None, (None, None)));
}
