//! The suite of [`Archive`].

use std::time::Duration;

use bytes::Bytes;
use lineshaft_store::{
    Archive, ArchiveCounts, ArchiveHead, ArchivedJob, Block, Error, Filter, ListedJob, PageRequest,
};
use lineshaft_wire::{
    AttemptRecord, ErrorRecord, Fence, JobId, JobRecord, JobState, Measures, Outcome, task,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A UTC midnight, in Unix milliseconds.
const MIDNIGHT_MS: u64 = 20_000 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

/// Runs every check on homes of its own.
pub fn check<A: Archive, Open: FnMut() -> A>(new_home: impl Fn() -> Open) {
    an_empty_archive_has_nothing(new_home());
    jobs_come_back_whole(new_home());
    pages_go_on_where_the_last_one_ended(new_home());
    a_page_without_time_still_gets_on(new_home());
    blocks_that_do_not_follow_are_refused(new_home());
    old_days_are_dropped(new_home());
    days_are_dropped_until_the_rest_is_small_enough(new_home());
    blocks_beyond_the_journal_are_dropped(new_home());
    a_block_in_the_place_of_another_one_is_searched(new_home());
    the_newest_job_of_an_id_is_found(new_home());
    filters_find_what_a_naive_search_finds(&new_home);
}

/// A finished job with a bit of everything, other for each number. Every 50 jobs a day ends.
pub fn job(number: u64) -> ArchivedJob {
    let finished_ms = MIDNIGHT_MS + number * (DAY_MS / 50);
    let created_at = finished_ms - 1_000 * (number % 7);
    let state = [JobState::Completed, JobState::Completed, JobState::Cancelled, JobState::Discarded];
    let tags = ["red", "green", "blue"].iter().enumerate().filter(|(bit, _)| number >> bit & 1 == 1);
    let record = JobRecord {
        id: JobId::direct(created_at, 3, number as u32, 5),
        task: task::versioned(&format!("shop.task{}", number % 5), 1 + number as u32 % 3),
        queue: if number.is_multiple_of(3) { "mail" } else { "default" }.into(),
        state: state[number as usize % 4],
        cancelling: number.is_multiple_of(11),
        priority: 1 + (number % 9) as u8,
        attempt: number as u32 % 4,
        max_attempts: 4,
        crashes: 1,
        created_at,
        scheduled_at: number.is_multiple_of(2).then_some(created_at - 5),
        expires_at: number.is_multiple_of(7).then_some(created_at + 60_000),
        deadline_at: number.is_multiple_of(3).then_some(created_at + 90_000),
        attempted_at: Some(created_at + 1),
        attempted_by: Some("host:1/2".into()),
        finalized_at: Some(finished_ms),
        reason: number.is_multiple_of(4).then(|| "max_attempts".into()),
        waits_for: number.is_multiple_of(13).then(|| "queue mail is paused".to_owned()),
        tags: tags.map(|(_, tag)| (*tag).into()).collect(),
        context: number.is_multiple_of(4).then(|| format!("{{\"request\":{number}}}").into()),
        metadata: number.is_multiple_of(6).then(|| format!("{{\"n\":{number}}}").into()),
        retry_of: number.is_multiple_of(5).then(|| JobId::direct(1, 2, 3, 4)),
        failure_of: number.is_multiple_of(4).then(|| JobId::direct(1, 2, 3, 5)),
        handled_by: number.is_multiple_of(8).then(|| JobId::direct(1, 2, 3, 6)),
        attempts: vec![attempt(number, created_at)],
        arguments_bytes: 20,
        result_bytes: number,
        checkpoint_bytes: number % 4 / 3 * 40,
        checkpoint_at: (number % 4 == 3).then_some(created_at + 2),
    };
    let bytes = |count: u64| Bytes::from(super::journal::body(number, count as usize));
    ArchivedJob {
        finish_number: number,
        record,
        arguments: bytes(20),
        result: bytes(number % 3 * 500),
        options: bytes(number % 2),
        checkpoint: bytes(number % 4 / 3 * 40),
    }
}

fn attempt(number: u64, created_ms: u64) -> AttemptRecord {
    let error = ErrorRecord {
        types: vec!["shop.Bounced".into(), "builtins.ValueError".into()],
        message: format!("attempt of {number} failed"),
        traceback: Some("Traceback: …".into()),
        signal: Some(-9),
        rss_peak_bytes: Some(u64::MAX),
        arguments: Some(vec![1, 2]),
    };
    AttemptRecord {
        number: 1,
        fence: Fence { epoch: 1_790_000_000, counter: number },
        outcome: Some(if number.is_multiple_of(2) { Outcome::Errored } else { Outcome::Succeeded }),
        worker: "host:1/2".into(),
        started_at: created_ms + 1,
        finished_at: number.is_multiple_of(3).then_some(created_ms + 2),
        error: number.is_multiple_of(2).then_some(error),
        output: b"printed".to_vec(),
        waited_ms: (!number.is_multiple_of(4)).then_some(number),
        measures: Measures {
            ran_us: (!number.is_multiple_of(3)).then_some(number * 1_000),
            peak_growth_bytes: (!number.is_multiple_of(5)).then_some(u64::MAX - number),
            cache_hits: Some(number % 2),
            ..Measures::default()
        },
    }
}

fn block(numbers: impl IntoIterator<Item = u64>) -> Block {
    let jobs: Vec<_> = numbers.into_iter().map(job).collect();
    Block { lsn: 10 * jobs.last().map_or(0, |job| job.finish_number), jobs }
}

/// Every job the archive gives for a filter, newest first, by pages of `limit`.
fn all(archive: &impl Archive, filter: &Filter, limit: usize) -> Vec<ListedJob> {
    let mut jobs = Vec::new();
    let mut before = None;
    loop {
        let request = PageRequest { filter: filter.clone(), before, limit, budget: Duration::MAX };
        let page = archive.page(&request).unwrap();
        assert!(page.jobs.len() <= limit);
        jobs.extend(page.jobs);
        before = page.cursor;
        if before.is_none() {
            return jobs;
        }
    }
}

fn numbers(jobs: &[ListedJob]) -> Vec<u64> {
    jobs.iter().map(|job| job.finish_number).collect()
}

fn an_empty_archive_has_nothing<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    assert_eq!(archive.head(), ArchiveHead::default());
    assert_eq!((archive.counts(), archive.oldest_ms()), (ArchiveCounts::default(), None));
    assert_eq!(all(&archive, &Filter::default(), 10), []);
    assert_eq!(archive.get(job(1).record.id).unwrap(), None);
    assert_eq!(archive.drop_before(u64::MAX).unwrap().blocks, 0);
}

