//! Children that were there before a start and are not there after it.

use lineshaft_jobs::{Change, State};
use lineshaft_wire::message::Rules;
use lineshaft_wire::{JobState, Outcome};

use super::shop::{Lease, Shop, group, with_rules};
use crate::machine::replay;

/// How long each run of the engine lives, milliseconds.
const LIFE_MS: u64 = 800;

fn one_running() -> (Shop, Lease) {
    let mut shop = Shop::new();
    shop.enqueue(group());
    shop.child(1, 1);
    let lease = shop.lease();
    (shop, lease)
}

/// The engine comes back with its journal.
fn replayed(shop: &mut Shop) {
    let machine = &mut shop.machine;
    let state = replay(State::new(0, machine.limits), &machine.commits, 0);
    machine.restart_on(state);
}

/// Several short lives, one after the other.
fn lives(shop: &mut Shop, count: u64) {
    for life in 0..count {
        if life % 2 == 0 {
            shop.restart();
        } else {
            replayed(shop);
        }
        shop.pass(LIFE_MS);
        shop.machine.settle();
    }
}

/// Every start gave a whole lease, so that the attempts of the dead ran for as long as the server was killed.
#[test]
fn the_lease_of_a_child_that_stays_away_ends_however_often_the_engine_starts() {
    let (mut shop, lease) = one_running();
    lives(&mut shop, 18);
    assert_eq!(shop.state(lease.1), JobState::Running, "14.4 s");
    lives(&mut shop, 1);
    let record = shop.machine.record_of(lease.1);
    assert_eq!((record.state, record.attempts.len()), (JobState::Available, 1));
    assert_eq!(record.attempts[0].outcome, Some(Outcome::Lost));
    assert!(!shop.machine.state.has_absent(), "and the child is forgotten");
    shop.child(2, 1);
    assert_eq!(shop.leased_jobs(), [lease.1]);
}

#[test]
fn a_child_is_absent_from_the_first_start_that_it_misses_until_it_attaches() {
    let (mut shop, (child, job, fence)) = one_running();
    assert!(!shop.machine.state.has_absent());
    shop.pass(1_000);
    shop.restart();
    assert_eq!(shop.machine.state.absent_since(child), Some(1_000));
    shop.pass(1_000);
    replayed(&mut shop);
    shop.restart();
    assert_eq!(shop.machine.state.absent_since(child), Some(1_000));
    assert_eq!(shop.child_holding(1, 0, vec![(job, fence)]), child);
    assert!(!shop.machine.state.has_absent());
    replayed(&mut shop);
    assert_eq!(shop.machine.state.absent_since(child), Some(2_000), "that it was back is durable");
}

#[test]
fn a_child_that_comes_back_in_time_keeps_its_lease_and_has_a_whole_one_after_the_next_start() {
    let (mut shop, lease) = one_running();
    for _ in 0..3 {
        lives(&mut shop, 18);
        shop.child_holding(1, 0, vec![(lease.1, lease.2)]);
        assert_eq!(shop.state(lease.1), JobState::Running);
    }
    lives(&mut shop, 18);
    assert_eq!(shop.state(lease.1), JobState::Running);
    lives(&mut shop, 1);
    assert_eq!(shop.state(lease.1), JobState::Available);
}

#[test]
fn an_attach_that_follows_no_start_changes_nothing() {
    let (mut shop, (_, job, fence)) = one_running();
    shop.child_holding(1, 0, vec![(job, fence)]);
    let newest = shop.machine.commits.values().next_back().expect("there are commits");
    let (change, rest) = Change::decode(newest).expect("it reads");
    assert!(matches!(change, Change::Clock { .. }) && rest.is_empty(), "{change:?} {rest:?}");
}

/// It ended as soon as the next engine started: the clock had been written down, and what was credited had not.
#[test]
fn a_stall_is_credited_to_the_absent_also_after_the_next_start() {
    let (mut shop, lease) = one_running();
    shop.restart();
    shop.pass(60_000);
    shop.machine.state.extend_leases(60_000);
    shop.machine.record(Change::AbsencesCredited { still_ms: 60_000 }.into());
    replayed(&mut shop);
    shop.restart();
    shop.pass(14_999);
    shop.machine.settle();
    assert_eq!(shop.state(lease.1), JobState::Running);
    shop.pass(1);
    shop.machine.settle();
    assert_eq!(shop.state(lease.1), JobState::Available);
}

#[test]
fn what_is_absent_stands_in_a_snapshot() {
    let (mut shop, (child, ..)) = one_running();
    shop.enqueue(with_rules(Rules { at_most_once: true, ..Rules::default() }));
    shop.child(2, 1);
    shop.restart();
    shop.pass(700);
    let snapshot = shop.machine.state.snapshot();
    let loaded = State::from_snapshot(&snapshot, shop.machine.limits).expect("it reads");
    assert!(loaded.snapshot() == snapshot);
    assert_eq!((loaded.absent_since(child), loaded.absent_since(child + 1)), (Some(0), Some(0)));
    let ends = |state: &State| state.child_reports().map(|it| it.lease_ends_ms).collect::<Vec<_>>();
    assert_eq!((ends(&loaded), ends(&shop.machine.state)), (vec![15_000; 2], vec![15_000; 2]));
}

#[test]
fn a_child_that_is_declared_dead_is_not_absent_any_more() {
    let (mut shop, _) = one_running();
    shop.restart();
    shop.child_ended(Vec::new(), None, Vec::new());
    assert!(!shop.machine.state.has_absent());
    assert_eq!(shop.machine.state.begin(9, 9).len(), 1, "nobody is known");
}
