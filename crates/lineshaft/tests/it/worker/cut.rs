//! Workers of another machine, whose connection is cut or held.

use std::fs::File;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use lineshaft::worker::{Kind, Options};
use lineshaft_wire::{JobId, JobState, Outcome};
use rustix::process::Signal;

use super::cable::Cable;
use super::programs::{command, remote};
use super::support::{
    ADDRESS, LEASE, SLOTS, Worker, World, gated, open_gate, outcomes, runs, signal, stop, until,
    wait_for_words, words,
};

/// A worker of its own process, which ends with the test.
struct Far(Child);

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one_job(world: &World, file: &Path) -> JobId {
    let jobs = world.enqueue("note", &[&gated(file)]);
    wait_for_words(file);
    jobs[0]
}

/// One attempt ends while the connection is cut, one after it: both are alone, and their ends count.
#[test]
fn a_connection_that_is_cut_for_half_a_lease_loses_nothing_and_nothing_runs_twice() {
    let world = World::listening();
    let cable = Cable::to(world.address());
    let target = remote(&world.home(), cable.address());
    let _far = Worker::start(Options { target, kind: Kind::Thread, slots: 4, ..world.options() });
    let files = [world.file("during"), world.file("after")];
    let jobs = [one_job(&world, &files[0]), one_job(&world, &files[1])];
    // Another one, which would get what is lost.
    let _near = world.worker();
    until("both work", || (world.children() == 2).then_some(()));

    // When nothing else happens it is renewals that go there: the best moment, since the machine may be slow.
    sleep(Duration::from_millis(500));
    let (made, sent) = (cable.made(), cable.sent());
    until("the leases are renewed", || (cable.sent() > sent).then_some(()));
    cable.cut();
    open_gate(&files[0]);
    let meanwhile = world.enqueue("echo", &["x"; 10]);
    sleep(LEASE / 2);
    cable.mend();
    until("the worker is back", || (cable.made() >= made + 2).then_some(()));
    open_gate(&files[1]);

    for job in jobs.into_iter().chain(meanwhile) {
        assert_eq!(outcomes(&world.ended(job)), [Some(Outcome::Succeeded)]);
    }
    assert_eq!(files.map(|file| runs(&file)), [1, 1]);
}

/// The body was over in time, but the server hears of it after the lease: the job has run elsewhere by then.
#[test]
fn an_end_that_is_heard_after_its_lease_is_refused_and_the_worker_says_so() {
    let world = World::listening();
    let cable = Cable::to(world.address());
    let said = world.file("said");
    let mut program = command("worker", &world.home());
    program.env(ADDRESS, cable.address()).stderr(File::create(&said).unwrap());
    let _program = Far(program.spawn().unwrap());
    let file = world.file("ledger");
    let job = one_job(&world, &file);
    cable.hold(true);
    open_gate(&file);
    let _near = world.worker();
    let record = world.ended(job);
    assert_eq!(outcomes(&record), [Some(Outcome::Lost), Some(Outcome::Succeeded)]);
    let shown = &record.attempts[0].error.as_ref().unwrap().message;
    assert!(shown.contains("lease"), "{shown}");

    cable.hold(false);
    let words = format!("the end of an attempt of job {job} came too late and does not count");
    until("it is said", || std::fs::read_to_string(&said).unwrap().contains(&words).then_some(()));
    assert_eq!(world.record(job), record, "a late end changed it");
    assert_eq!(runs(&file), 2);
}

/// Its connection stayed, and it was leased the job that it had lost again and again, a lease for each time.
#[test]
fn a_worker_that_is_stopped_loses_its_attempt_once_and_works_when_it_goes_on() {
    let lease = Duration::from_secs(5);
    let world = World::listening_with(lease);
    let mut program = command("worker", &world.home());
    let program = Far(program.env(ADDRESS, world.address()).env(SLOTS, "4").spawn().unwrap());
    let file = world.file("ledger");
    let job = one_job(&world, &file);
    let [child] = words(&file)[..] else { panic!("one body runs") };
    // The supervisor first, since it would kill a child that stands still.
    stop(program.0.id());
    stop(child);
    until("the attempt is lost", || (outcomes(&world.record(job)) == [Some(Outcome::Lost)]).then_some(()));
    let next = world.enqueue("echo", &["x"])[0];
    sleep(2 * lease);
    let record = world.record(job);
    assert_eq!((record.state, outcomes(&record)), (JobState::Available, vec![Some(Outcome::Lost)]));
    assert_eq!(outcomes(&world.record(next)), []);

    open_gate(&file);
    signal(child, Signal::CONT);
    signal(program.0.id(), Signal::CONT);
    assert_eq!(outcomes(&world.ended(job)), [Some(Outcome::Lost), Some(Outcome::Succeeded)]);
    assert_eq!(outcomes(&world.ended(next)), [Some(Outcome::Succeeded)]);
    assert_eq!(runs(&file), 2);
}
