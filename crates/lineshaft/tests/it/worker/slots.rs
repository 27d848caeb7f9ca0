//! Children with many slots, and workers inside of the own process.

use std::time::{Duration, Instant};

use lineshaft::worker::local::{self, Local};
use lineshaft::worker::{End, Ending, Kind, Options, StopReason, TaskEntry};
use lineshaft_wire::message::Rules;
use lineshaft_wire::{ErrorRecord, JobState, Outcome};
use rustix::process::Signal;

use super::support::{PATIENCE, Worker, World, gated, open_gate, outcomes, signal, until, wait_for_runs};

fn threads(world: &World, slots: u32) -> Options {
    Options { kind: Kind::Thread, slots, grace: Duration::from_millis(300), ..world.options() }
}

#[test]
fn the_slots_of_a_child_work_at_once() {
    let world = World::new();
    let worker = Worker::start(threads(&world, 8));
    let jobs = world.enqueue("polite", &["x"; 8]);
    // A lease that the child has not taken up yet would go back without an attempt. Each body starts a process.
    let all = || lineshaft_ipc::group::members(worker.pid()).unwrap().len() == 1 + jobs.len();
    until("all run", || all().then_some(()));
    assert_eq!(world.counts(), (8, 0));
    jobs.iter().for_each(|job| _ = world.client.cancel(*job, None).wait().unwrap());
    for job in jobs {
        let record = world.ended(job);
        assert_eq!((record.state, outcomes(&record)), (JobState::Cancelled, vec![Some(Outcome::Cancelled)]));
    }
    assert_eq!(worker.handle.pids().len(), 1);
}

#[test]
fn nothing_is_leased_ahead_of_the_free_slots() {
    let world = World::new();
    let _worker = Worker::start(threads(&world, 4));
    let warm = world.enqueue("echo", &["x"; 500]);
    world.ends(&warm);
    let file = world.file("ledger");
    let jobs = world.enqueue("note", &[gated(&file).as_str(); 6]);
    wait_for_runs(&file, 4);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(world.counts(), (4, 2));
    open_gate(&file);
    world.ends(&jobs);
}

/// One attempt is deaf to its timeout: its child dies for it, and the others run again, uncounted.
#[test]
fn the_neighbours_of_a_killed_attempt_are_released_and_run_again() {
    let world = World::new();
    let _worker = Worker::start(threads(&world, 4));
    let file = world.file("ledger");
    let call = gated(&file);
    let neighbours = world.enqueue("note", &[&call, &call]);
    let [once] = world.enqueue_with("once", &[&call], Rules { at_most_once: true, ..Rules::default() })[..]
    else {
        panic!()
    };
    wait_for_runs(&file, 3);
    let rules = Rules { timeout_ms: Some(100), ..Rules::default() };
    let [deaf] = world.enqueue_with("spin", &["x"], rules)[..] else { panic!() };
    let record = world.ended(deaf);
    open_gate(&file);
    assert_eq!(outcomes(&record), [Some(Outcome::TimedOut)]);
    for job in neighbours {
        let record = world.ended(job);
        assert_eq!(outcomes(&record), [Some(Outcome::Released), Some(Outcome::Succeeded)], "{record:?}");
        assert_eq!((record.state, record.crashes, record.attempt), (JobState::Completed, 0, 0));
    }
    let record = world.ended(once);
    assert_eq!(
        (record.reason.as_deref(), outcomes(&record)),
        (Some("maybe_ran"), vec![Some(Outcome::Released)])
    );
}

/// What they had printed was lost with their process.
#[test]
fn a_child_that_dies_by_itself_crashes_every_attempt_that_had_begun_in_it() {
    let world = World::new();
    let worker = Worker::start(threads(&world, 3));
    let file = world.file("ledger");
    let jobs = world.enqueue("note", &[gated(&file).as_str(); 3]);
    wait_for_runs(&file, 3);
    signal(worker.pid(), Signal::KILL);
    open_gate(&file);
    for job in jobs {
        let record = world.ended(job);
        assert_eq!(outcomes(&record), [Some(Outcome::Crashed), Some(Outcome::Succeeded)]);
        assert_eq!(record.attempts[0].error.as_ref().and_then(|error| error.signal), Some(9));
        assert_eq!(record.attempts[0].output, b"note begins\n");
    }
}

#[test]
fn a_child_holds_sixteen_thousand_attempts_and_they_all_run_again_after_its_death() {
    let world = World::new();
    let slots = 16_384;
    let worker = Worker::start(Options { kind: Kind::Async, slots, ..world.options() });
    let calls = vec!["600000"; slots as usize];
    let jobs: Vec<_> = calls.chunks(4_096).flat_map(|calls| world.enqueue("sleep", calls)).collect();
    until("all run", || (world.counts() == (16_384, 0)).then_some(()));
    let pid = worker.pid();
    // Several renewals long, so that one message is seen to be enough for all.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(world.counts(), (16_384, 0));
    signal(pid, Signal::KILL);
    until("another child is there", || worker.handle.pids().iter().any(|&other| other != pid).then_some(()));
    let crashed = |job| outcomes(&world.record(job)) == [Some(Outcome::Crashed), None];
    for at in [0, 5_000, 16_383] {
        until("it runs again", || crashed(jobs[at]).then_some(()));
    }
    until("all run again", || (world.counts() == (16_384, 0)).then_some(()));
}

