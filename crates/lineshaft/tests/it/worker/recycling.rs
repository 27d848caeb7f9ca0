//! Children that are replaced because they are worn, or make no progress.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lineshaft::worker::{Kind, Options, Recycle};
use lineshaft_ipc::process::rss_peak_bytes;
use lineshaft_ipc::rss::Rss;
use lineshaft_wire::{JobState, Outcome};

use super::support::{Worker, World, gated, open_gate, outcomes, runs, stop, until, wait_for_words};

fn recycled(world: &World, recycle: Recycle) -> Worker {
    Worker::start(Options { recycle, ..world.options() })
}

/// The processes in which jobs ran, in the order in which they did.
fn processes(file: &Path) -> BTreeSet<u32> {
    std::fs::read_to_string(file).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn children_are_replaced_after_their_jobs_and_no_job_notices() {
    let world = World::new();
    let worker = recycled(&world, Recycle { jobs: Some(10), ..Recycle::default() });
    let file = world.file("ledger");
    let first = worker.pid();
    let call = format!("{} 5", file.display());
    let (mut jobs, mut least) = (Vec::new(), u32::MAX);
    // Until two have been replaced, however long others take to come up.
    until("others work", || {
        jobs.extend(world.enqueue("note", &[call.as_str(); 20]));
        while world.counts() != (0, 0) {
            // Before the first child is attached there is none.
            let had_one = file.exists();
            least = least.min(if had_one { world.children() } else { u32::MAX });
        }
        (processes(&file).len() >= 3).then_some(())
    });
    assert!(least >= 1, "there was a time without a child");
    world.ends(&jobs);
    for job in &jobs {
        let record = world.record(*job);
        assert_eq!(outcomes(&record), [Some(Outcome::Succeeded)], "{record:?}");
    }
    assert_eq!(runs(&file), jobs.len());
    assert!(processes(&file).contains(&first));
}

#[test]
fn an_old_child_goes_when_another_one_is_attached_and_what_runs_ends() {
    let world = World::new();
    let age = Some(Duration::from_millis(500));
    let worker = recycled(&world, Recycle { age, ..Recycle::default() });
    let old = worker.pid();
    let first = world.file("first");
    let [long] = world.enqueue("note", &[&gated(&first)])[..] else { panic!() };
    wait_for_words(&first);
    assert!(processes(&first).contains(&old));
    // The long one goes on in the old child, others run in the new one meanwhile.
    let file = world.file("ledger");
    let [other] = world.enqueue("note", &[&format!("{} 0", file.display())])[..] else { panic!() };
    world.ended(other);
    assert!(!processes(&file).contains(&old));
    assert_eq!(world.record(long).state, JobState::Running);
    open_gate(&first);
    assert_eq!(outcomes(&world.ended(long)), [Some(Outcome::Succeeded)]);
    until("the old child is gone", || (!worker.handle.pids().contains(&old)).then_some(()));
}

/// A MiB a job: no child ever has more than its bound and one job.
#[test]
fn a_leak_never_takes_a_child_above_its_bound_and_one_job() {
    const GROWTH: u64 = 40 << 20;
    const JOB: u64 = 1 << 20;
    let world = World::new();
    let worker = recycled(&world, Recycle { growth: Some(GROWTH), ..Recycle::default() });
    let base = until("the first child is ready", || {
        let report = world.client.status(None).wait().unwrap();
        (report.workers.first()?.children == 1).then(|| rss_peak_bytes(worker.pid()).unwrap().unwrap())
    });
    let jobs = world.enqueue("leak", &["1024"; 300]);
    let (mut peak, mut pids) = (0, BTreeSet::new());
    until("all jobs end", || {
        for pid in worker.handle.pids() {
            pids.insert(pid);
            peak = peak.max(rss_peak_bytes(pid).ok().flatten().unwrap_or(0));
        }
        (world.counts() == (0, 0)).then_some(())
    });
    world.ends(&jobs);
    // What the process needs for a job beside what the job takes: its first ones, and its end.
    let slack = 8 << 20;
    assert!(peak <= base + GROWTH + JOB + slack, "{} MiB over {} MiB", peak >> 20, base >> 20);
    assert!(pids.len() >= 300 / 40 - 1, "{} children for 300 MiB", pids.len());
    for job in jobs {
        assert_eq!(outcomes(&world.record(job)), [Some(Outcome::Succeeded)]);
    }
}

/// Whatever a child keeps of its jobs would show. Its allocator settles in a MiB or so; a leak of 100 bytes a job takes more
/// than four.
#[test]
fn a_child_is_as_large_after_fifty_thousand_jobs_as_after_five_thousand() {
    let world = World::new();
    let worker = world.worker();
    let pid = worker.pid();
    let rss = Rss::of(pid).unwrap();
    let calls = vec!["some words"; 5_000];
    let bytes_after = |batches: usize| {
        (0..batches).for_each(|_| _ = world.ends(&world.enqueue("echo", &calls)));
        rss.bytes().expect("it lives")
    };
    let (first, last) = (bytes_after(1), bytes_after(9));
    assert!(last < first + (4 << 20), "{} KiB after {} KiB", last >> 10, first >> 10);
    assert_eq!(worker.pid(), pid);
}

fn watched(world: &World, kind: Kind, slots: u32) -> Worker {
    let watchdog = Duration::from_secs(1);
    Worker::start(Options { kind, slots, watchdog, grace: Duration::from_millis(500), ..world.options() })
}

#[test]
fn a_child_whose_slot_takes_no_jobs_any_more_is_replaced() {
    let world = World::new();
    let worker = watched(&world, Kind::Process, 1);
    let old = worker.pid();
    let [stall] = world.enqueue("stall", &[""])[..] else { panic!() };
    world.ended(stall);
    let [job] = world.enqueue("echo", &["x"])[..] else { panic!() };
    let record = world.ended(job);
    assert_eq!((record.state, record.crashes), (JobState::Completed, 0), "{record:?}");
    until("the old child is gone", || (!worker.handle.pids().contains(&old)).then_some(()));
}

#[test]
fn an_idle_child_that_stands_still_is_replaced() {
    let world = World::new();
    let worker = watched(&world, Kind::Process, 1);
    let [first] = world.enqueue("echo", &["x"])[..] else { panic!() };
    world.ended(first);
    let old = worker.pid();
    stop(old);
    until("it is gone", || (!worker.handle.pids().contains(&old)).then_some(()));
    let [job] = world.enqueue("echo", &["x"])[..] else { panic!() };
    assert_eq!(world.ended(job).state, JobState::Completed);
}

/// Nothing to do is no reason to be replaced.
#[test]
fn idle_children_stay() {
    let world = World::new();
    let watchdog = Duration::from_secs(5);
    let worker = Worker::start(Options { kind: Kind::Thread, slots: 3, watchdog, ..world.options() });
    let pid = worker.pid();
    for pause in [watchdog + Duration::from_secs(1), Duration::ZERO] {
        let jobs = world.enqueue("echo", &["x"; 5]);
        world.ends(&jobs);
        std::thread::sleep(pause);
    }
    assert_eq!(worker.handle.pids(), [pid]);
}
