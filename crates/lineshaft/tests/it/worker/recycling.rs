//! Children that are replaced because they are worn, or make no progress.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lineshaft::worker::{Kind, Options, Recycle};
use lineshaft_ipc::process::rss_peak_bytes;
use lineshaft_wire::{JobState, Outcome};
use rustix::process::Signal;

use super::support::{Worker, World, outcomes, signal, until};

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
    let jobs = world.enqueue("note", &[call.as_str(); 400]);
    let mut least = u32::MAX;
    let is_over = || world.counts() == (0, 0);
    until("all jobs end", || {
        let report = world.client.status(None).wait().unwrap();
        // Before the first child is attached there is none.
        let children = report.workers.first().map_or(0, |worker| worker.children);
        if file.exists() {
            least = least.min(children);
        }
        is_over().then_some(())
    });
    assert!(least >= 1, "there was a time without a child");
    world.ends(&jobs);
    for job in &jobs {
        let record = world.record(*job);
        assert_eq!(outcomes(&record), [Some(Outcome::Succeeded)], "{record:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 400);
    let processes = processes(&file);
    assert!(processes.contains(&first) && processes.len() >= 2, "{processes:?}");
}

#[test]
fn an_old_child_goes_when_another_one_is_attached_and_what_runs_ends() {
    let world = World::new();
    let age = Some(Duration::from_millis(500));
    let worker = recycled(&world, Recycle { age, ..Recycle::default() });
    let old = worker.pid();
    let [long] = world.enqueue("sleep", &["3000"])[..] else { panic!() };
    world.until_state(long, JobState::Running);
    // The long one goes on in the old child, others run in the new one meanwhile.
    let file = world.file("ledger");
    let [other] = world.enqueue("note", &[&format!("{} 0", file.display())])[..] else { panic!() };
    world.ended(other);
    assert!(!processes(&file).contains(&old));
    assert_eq!(world.record(long).state, JobState::Running);
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
    signal(old, Signal::STOP);
    until("it is gone", || (!worker.handle.pids().contains(&old)).then_some(()));
    let [job] = world.enqueue("echo", &["x"])[..] else { panic!() };
    assert_eq!(world.ended(job).state, JobState::Completed);
}

/// Nothing to do is no reason to be replaced.
#[test]
fn idle_children_stay() {
    let world = World::new();
    let worker = watched(&world, Kind::Thread, 3);
    let pid = worker.pid();
    for _ in 0..4 {
        let jobs = world.enqueue("echo", &["x"; 5]);
        world.ends(&jobs);
        std::thread::sleep(Duration::from_millis(600));
    }
    assert_eq!(worker.handle.pids(), [pid]);
}
