//! A snapshot whose parts do not belong together is refused rather than loaded as a state that never was.

use lineshaft_jobs::{Limits, Snapshot, State};

use super::shop::{Shop, group};

fn refused(snapshot: &Snapshot) -> String {
    State::from_snapshot(snapshot, Limits::default()).expect_err("it contradicts itself").to_string()
}

/// What a shop with one job has, with something done to it.
fn changed(change: impl FnOnce(&mut Vec<(u64, Vec<u8>)>)) -> Snapshot {
    let mut shop = Shop::new();
    shop.enqueue(group());
    let mut snapshot = shop.machine.state.snapshot();
    change(&mut snapshot.pages);
    snapshot
}

fn contradiction(what: &str) -> String {
    format!("the snapshot contradicts itself: {what}")
}

#[test]
fn pages_are_all_there_once_and_in_their_places() {
    let missing = changed(Vec::clear);
    assert_eq!(refused(&missing), contradiction("a page of slots is missing"));
    let twice = changed(|pages| pages.push(pages[0].clone()));
    assert_eq!(refused(&twice), contradiction("a page is missing"));
    let elsewhere = changed(|pages| pages[0].0 = 1);
    assert_eq!(refused(&elsewhere), contradiction("a page in the place of another one"));
}

#[test]
fn a_page_has_its_rows_and_nothing_else() {
    let longer = changed(|pages| pages[0].1.push(0));
    assert_eq!(refused(&longer), contradiction("a page with more than its rows"));
    let later = changed(|pages| pages[0].1[0] += 1);
    assert_eq!(refused(&later), contradiction("a page of a later version"));
}

#[test]
fn tables_and_pages_are_of_one_moment() {
    let mut shop = Shop::new();
    let empty = shop.machine.state.snapshot();
    shop.enqueue(group());
    let waiting = shop.machine.state.snapshot();
    shop.child(1, 1);
    assert_eq!(shop.leases().len(), 1);
    let running = shop.machine.state.snapshot();
    let mixed = |tables: &Snapshot, pages: &Snapshot| {
        refused(&Snapshot { tables: tables.tables.clone(), pages: pages.pages.clone() })
    };
    let lease = contradiction("a running job without a lease, or the other way round");
    assert_eq!(mixed(&waiting, &running), lease);
    assert_eq!(mixed(&running, &waiting), lease);
    assert_eq!(mixed(&empty, &waiting), contradiction("a page of slots that does not fit"));
}