fn jobs_come_back_whole<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    archive.put(&block(1..=1)).unwrap();
    archive.put(&block(2..=1_001)).unwrap();
    let mut big = block([1_002]);
    big.jobs[0].result = Bytes::from(super::journal::body(1, 2 << 20));
    archive.put(&big).unwrap();
    let counts = archive.counts();
    for archive in [archive, open()] {
        assert_eq!(archive.head(), ArchiveHead { last_finish_number: 1_002, lsn: 10_020 });
        for number in [1, 2, 3, 500, 1_001] {
            assert_eq!(archive.get(job(number).record.id).unwrap(), Some(job(number)));
        }
        assert_eq!(archive.get(big.jobs[0].record.id).unwrap().as_ref(), Some(&big.jobs[0]));
        assert_eq!(archive.get(job(1_003).record.id).unwrap(), None);
        assert_eq!(archive.counts(), counts);
        assert_eq!((counts.completed, counts.cancelled, counts.discarded, counts.blocks), (501, 251, 250, 3));
    }
}

fn pages_go_on_where_the_last_one_ended<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    for first in [1, 41, 81] {
        archive.put(&block(first..first + 40)).unwrap();
    }
    let expected: Vec<_> = (1..=120).rev().collect();
    for limit in [1, 7, 40, 120, 1_000] {
        assert_eq!(numbers(&all(&archive, &Filter::default(), limit)), expected, "limit {limit}");
    }
    let newest = all(&archive, &Filter::default(), 3).remove(0);
    assert_eq!(newest, ListedJob { finish_number: 120, record: job(120).record });
}

fn a_page_without_time_still_gets_on<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    (1..=5).for_each(|number| archive.put(&block([number])).unwrap());
    let filter = Filter { queue: Some("nobody's".into()), ..Filter::default() };
    let mut request = PageRequest { filter, budget: Duration::ZERO, ..PageRequest::default() };
    let mut cursors = Vec::new();
    loop {
        let page = archive.page(&request).unwrap();
        assert_eq!(page.jobs, []);
        cursors.extend(page.cursor);
        request.before = page.cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(cursors, [5, 4, 3, 2]);
}

fn blocks_that_do_not_follow_are_refused<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    archive.put(&block(5..=9)).unwrap();
    for wrong in [block(9..=12), block([12, 11]), block([12, 12]), block(1..=2)] {
        assert!(matches!(archive.put(&wrong), Err(Error::BlockOrder { head: 9, .. })));
    }
    assert!(matches!(archive.put(&Block::default()), Err(Error::TooLarge { .. })));
    assert!(matches!(archive.put(&block(10..=1_010)), Err(Error::TooLarge { .. })));
    let mut unfinished = block([10]);
    unfinished.jobs[0].record.state = JobState::Running;
    assert!(matches!(archive.put(&unfinished), Err(Error::NotFinished { .. })));
    assert_eq!(archive.head().last_finish_number, 9);
    archive.put(&block([10])).unwrap();
}

/// A block of each of the first three days.
fn three_days(archive: &impl Archive) {
    for numbers in [1..50, 50..100, 100..149] {
        archive.put(&block(numbers)).unwrap();
    }
}

