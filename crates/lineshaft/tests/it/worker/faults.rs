//! What becomes of an attempt whose child, worker or connection fails at a certain moment.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft_wire::{JobRecord, JobState, Outcome};
use rustix::process::Signal;

use super::programs::start;
use super::support::{
    LEASE, World, gated, is_alive, open_gate, outcomes, runs, signal, stop, until, wait_for_words, words,
};

/// The record of a job whose child is killed in `phase` of its first attempt, and how often its body ran.
fn killed_in(phase: &str) -> (JobRecord, usize) {
    let world = World::new();
    let _worker = world.worker();
    let file = world.file("ledger");
    let [job] = world.enqueue("die", &[&format!("{phase} {}", file.display())])[..] else { panic!() };
    let record = world.ended(job);
    assert_eq!(record.state, JobState::Completed, "{record:?}");
    assert!(world.file("ledger.died").exists(), "it was not killed");
    (record, runs(&file))
}

#[test]
fn killed_before_its_body_begins_an_attempt_never_was() {
    let (record, runs) = killed_in("before");
    assert_eq!((outcomes(&record), record.crashes, runs), (vec![Some(Outcome::Succeeded)], 0, 1));
}

#[test]
fn killed_in_its_body_an_attempt_has_crashed() {
    let (record, runs) = killed_in("body");
    assert_eq!(outcomes(&record), [Some(Outcome::Crashed), Some(Outcome::Succeeded)]);
    assert_eq!((record.crashes, runs), (1, 2));
}

/// The body was over, but nobody can know that: it runs again.
#[test]
fn killed_between_its_body_and_its_end_an_attempt_has_crashed() {
    let (record, runs) = killed_in("after");
    assert_eq!(outcomes(&record), [Some(Outcome::Crashed), Some(Outcome::Succeeded)]);
    assert_eq!((record.crashes, runs), (1, 2));
}

/// Whether the end had left is a matter of microseconds. If it had, it counts; if not, the attempt is lost, which is held
/// against nobody. It never has both ends, and never none.
#[test]
fn killed_while_its_end_is_on_the_way_an_attempt_has_one_end() {
    for _ in 0..5 {
        let (record, runs) = killed_in("during");
        let (last, before) = record.attempts.split_last().unwrap();
        assert_eq!((last.outcome, record.crashes), (Some(Outcome::Succeeded), 0), "{record:?}");
        assert!(before.iter().all(|attempt| attempt.outcome == Some(Outcome::Lost)), "{record:?}");
        assert_eq!(record.attempts.len(), runs);
    }
}

/// An end that a stopped server has not read yet is an end, though the child that sent it is dead.
#[test]
fn an_end_that_has_left_counts_although_its_child_was_killed_then() {
    let world = World::new();
    let worker = world.worker();
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    wait_for_words(&file);
    stop(world.server_pid());
    open_gate(&file);
    // Nobody can see the end leave: it has many times as long as it needs.
    sleep(Duration::from_secs(5));
    signal(worker.pid(), Signal::KILL);
    signal(world.server_pid(), Signal::CONT);
    let record = world.ended(job);
    assert_eq!((outcomes(&record), runs(&file)), (vec![Some(Outcome::Succeeded)], 1));
}

#[test]
fn the_work_of_a_killed_supervisor_runs_elsewhere() {
    let world = World::new();
    let mut program = start("worker", &world.home());
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&format!("{} 2000", file.display())])[..] else { panic!() };
    wait_for_words(&file);
    let [child] = words(&file)[..] else { panic!() };
    let killed = Instant::now();
    program.kill().unwrap();
    program.wait().unwrap();
    until("its child is gone", || (!is_alive(child)).then_some(()));
    assert!(killed.elapsed() < LEASE, "{:?}", killed.elapsed());
    let _worker = world.worker();
    let record = world.ended(job);
    assert_eq!(outcomes(&record), [Some(Outcome::Lost), Some(Outcome::Succeeded)]);
    assert_eq!((record.crashes, runs(&file)), (0, 2));
}

/// All of a worker stands still for longer than its lease: the job runs elsewhere, and what the first one makes of it when
/// it goes on changes nothing any more.
#[test]
fn an_attempt_that_ends_after_its_lease_is_refused() {
    let world = World::new();
    let mut program = start("worker", &world.home());
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    wait_for_words(&file);
    let [child] = words(&file)[..] else { panic!() };
    stop(program.id());
    stop(child);
    open_gate(&file);
    let _worker = world.worker();
    let record = world.ended(job);
    assert_eq!(outcomes(&record), [Some(Outcome::Lost), Some(Outcome::Succeeded)]);
    let shown = &record.attempts[0].error.as_ref().unwrap().message;
    assert!(shown.contains("lease"), "{shown}");
    signal(child, Signal::CONT);
    sleep(Duration::from_secs(1));
    signal(program.id(), Signal::CONT);
    sleep(Duration::from_secs(1));
    assert_eq!(world.record(job), record, "a late end changed it");
    assert_eq!(runs(&file), 2);
    program.kill().unwrap();
    program.wait().unwrap();
}
