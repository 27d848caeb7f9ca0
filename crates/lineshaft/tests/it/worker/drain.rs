//! Workers that stop.

use std::time::{Duration, Instant};

use lineshaft::worker::{Kind, Options};
use lineshaft_wire::message::Rules;
use lineshaft_wire::{JobState, Outcome};
use rustix::process::Signal;

use super::programs::start;
use super::support::{
    PATIENCE, Worker, World, gated, is_alive, open_gate, outcomes, signal, stop, until, wait_for_runs,
    wait_for_words, words,
};

#[test]
fn a_stopped_worker_finishes_what_runs_and_hands_back_the_rest() {
    let world = World::new();
    let mut worker = Worker::start(Options { grace: PATIENCE, ..world.options() });
    let file = world.file("ledger");
    let [long] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    wait_for_words(&file);
    let rest = world.enqueue("echo", &["x"; 10]);
    worker.handle.stop();
    // Nobody can see that its child has heard of it.
    std::thread::sleep(Duration::from_secs(2));
    open_gate(&file);
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
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    assert!(pids.iter().all(|&pid| !is_alive(pid)), "{pids:?}");
    let record = world.until_state(job, JobState::Available);
    assert_eq!((record.crashes, record.attempt), (0, 0), "{record:?}");
    assert_eq!(outcomes(&record), [Some(Outcome::Released)]);
}

/// What a second Ctrl-C interrupted was recorded as cancelled, which nobody had asked for; what may run once only as
/// crashed, which nothing had.
#[test]
fn what_a_killed_worker_leaves_is_released_or_where_it_may_run_once_lost() {
    let world = World::new();
    let mut worker = Worker::start(Options { kind: Kind::Thread, slots: 2, ..world.options() });
    let file = world.file("ledger");
    let [again] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    let rules = Rules { at_most_once: true, ..Rules::default() };
    let [once] = world.enqueue_with("once", &[&gated(&file)], rules)[..] else { panic!() };
    wait_for_runs(&file, 2);
    worker.handle.stop();
    worker.handle.kill();
    worker.joined().unwrap();
    assert_eq!(outcomes(&world.until_state(again, JobState::Available)), [Some(Outcome::Released)]);
    let record = world.ended(once);
    assert_eq!((record.reason.as_deref(), outcomes(&record)), (Some("maybe_ran"), vec![Some(Outcome::Lost)]));
    let message = &record.attempts[0].error.as_ref().unwrap().message;
    assert!(
        message.starts_with("the worker stopped and its grace was over; the process was killed"),
        "{message}"
    );
}

/// The child was killed at the end of its grace though nothing ran in it any more: it waited for the server to confirm
/// its last end, and the job was lost.
#[test]
fn an_end_that_a_slow_server_has_not_confirmed_when_the_grace_is_over_is_not_lost() {
    let world = World::new();
    let mut worker = Worker::start(Options { grace: Duration::from_millis(1_500), ..world.options() });
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    wait_for_words(&file);
    stop(world.server_pid());
    worker.handle.stop();
    open_gate(&file);
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(!worker.handle.pids().is_empty(), "the child was killed with its last end");
    signal(world.server_pid(), Signal::CONT);
    worker.joined().unwrap();
    let record = world.ended(job);
    assert_eq!((record.state, outcomes(&record)), (JobState::Completed, vec![Some(Outcome::Succeeded)]));
}

#[test]
fn an_idle_worker_stops_at_once() {
    let world = World::new();
    let mut worker = Worker::start(Options { processes: 3, grace: PATIENCE, ..world.options() });
    let job = world.enqueue("echo", &["x"]);
    world.ends(&job);
    let start = Instant::now();
    worker.handle.stop();
    worker.joined().unwrap();
    assert!(start.elapsed() < PATIENCE / 2, "it waited for its grace: {:?}", start.elapsed());
}

#[test]
fn a_worker_program_drains_on_sigterm_and_exits_with_0() {
    let world = World::new();
    let mut program = start("worker", &world.home());
    let file = world.file("ledger");
    let [job] = world.enqueue("note", &[&gated(&file)])[..] else { panic!() };
    // Leased is not begun: what has not begun is handed back.
    wait_for_words(&file);
    signal(program.id(), Signal::TERM);
    open_gate(&file);
    let status = program.wait().unwrap();
    assert!(status.success(), "{status:?}");
    let record = world.record(job);
    assert_eq!((record.state, outcomes(&record).len()), (JobState::Completed, 1));
}

/// A second SIGTERM changed nothing.
#[test]
fn a_second_sigterm_kills_and_shows_in_the_exit_code() {
    let world = World::new();
    let mut program = start("worker", &world.home());
    let file = world.file("pids");
    let [job] = world.enqueue("fork", &[file.to_str().unwrap()])[..] else { panic!() };
    let pids = words(&file);
    // Two that come at once may be one.
    let status = until("the program ends", || {
        signal(program.id(), Signal::TERM);
        std::thread::sleep(Duration::from_millis(50));
        program.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(143));
    assert!(pids.iter().all(|&pid| !is_alive(pid)), "{pids:?}");
    assert_eq!(outcomes(&world.until_state(job, JobState::Available)), [Some(Outcome::Released)]);
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
    // Their leases would have been renewed for ever.
    until("child and grandchild are gone", || (!pids.iter().any(|&pid| is_alive(pid))).then_some(()));
}