#[test]
fn a_worker_drains_the_coroutines_of_its_child() {
    let world = World::new();
    let mut worker = Worker::start(Options { kind: Kind::Async, slots: 100, ..world.options() });
    let jobs = world.enqueue("sleep", &["1000"; 99]);
    // It begins after the others, so once it ended they have begun; `running` only says that they were leased.
    let [last] = world.enqueue("sleep", &["1"])[..] else { panic!("one job was enqueued") };
    until("the last one ends", || (world.record(last).state == JobState::Completed).then_some(()));
    worker.handle.stop();
    worker.joined().unwrap();
    for job in jobs {
        assert_eq!(outcomes(&world.record(job)), [Some(Outcome::Succeeded)]);
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let world = World::new();
    let refused = |options| lineshaft::worker::Supervisor::new(options).unwrap_err().to_string();
    assert_eq!(
        refused(Options { slots: 4, ..world.options() }),
        "option `slots`: 4 is not 1 with kind \"process\", whose children run one attempt at a time; \
         kind \"thread\" or \"async\" has more"
    );
    assert_eq!(
        refused(Options { kind: Kind::Async, slots: 16_385, ..world.options() }),
        "option `slots`: 16385 is not a number from 1 to 16,384"
    );
    let target = lineshaft::Target::home(world.home());
    let error = Local::start(local::Options::new(target, Kind::Process), Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "option `kind`: process is not thread or async: a process in a process cannot be killed alone"
    );
}

// ---- In the own process.

fn local(world: &World, kind: Kind, slots: u32) -> Local {
    let target = lineshaft::Target::home(world.home());
    let grace = Duration::from_millis(300);
    let options = local::Options { slots, grace, tee: false, ..local::Options::new(target, kind) };
    Local::start(options, vec![TaskEntry { name: "own".into(), ..TaskEntry::default() }]).unwrap()
}

#[test]
fn an_in_process_worker_runs_jobs_and_leaves_nothing_behind() {
    let world = World::new();
    let worker = local(&world, Kind::Async, 50);
    let calls: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let jobs = world.enqueue("own", &calls.iter().map(String::as_str).collect::<Vec<_>>());
    let attempts = std::sync::Arc::clone(worker.attempts());
    let running = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async move {
            while let Some(job) = attempts.recv().await {
                attempts.begin(&job);
                let attempts = std::sync::Arc::clone(&attempts);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    attempts.print(job.ticket(), &job.arguments);
                    attempts.finish(&job, Ending::Returned(job.arguments.clone()));
                });
            }
        });
    });
    world.ends(&jobs);
    let record = world.record(jobs[7]);
    assert_eq!(record.attempts[0].output, b"7");
    let workers = world.client.status(None).wait().unwrap().workers;
    assert_eq!((workers.len(), workers[0].pid, workers[0].children), (1, std::process::id(), 1));
    assert!(worker.close(PATIENCE));
    running.join().unwrap();
    let gone = || world.client.status(None).wait().unwrap().workers.is_empty().then_some(());
    until("the worker is gone", gone);
}

#[test]
fn an_attempt_in_the_own_process_that_does_not_stop_is_reported_and_goes_on() {
    let world = World::new();
    let worker = local(&world, Kind::Thread, 2);
    let rules = Rules { timeout_ms: Some(100), ..Rules::default() };
    let [job] = world.enqueue_with("own", &["x"], rules)[..] else { panic!() };
    let lineshaft::worker::Next::Job(running) = worker.next(PATIENCE) else { panic!("no job came") };
    let start = Instant::now();
    worker.begin(&running);
    let (asked, reason) = worker.next_stop(PATIENCE).expect("it is asked to stop");
    assert_eq!((asked, reason), (running.ticket(), StopReason::TimedOut));
    // Clocks of attempts count whole milliseconds, and both ends of the time are rounded.
    assert!(start.elapsed() >= Duration::from_millis(98), "{:?}", start.elapsed());
    assert_eq!(worker.next_stop(Duration::from_millis(200)), None, "once");
    let [(overdue, ..)] = until("it is overdue", || <[_; 1]>::try_from(worker.overdue()).ok());
    assert_eq!(overdue, job);
    let error = ErrorRecord { message: "at last".into(), ..ErrorRecord::default() };
    worker.finish(&running, Ending::Other(End::Errored { error, retry_after_ms: None }));
    let record = world.ended(job);
    assert_eq!((outcomes(&record), worker.overdue().len()), (vec![Some(Outcome::TimedOut)], 0));
    assert!(worker.close(PATIENCE));
}

#[test]
fn a_job_cancelled_in_the_own_process_is_heard_of() {
    let world = World::new();
    let worker = local(&world, Kind::Async, 2);
    let [job] = world.enqueue("own", &["x"])[..] else { panic!() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let running = worker.recv().await.unwrap();
        worker.begin(&running);
        world.client.cancel(job, None).wait().unwrap();
        let (asked, reason) = worker.recv_stop().await;
        assert_eq!((asked, reason), (running.ticket(), StopReason::Cancelled));
        worker.finish(&running, Ending::Other(End::Cancelled));
        assert!(worker.try_next().is_none());
    });
    assert_eq!(world.ended(job).state, JobState::Cancelled);
    assert!(worker.close(PATIENCE));
}
