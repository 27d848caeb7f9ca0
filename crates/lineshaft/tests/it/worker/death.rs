//! Children that die, and children that do not start.

use std::time::Duration;

use lineshaft::JobEnd;
use lineshaft::worker::{Error, Options};
use lineshaft_ipc::process::Pidfd;
use lineshaft_wire::message::Rules;
use lineshaft_wire::{JobState, Outcome};
use rustix::process::Signal;

use super::support::{LEASE, Worker, World, odd_child_command, outcomes, signal, until, wait_for_words};

#[test]
fn every_job_runs_and_its_result_comes_back() {
    let world = World::new();
    let _worker = Worker::start(Options { processes: 2, ..world.options() });
    let calls: Vec<String> = (0..3_000).map(|number| number.to_string()).collect();
    let jobs = world.enqueue("echo", &calls.iter().map(String::as_str).collect::<Vec<_>>());
    for end in world.ends(&jobs) {
        let JobEnd::Completed { id, result: Some(result) } = end else { panic!("{end:?}") };
        let place = jobs.iter().position(|job| *job == id).unwrap();
        assert_eq!(result, calls[place].as_bytes());
    }
}

#[test]
fn the_attempt_of_a_killed_child_runs_again_at_once_and_its_output_is_kept() {
    let world = World::new();
    let worker = world.worker();
    let file = world.file("printed");
    let [job] = world.enqueue("print", &[&format!("{} half way\n", file.display())])[..] else { panic!() };
    let others = world.enqueue("echo", &["a", "b"]);
    wait_for_words(&file);
    let pid = worker.pid();
    signal(pid, Signal::KILL);
    let record = until("the second attempt runs", || {
        let record = world.record(job);
        (record.attempts.len() == 2).then_some(record)
    });
    let [first, second] = &record.attempts[..] else { panic!("{record:?}") };
    assert_eq!((first.outcome, second.outcome), (Some(Outcome::Crashed), None));
    let error = first.error.as_ref().unwrap();
    assert_eq!(
        (error.signal, error.message.as_str()),
        (Some(9), "the process was killed by signal 9 (SIGKILL)")
    );
    assert!(error.rss_peak_bytes.is_some_and(|bytes| bytes > 1 << 20), "{error:?}");
    assert_eq!(String::from_utf8_lossy(&first.output), "half way\nand an error\n");
    let pause = Duration::from_millis(second.started_at - first.finished_at.unwrap());
    assert!(pause < LEASE, "{pause:?} until it ran again: as if its lease had had to end");
    for other in others {
        assert_eq!(world.record(other).attempts.len(), 0, "what had not begun counts for nothing");
    }
    assert_ne!(worker.pid(), pid);
}

#[test]
fn a_body_that_ends_its_process_is_a_crash_and_three_are_enough() {
    let world = World::new();
    let _worker = world.worker();
    let [job] = world.enqueue("exit", &[""])[..] else { panic!() };
    let record = world.ended(job);
    assert_eq!((record.state, record.reason.as_deref()), (JobState::Discarded, Some("crashes")));
    assert_eq!(outcomes(&record), [Some(Outcome::Crashed); 3]);
    assert_eq!(record.attempts[2].error.as_ref().unwrap().message, "the process exited with status 3");
}

#[test]
fn a_killed_attempt_of_a_job_that_may_run_once_is_not_repeated() {
    let world = World::new();
    let worker = world.worker();
    let file = world.file("ledger");
    let rules = Rules { at_most_once: true, ..Rules::default() };
    let call = format!("{} 60000", file.display());
    let [job] = world.enqueue_with("once", &[&call], rules)[..] else { panic!() };
    wait_for_words(&file);
    signal(worker.pid(), Signal::KILL);
    let record = world.ended(job);
    assert_eq!((record.state, record.reason.as_deref()), (JobState::Discarded, Some("maybe_ran")));
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 1);
}

#[test]
fn jobs_that_may_run_once_run_once() {
    let world = World::new();
    let _worker = Worker::start(Options { processes: 2, ..world.options() });
    let file = world.file("ledger");
    let rules = Rules { at_most_once: true, ..Rules::default() };
    let jobs = world.enqueue_with("once", &[format!("{} 0", file.display()).as_str(); 100], rules);
    assert!(world.ends(&jobs).iter().all(|end| matches!(end, JobEnd::Completed { .. })));
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 100);
}

#[test]
fn every_job_survives_children_that_are_killed_all_the_time() {
    let world = World::new();
    let worker = Worker::start(Options { processes: 2, ..world.options() });
    let rules = Rules { max_crashes: 100, ..Rules::default() };
    let calls: Vec<String> = (0..4_000).map(|number| (number % 3).to_string()).collect();
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    let jobs = world.enqueue_with("sleep", &calls, rules);
    for round in 0..15 {
        std::thread::sleep(Duration::from_millis(60 + 7 * round));
        let pids = until("children run", || Some(worker.handle.pids()).filter(|pids| !pids.is_empty()));
        // It may be gone already.
        let _ =
            Pidfd::open(pids[round as usize % pids.len()]).and_then(|child| child.send_signal(Signal::KILL));
    }
    assert!(world.ends(&jobs).iter().all(|end| matches!(end, JobEnd::Completed { .. })));
    assert_eq!(world.counts(), (0, 0));
}

#[test]
fn an_app_that_does_not_load_ends_the_worker_with_its_words() {
    let world = World::new();
    let mut worker =
        Worker::start(Options { processes: 4, command: odd_child_command("fails"), ..world.options() });
    let error = worker.joined().unwrap_err();
    assert!(
        matches!(&error, Error::AppFailed { report } if report == "Traceback: no module named shop"),
        "{error:?}"
    );
    assert!(worker.handle.pids().is_empty());
}

#[test]
fn children_that_end_before_they_are_ready_end_the_worker_after_some_tries() {
    let world = World::new();
    let mut worker = Worker::start(Options { command: odd_child_command("dies"), ..world.options() });
    let error = worker.joined().unwrap_err();
    let expected = "3 children ended before they were ready; the last one exited with status 7";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let world = World::new();
    let mut worker = Worker::start(Options { command: vec!["/no/such/python".into()], ..world.options() });
    let error = worker.joined().unwrap_err();
    assert!(error.to_string().starts_with("cannot start `/no/such/python`: "), "{error}");
}
