//! Workers that stop.

use std::time::{Duration, Instant};

use lineshaft::worker::Options;
use lineshaft_wire::JobState;
use rustix::process::Signal;

use super::programs::start;
use super::support::{Worker, World, is_alive, outcomes, signal, until, words};

#[test]
fn a_stopped_worker_finishes_what_runs_and_hands_back_the_rest() {
    let world = World::new();
    let mut worker = world.worker();
    let [long] = world.enqueue("sleep", &["1000"])[..] else { panic!() };
    world.until_state(long, JobState::Running);
    let rest = world.enqueue("echo", &["x"; 10]);
    worker.handle.stop();
    worker.joined().unwrap();
    assert_eq!(world.record(long).state, JobState::Completed);
    for job in rest {
        let record = world.record(job);
        assert_eq!((record.state, record.attempts.len()), (JobState::Available, 0));
    }
    assert!(worker.handle.pids().is_empty());
}

#[test]
fn a_body_that_outlives_the_grace_is_killed_and_held_against_nobody() {
    let world = World::new();
    let mut worker = Worker::start(Options { grace: Duration::from_millis(800), ..world.options() });
    let file = world.file("pids");
    let [job] = world.enqueue("fork", &[file.to_str().unwrap()])[..] else { panic!() };
    let pids = words(&file);
    let start = Instant::now();
    worker.handle.stop();
    worker.joined().unwrap();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(pids.iter().all(|&pid| !is_alive(pid)), "{pids:?}");
    let record = world.until_state(job, JobState::Available);
    assert_eq!((record.crashes, record.attempt), (0, 0), "{record:?}");
}

#[test]
fn an_idle_worker_stops_at_once() {
    let world = World::new();
    let mut worker = Worker::start(Options { processes: 3, ..world.options() });
    let job = world.enqueue("echo", &["x"]);
    world.ends(&job);
    let start = Instant::now();
    worker.handle.stop();
    worker.joined().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_worker_program_drains_on_sigterm_and_exits_with_0() {
    let world = World::new();
    let mut program = start("worker", &world.home());
    let [job] = world.enqueue("sleep", &["600"])[..] else { panic!() };
    world.until_state(job, JobState::Running);
    signal(program.id(), Signal::TERM);
    let status = program.wait().unwrap();
    assert!(status.success(), "{status:?}");
    let record = world.record(job);
    assert_eq!((record.state, outcomes(&record).len()), (JobState::Completed, 1));
}

#[test]
fn children_end_with_their_supervisor() {
    let world = World::new();
    let mut program = start("worker", &world.home());
    let file = world.file("pids");
    world.enqueue("fork", &[file.to_str().unwrap()]);
    let pids = words(&file);
    program.kill().unwrap();
    program.wait().unwrap();
    let start = Instant::now();
    until("child and grandchild are gone", || (!pids.iter().any(|&pid| is_alive(pid))).then_some(()));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}
