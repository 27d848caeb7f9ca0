//! Pages of jobs outside memory.

use std::convert::Infallible;

use bytes::Bytes;
use lineshaft_jobs::{ColdPage, PageBytes, RestingPage};
use lineshaft_wire::message::JobGroup;
use lineshaft_wire::{JobId, JobState};

use super::shop::{Shop, group, ids};

const PAGE_JOBS: usize = 8_192;
const PAGE_BYTES: u64 = PAGE_JOBS as u64 * 56;

/// A shop with two full pages of jobs.
fn two_pages() -> (Shop, Vec<JobId>) {
    let mut shop = Shop::new();
    let group = || JobGroup { lengths: vec![0; PAGE_JOBS], ..group() };
    let enqueued = shop.try_enqueue(vec![group(), group()]).expect("there is room");
    let jobs = ids(&enqueued);
    (shop, jobs)
}

fn cool(page: RestingPage) -> ColdPage {
    page.cool(|bytes| Ok::<_, Infallible>(Bytes::copy_from_slice(bytes))).expect("memory takes it")
}

fn cool_all(shop: &mut Shop) {
    for page in shop.machine.state.resting_pages(u32::MAX, usize::MAX) {
        assert!(shop.machine.state.take_cold(cool(page)).is_some());
    }
}

fn hot_and_cold(shop: &Shop) -> (u64, u64) {
    let PageBytes { hot, cold } = shop.machine.state.page_bytes();
    (hot, cold)
}

#[test]
fn pages_leave_those_first_that_rest_longest_and_are_used_last() {
    let (mut shop, jobs) = two_pages();
    let state = &mut shop.machine.state;
    assert_eq!(state.resting_pages(0, 1).len(), 1);
    state.set_era(7);
    shop.cancel(jobs[PAGE_JOBS]).unwrap();
    let mut leave = |era, at_most| {
        let pages = shop.machine.state.resting_pages(era, at_most);
        pages
            .into_iter()
            .map(|page| usize::from(shop.machine.state.take_cold(cool(page)).is_some()))
            .sum::<usize>()
    };
    assert_eq!(leave(6, 9), 1, "the second page changed in era 7");
    assert_eq!(leave(6, 9), 0);
    assert_eq!(leave(7, 9), 1);
    assert_eq!(hot_and_cold(&shop), (0, 2 * PAGE_BYTES));
}

#[test]
fn a_look_leaves_a_page_where_it_is_and_a_change_brings_it_back() {
    let (mut shop, jobs) = two_pages();
    cool_all(&mut shop);
    assert_eq!(shop.state(jobs[PAGE_JOBS + 1]), JobState::Available);
    assert_eq!(hot_and_cold(&shop), (0, 2 * PAGE_BYTES));
    shop.cancel(jobs[PAGE_JOBS + 1]).unwrap();
    assert_eq!(hot_and_cold(&shop), (PAGE_BYTES, PAGE_BYTES));
    assert_eq!(shop.machine.state.take_came_back(), [1]);
    assert_eq!(shop.machine.state.take_came_back(), [0_u32; 0]);
    assert_eq!(shop.machine.state.cold_parts(0).map(Bytes::len).sum::<usize>() as u64, PAGE_BYTES);
    assert_eq!(shop.machine.state.cold_parts(1).count(), 0);
    shop.child(1, 3);
    assert_eq!(shop.leased_jobs(), jobs[..3]);
    assert_eq!(hot_and_cold(&shop), (2 * PAGE_BYTES, 0));
}

#[test]
fn a_page_that_changed_while_it_was_written_stays() {
    let (mut shop, jobs) = two_pages();
    let written: Vec<ColdPage> =
        shop.machine.state.resting_pages(u32::MAX, usize::MAX).into_iter().map(cool).collect();
    shop.cancel(jobs[0]).unwrap();
    let mut taken: Vec<_> =
        written.into_iter().filter_map(|page| shop.machine.state.take_cold(page)).collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].memory().map(|part| part.len() as u64), [PAGE_BYTES, 0]);
    assert_eq!(hot_and_cold(&shop), (PAGE_BYTES, PAGE_BYTES));
    assert_eq!(shop.state(jobs[0]), JobState::Cancelled);
}

#[test]
fn a_page_that_a_snapshot_is_made_of_stays() {
    let (mut shop, _) = two_pages();
    let written: Vec<ColdPage> =
        shop.machine.state.resting_pages(u32::MAX, usize::MAX).into_iter().map(cool).collect();
    let draft = shop.machine.state.begin_snapshot();
    assert!(written.into_iter().all(|page| shop.machine.state.take_cold(page).is_none()));
    drop(draft);
    shop.machine.state.end_snapshot(true);
    let (whole, rows) = (shop.machine.state.snapshot(), shop.machine.state.changed_rows());
    cool_all(&mut shop);
    assert_eq!(hot_and_cold(&shop), (0, 2 * PAGE_BYTES));
    assert_eq!((shop.machine.state.snapshot(), shop.machine.state.changed_rows()), (whole, rows));
}
