//! Servers that go away, and children that stand still.

use std::time::{Duration, Instant};

use lineshaft::Target;
use lineshaft::worker::{Error, Options};
use lineshaft_wire::{JobState, Outcome};
use rustix::process::Signal;

use super::support::{
    PATIENCE, Worker, World, child_command, gated, is_alive, open_gate, outcomes, runs, signal, stop, until,
    wait_for_words, words,
};

#[test]
fn a_healthy_attempt_survives_a_server_restart_without_a_second_run() {
    let mut world = World::new();
    let worker = world.worker();
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&format!("{} 2500", file.display())])[..] else { panic!() };
    wait_for_words(&file);
    world.kill_server();
    std::thread::sleep(Duration::from_millis(300));
    world.start_server();
    let record = world.ended(job);
    assert_eq!((record.state, outcomes(&record)), (JobState::Completed, vec![Some(Outcome::Succeeded)]));
    assert_eq!(words(&file), [worker.pid()]);
}

#[test]
fn a_worker_without_a_server_says_so_after_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new(Target::home(directory.path()), child_command());
    let mut worker = Worker::start(Options { tee: false, ..options });
    let start = Instant::now();
    let error = worker.joined().unwrap_err();
    assert!(matches!(error, Error::Server(lineshaft::Error::NoServer { .. })), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(worker.handle.pids().is_empty());
}

/// It waited for ever, with a whole core at work.
#[test]
fn a_worker_whose_server_accepts_and_says_nothing_says_so_after_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let options = Options::new(Target::Socket(socket), child_command());
    let mut worker = Worker::start(Options { tee: false, processes: 1, ..options });
    let start = Instant::now();
    let error = worker.joined().unwrap_err();
    assert!(matches!(error, Error::Server(lineshaft::Error::Timeout { .. })), "{error}");
    assert!((4..PATIENCE.as_secs()).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    drop(listener);
}

#[test]
fn ends_during_an_outage_are_delivered_after_it() {
    let mut world = World::new();
    let _worker = world.worker();
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    wait_for_words(&file);
    world.kill_server();
    open_gate(&file);
    std::thread::sleep(Duration::from_millis(1_500));
    world.start_server();
    let record = world.ended(job);
    assert_eq!((record.state, record.attempts.len()), (JobState::Completed, 1));
    assert_eq!(words(&file).len(), 1);
}

#[test]
fn a_child_that_dies_during_an_outage_is_reported_after_it() {
    let mut world = World::new();
    let worker = world.worker();
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    wait_for_words(&file);
    world.kill_server();
    signal(worker.pid(), Signal::KILL);
    std::thread::sleep(Duration::from_millis(500));
    open_gate(&file);
    world.start_server();
    let record = world.ended(job);
    assert_eq!(outcomes(&record), [Some(Outcome::Crashed), Some(Outcome::Succeeded)]);
}

/// The child has to be dead before another worker may get the job.
#[test]
fn a_child_that_stands_still_is_killed_before_its_lease_ends() {
    let world = World::new();
    let _workers = [world.worker(), world.worker()];
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    wait_for_words(&file);
    let [pid] = words(&file)[..] else { panic!() };
    stop(pid);
    until("the child is dead", || {
        let runs = runs(&file);
        let is_dead = !is_alive(pid);
        assert!(is_dead || runs == 1, "it runs elsewhere, and here");
        is_dead.then_some(())
    });
    open_gate(&file);
    let record = world.ended(job);
    // Three such outages must not discard the job: nothing of this counts as a crash.
    assert_eq!(outcomes(&record), [Some(Outcome::Lost), Some(Outcome::Succeeded)]);
    assert_eq!(record.state, JobState::Completed);
    assert_eq!(words(&file).len(), 2);
}

#[test]
fn an_attempt_whose_lease_cannot_be_renewed_is_dead_before_the_lease_ends() {
    let mut world = World::new();
    let _worker = world.worker();
    let file = world.file("pids");
    world.enqueue("fork", &[file.to_str().unwrap()]);
    let pids = words(&file);
    let start = Instant::now();
    world.kill_server();
    until("child and grandchild are gone", || (!pids.iter().any(|&pid| is_alive(pid))).then_some(()));
    // Twelve seconds after the last renewal, which is at most three old; a busy machine may take its time.
    assert!((5..25).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}