fn old_days_are_dropped<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    three_days(&archive);
    assert_eq!(archive.drop_before(MIDNIGHT_MS + DAY_MS - 1).unwrap().blocks, 0);
    let dropped = archive.drop_before(MIDNIGHT_MS + DAY_MS).unwrap();
    assert_eq!((dropped.blocks, dropped.jobs), (1, 49));
    for archive in [archive, open()] {
        assert_eq!(numbers(&all(&archive, &Filter::default(), 50)), (50..149).rev().collect::<Vec<_>>());
        assert_eq!(archive.get(job(49).record.id).unwrap(), None);
        assert_eq!((archive.counts().blocks, archive.oldest_ms()), (2, job(50).record.finalized_at));
    }
}

fn days_are_dropped_until_the_rest_is_small_enough<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    three_days(&archive);
    let bytes = archive.counts().bytes;
    assert_eq!(archive.drop_oldest_until(bytes).unwrap().blocks, 0);
    assert_eq!(archive.drop_oldest_until(bytes - 1).unwrap().blocks, 1);
    assert_eq!(archive.drop_oldest_until(0).unwrap().blocks, 1, "the newest stays");
    for archive in [archive, open()] {
        assert_eq!(numbers(&all(&archive, &Filter::default(), 50)), (100..149).rev().collect::<Vec<_>>());
    }
}

fn blocks_beyond_the_journal_are_dropped<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    for first in [1, 21, 41, 61] {
        archive.put(&block(first..first + 20)).unwrap();
    }
    assert_eq!(archive.drop_beyond(800).unwrap().blocks, 0);
    let dropped = archive.drop_beyond(799).unwrap();
    assert_eq!((dropped.blocks, dropped.jobs), (1, 20));
    assert_eq!(archive.head(), ArchiveHead { last_finish_number: 60, lsn: 600 });
    archive.put(&block(61..63)).unwrap();
    archive.drop_beyond(400).unwrap();
    archive.put(&block(41..43)).unwrap();
    for archive in [archive, open()] {
        assert_eq!(numbers(&all(&archive, &Filter::default(), 50)), (1..43).rev().collect::<Vec<_>>());
        assert_eq!(archive.get(job(60).record.id).unwrap(), None);
    }
}

/// What a search learns of a block is not held against the one that comes in its place.
fn a_block_in_the_place_of_another_one_is_searched<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    archive.put(&block(1..21)).unwrap();
    archive.put(&block(21..41)).unwrap();
    assert_eq!(archive.get(job(21).record.id).unwrap(), Some(job(21)));
    archive.drop_beyond(200).unwrap();
    let mut jobs: Vec<_> = (21..41).map(job).collect();
    for job in &mut jobs {
        job.record.id = JobId::direct(job.record.created_at, 3, job.finish_number as u32, 6);
    }
    archive.put(&Block { lsn: 500, jobs: jobs.clone() }).unwrap();
    for ours in jobs {
        assert_eq!(archive.get(job(ours.finish_number).record.id).unwrap(), None);
        assert_eq!(archive.get(ours.record.id).unwrap(), Some(ours));
    }
}

fn the_newest_job_of_an_id_is_found<A: Archive>(mut open: impl FnMut() -> A) {
    let archive = open();
    let mut again = job(2);
    again.record.id = job(1).record.id;
    archive.put(&block([1])).unwrap();
    archive.put(&Block { lsn: 20, jobs: vec![again.clone()] }).unwrap();
    assert_eq!(archive.get(again.record.id).unwrap(), Some(again));
}

fn filters_find_what_a_naive_search_finds<A: Archive, Open: FnMut() -> A>(new_home: &impl Fn() -> Open) {
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let mut open = new_home();
    let archive = open();
    let jobs: Vec<_> = (1..=300).map(job).collect();
    for first in (1..=300).step_by(30) {
        archive.put(&block(first..first + 30)).unwrap();
    }
    let result = TestRunner::new(config).run(&(any_filter(), 1..40usize), |(filter, limit)| {
        let expected: Vec<_> = jobs
            .iter()
            .rev()
            .filter(|job| filter.matches(&job.record))
            .map(|job| job.finish_number)
            .collect();
        prop_assert_eq!(numbers(&all(&archive, &filter, limit)), expected);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let name = |names: &'static [&'static str]| proptest::option::of(proptest::sample::select(names));
    let states = proptest::sample::subsequence(JobState::ALL.to_vec(), 0..=3);
    let tags = proptest::sample::subsequence(vec!["red", "green", "blue", "none"], 0..=2);
    let time = || proptest::option::of((MIDNIGHT_MS - 10_000)..(MIDNIGHT_MS + 7 * DAY_MS));
    let names = (
        name(&["mail", "default", "other"]),
        name(&["shop.task0", "shop.task4 v2", "shop.task4 v1", "shop.task9"]),
    );
    (states, names, tags, [time(), time(), time(), time()]).prop_map(
        |(states, (queue, task), tags, times)| Filter {
            states,
            queue: queue.map(str::to_owned),
            task: task.map(str::to_owned),
            tags: tags.into_iter().map(str::to_owned).collect(),
            created_from_ms: times[0],
            created_before_ms: times[1],
            finished_from_ms: times[2],
            finished_before_ms: times[3],
        },
    )
}
