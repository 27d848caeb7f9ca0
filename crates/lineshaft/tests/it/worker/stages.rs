//! Attempts that must stop: asked, terminated, killed, and reported only when nothing of them is left.

use std::time::{Duration, Instant};

use lineshaft::worker::Options;
use lineshaft_wire::message::Rules;
use lineshaft_wire::{JobState, Outcome};
use rustix::process::Signal;

use super::support::{
    PATIENCE, Worker, World, gated, is_alive, open_gate, outcomes, signal, until, wait_for_words, words,
};

fn short_grace(world: &World) -> Worker {
    Worker::start(Options { grace: Duration::from_millis(300), ..world.options() })
}

fn long_grace(world: &World) -> Worker {
    Worker::start(Options { grace: PATIENCE, ..world.options() })
}

#[test]
fn a_cancelled_body_that_listens_to_nothing_is_dead_with_all_it_started_when_reported_so() {
    let world = World::new();
    let worker = short_grace(&world);
    let file = world.file("pids");
    let [job] = world.enqueue("fork", &[file.to_str().unwrap()])[..] else { panic!() };
    let pids = words(&file);
    assert!(pids.len() == 2 && pids.iter().all(|&pid| is_alive(pid)), "{pids:?}");
    let changed = world.client.cancel(job, None).wait().unwrap();
    assert!(changed.cancelling);
    let record = world.ended(job);
    assert!(pids.iter().all(|&pid| !is_alive(pid)), "{pids:?}");
    assert_eq!(record.state, JobState::Cancelled);
    assert_eq!(outcomes(&record), [Some(Outcome::Cancelled)]);
    assert_ne!(worker.pid(), pids[0]);
}

#[test]
fn a_body_that_stops_when_asked_keeps_its_process_but_not_what_it_started() {
    let world = World::new();
    let worker = long_grace(&world);
    let [job] = world.enqueue("polite", &[""])[..] else { panic!() };
    world.until_state(job, JobState::Running);
    let pid = worker.pid();
    until("its process is there", || (lineshaft_ipc::group::members(pid).unwrap().len() == 2).then_some(()));
    let start = Instant::now();
    world.client.cancel(job, None).wait().unwrap();
    let record = world.ended(job);
    assert!(start.elapsed() < PATIENCE / 2, "the grace was not needed: {:?}", start.elapsed());
    assert_eq!(lineshaft_ipc::group::members(pid).unwrap(), [pid]);
    assert_eq!((record.state, outcomes(&record)), (JobState::Cancelled, vec![Some(Outcome::Cancelled)]));
    assert_eq!(worker.pid(), pid);
}

#[test]
fn a_body_that_runs_too_long_is_stopped_and_says_so() {
    let world = World::new();
    let _worker = short_grace(&world);
    let rules = Rules { timeout_ms: Some(400), ..Rules::default() };
    let [spin] = world.enqueue_with("spin", &[""], rules)[..] else { panic!() };
    let record = world.ended(spin);
    assert_eq!((record.state, outcomes(&record)), (JobState::Discarded, vec![Some(Outcome::TimedOut)]));
    let attempt = &record.attempts[0];
    let took = attempt.finished_at.unwrap() - attempt.started_at;
    assert!((400..30_000).contains(&took), "{took} ms");
    let message = &attempt.error.as_ref().unwrap().message;
    assert!(message.starts_with("ran longer than its timeout of 0.4 s; the process was killed"), "{message}");
}

#[test]
fn a_body_that_runs_too_long_and_stops_when_asked_has_its_own_words() {
    let world = World::new();
    let _worker = long_grace(&world);
    let rules = Rules { timeout_ms: Some(400), ..Rules::default() };
    let [polite] = world.enqueue_with("polite", &[""], rules)[..] else { panic!() };
    let record = world.ended(polite);
    assert_eq!(outcomes(&record), [Some(Outcome::TimedOut)]);
    assert_eq!(record.attempts[0].error.as_ref().unwrap().message, "asked to stop");
}

#[test]
fn a_job_that_is_cancelled_before_it_begins_never_runs() {
    let world = World::new();
    let _worker = world.worker();
    let file = world.file("ledger");
    let warm: Vec<_> = world.enqueue("echo", &["x"; 200]);
    world.ends(&warm);
    let first = world.file("first");
    let [long] = world.enqueue("note", &[&gated(&first)])[..] else { panic!() };
    let call = format!("{} 0", file.display());
    let notes = world.enqueue("note", &[call.as_str(); 20]);
    for note in &notes {
        world.client.cancel(*note, None).wait().unwrap();
    }
    world.ends(&notes);
    let states: Vec<_> = notes.iter().map(|note| world.record(*note).state).collect();
    assert_eq!(states, [JobState::Cancelled; 20]);
    open_gate(&first);
    world.ended(long);
    assert!(!file.exists());
}

#[test]
fn what_waits_behind_a_long_attempt_is_handed_back() {
    let world = World::new();
    let _worker = world.worker();
    let warm = world.enqueue("echo", &["x"; 500]);
    world.ends(&warm);
    let file = world.file("ledger");
    let [long] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    let jobs = world.enqueue("echo", &["y"; 50]);
    until("all others are back", || (world.counts() == (1, 50)).then_some(()));
    open_gate(&file);
    world.ended(long);
    world.ends(&jobs);
}

#[test]
fn a_child_that_gets_sigterm_alone_finishes_and_is_replaced() {
    let world = World::new();
    let worker = world.worker();
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    wait_for_words(&file);
    let pid = worker.pid();
    signal(pid, Signal::TERM);
    open_gate(&file);
    let record = world.ended(job);
    assert_eq!((record.state, outcomes(&record)), (JobState::Completed, vec![Some(Outcome::Succeeded)]));
    until("another child is there", || worker.handle.pids().iter().any(|&other| other != pid).then_some(()));
}
