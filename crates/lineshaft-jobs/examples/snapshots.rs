//! What snapshots of many queued jobs cost: `cargo run --release -p lineshaft-jobs --example snapshots -- 1000000 [tagged]`.
//!
//! Prints how long the engine's thread stands still for one, what the first change of each lent page costs it, how much
//! is written while the queue drains, and how long a load takes. With `tagged` each job has a box of rarer things.

#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft_jobs::change::{Name, NewJobs, Request, RulesRef, Success};
use lineshaft_jobs::{
    Change, ChangedPage, Limits, LoadedPage, Notes, Snapshot, SnapshotDraft, State, Stored,
};
use lineshaft_wire::message::ProcessKey;

const BATCH: u64 = 1_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let jobs = arguments.next().map_or(1_000_000, |count| count.parse().expect("a number of jobs"));
    let is_tagged = arguments.next().is_some();
    let mut state = queued(jobs, is_tagged);

    let (draft, stall) = timed(|| state.begin_snapshot());
    println!("begin: {stall:?} for {} pages, {} B of tables", draft.changed.len(), draft.tables.len());
    let lent = touch_every_page(&mut state, jobs);
    let (pages, elsewhere) = timed(|| encode(draft));
    state.end_snapshot(true);
    let own = touch_every_page(&mut state, jobs);
    println!("first change of a page: {lent:?} while it is lent, {own:?} when it is not");
    let bytes: usize = pages.iter().map(|(_, bytes)| bytes.len()).sum();
    println!("encode, elsewhere: {elsewhere:?} for {bytes} B, {:.1} B a job", bytes as f64 / jobs as f64);

    drop(pages);
    encode(state.begin_snapshot());
    state.end_snapshot(true);
    drain(&mut state, jobs / 10, "a tenth of the queue");

    let Snapshot { tables, pages } = state.snapshot();
    drop(state);
    let read = |(number, bytes): &(u64, Vec<u8>)| LoadedPage::read(*number, bytes).expect("it reads");
    let (pages, decode) = timed(|| pages.iter().map(read).collect());
    let (state, build) = timed(|| State::from_pages(&tables, pages, Limits::default()));
    println!(
        "load: {decode:?} to read pages, {build:?} to build indexes of {} jobs",
        state.map_or(0, |it| it.jobs())
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}

fn encode(draft: SnapshotDraft) -> Vec<(u64, Vec<u8>)> {
    draft.changed.into_iter().map(ChangedPage::encode).collect()
}

fn queued(jobs: u64, is_tagged: bool) -> State {
    let mut state = State::new(0, Limits::default());
    state.apply(&Change::SessionOpened, 1, 0);
    let before = resident_bytes();
    let began = Instant::now();
    for number in 1..=jobs / BATCH {
        state.apply(&Change::Clock { wall_ms: 1_790_000_000_000 + number, logical_ms: number }, number, 0);
        let request = Request { session: 1, number, lowest: number };
        let groups = vec![group(is_tagged)];
        state.apply(&Change::Enqueued { request, groups, existing: Vec::new() }, number, 40);
    }
    let per_job = (resident_bytes() - before) as f64 / jobs as f64;
    println!("{jobs} queued in {:?}, {per_job:.1} B of memory each", began.elapsed());
    state
}

fn group(is_tagged: bool) -> NewJobs {
    NewJobs {
        task: Name::Text("shop.send".into()),
        queue: Name::Text("default".into()),
        rules: RulesRef::New(Arc::default()),
        priority: 5,
        run_at: None,
        expires_ms: None,
        deadline_ms: None,
        unique: None,
        idempotency_key: None,
        tags: if is_tagged { vec![Name::Text("red".into())] } else { Vec::new() },
        notes: Notes::None,
        retry_of: None,
        arguments: vec![Stored::Inline(20); BATCH as usize],
    }
}

/// Leaves a checkpoint with one job of each page, as any change does; the mean time that one took.
fn touch_every_page(state: &mut State, jobs: u64) -> Duration {
    let touch = |slot: u64| {
        let change = Change::Checkpointed { slot: slot as u32, value: Stored::NONE };
        timed(|| state.apply(&change, 1, 0)).1
    };
    let times: Vec<Duration> = (0..jobs).step_by(8_192).map(touch).collect();
    times.iter().sum::<Duration>() / times.len() as u32
}

/// Leases, ends and archives jobs from the front of the queue, then takes a snapshot.
fn drain(state: &mut State, jobs: u64, what: &str) {
    let process = ProcessKey::default();
    state.apply(
        &Change::ChildAttached { child: 1, worker: 1, name: "a:1/1".into(), number: 1, process },
        1,
        0,
    );
    for first in (0..jobs as u32).step_by(BATCH as usize) {
        let slots: Vec<u32> = (first..first + BATCH as u32).collect();
        let end = |slot: &u32| Success {
            slot: *slot,
            started_ms: 1,
            took_ms: 1,
            result: Stored::NONE,
            output: Stored::NONE,
        };
        let ends = slots.iter().map(end).collect();
        state.apply(&Change::Leased { child: 1, slots }, 2, 0);
        state.apply(&Change::Succeeded { ends }, 2, 0);
        state.apply(&Change::Archived { count: BATCH as u32 }, 2, 0);
        state.take_events();
    }
    let (draft, stall) = timed(|| state.begin_snapshot());
    let changed = draft.changed.len();
    let bytes: usize = encode(draft).iter().map(|(_, bytes)| bytes.len()).sum();
    state.end_snapshot(true);
    println!("after {what} was done: begin {stall:?}, {changed} pages, {bytes} B");
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}
