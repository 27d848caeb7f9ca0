//! Payloads that move into a cold file and on into another, on a disk that dies at every operation in turn: whatever was
//! acknowledged reads afterwards as it did before.

use bytes::Bytes;
use lineshaft_engine::Core;
use lineshaft_jobs::{Copied, Limits, LoadedPage, Movable, Place, State, Wanted};
use lineshaft_store::{Disk, Error, Home, Journal, JournalHandle, PayloadRef, SegmentJournal};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use lineshaft_wire::message::{Cancel, Checkpoint, Credit, End, Finish, Message, OtherEnd};
use lineshaft_wire::{ErrorRecord, Fence, JobId, Measures};

use crate::crashes::{CHILD, CLIENT, World, journal_options};
use crate::world::{Mailbox, attach_child, attach_worker, enqueue, hello, sequence};

/// What was acknowledged: jobs that are never finished, with their arguments, and more of the first one.
#[derive(Default)]
struct Ledger {
    requests: u64,
    jobs: Vec<(JobId, Bytes)>,
    checkpoint: Option<Bytes>,
    /// The job's attempt ended with an error and this output.
    output: Option<Bytes>,
    /// What the two newest snapshots need of the journal.
    needs: [u64; 2],
}

fn reference(place: Place) -> PayloadRef {
    PayloadRef::unpack((place.lsn, place.offset, place.length))
}

impl Ledger {
    fn enqueue(&mut self, world: &mut World, arguments: &[u8]) -> Result<JobId, Error> {
        self.requests += 1;
        let (message, payload) = enqueue(self.requests, "shop.send", &[arguments]);
        let Message::Enqueued(enqueued) = world.ask(CLIENT, message, payload)? else {
            panic!("not enqueued")
        };
        Ok(JobId::from_bytes(enqueued.ids.as_chunks::<16>().0[0]).unwrap())
    }

    fn keep(&mut self, world: &mut World, arguments: Vec<u8>) -> Result<(), Error> {
        let job = self.enqueue(world, &arguments)?;
        self.jobs.push((job, arguments.into()));
        Ok(())
    }

    /// A job that is gone again: its segment is dead.
    fn pass(&mut self, world: &mut World, jobs: usize) -> Result<(), Error> {
        for _ in 0..jobs {
            let job = self.enqueue(world, &[9; 1_500])?;
            self.requests += 1;
            let cancel = Cancel { sequence: sequence(self.requests), job };
            world.ask(CLIENT, cancel.into(), Bytes::new())?;
            let unarchived = world.core.state().unarchived();
            world.core.archived(unarchived, world.now);
            world.commit()?;
        }
        Ok(())
    }

    /// The first job runs, leaves a checkpoint and fails.
    fn run_first(&mut self, world: &mut World) -> Result<(), Error> {
        world.ask(CHILD, attach_worker(), Bytes::new())?;
        world.ask(CHILD, attach_child(1, &["shop.send"]), Bytes::new())?;
        world.core.request(
            CHILD,
            0,
            Credit { leases: 1, reset: false }.into(),
            lineshaft_jobs::Payloads::default(),
            world.now,
        );
        let pushed = world.commit()?;
        let lease = pushed.iter().find_map(|(_, _, message)| match message {
            Message::Leases(leases) => Some((leases.epoch, leases.jobs[0])),
            _ => None,
        });
        let (epoch, lease) = lease.expect("a job is leased");
        let (job, fence) = (lease.job, Fence { epoch, counter: lease.counter });
        assert_eq!(job, self.jobs[0].0);
        let value = Bytes::from_static(&[3; 70]);
        let checkpoint = Checkpoint { job, fence, length: 70 };
        world.ask(CHILD, checkpoint.into(), value.clone())?;
        self.checkpoint = Some(value);
        let error = ErrorRecord { message: "no".into(), ..Default::default() };
        let end = End::Errored { error, retry_after_ms: Some(3_600_000) };
        let end = OtherEnd {
            job,
            fence,
            started_at: 1,
            finished_at: 2,
            end,
            output_length: 7,
            measures: Measures::default(),
        };
        let finish = Finish { others: vec![end], ..Finish::default() };
        world.ask(CHILD, finish.into(), Bytes::from_static(b"printed"))?;
        self.output = Some(Bytes::from_static(b"printed"));
        Ok(())
    }

    fn snapshot(&mut self, world: &mut World) -> Result<(), Error> {
        world.snapshot()?;
        self.needs = [self.needs[1], world.core.state().oldest_kept_lsn().unwrap_or(world.head.lsn + 1)];
        Ok(())
    }

    /// Two snapshots, and the journal forgets what neither needs.
    fn snapshots_and_trim(&mut self, world: &mut World) -> Result<(), Error> {
        for _ in 0..2 {
            self.snapshot(world)?;
            self.pass(world, 1)?;
        }
        world.journal.trim(self.needs[0])?;
        self.pass(world, 2)
    }

    fn check(&self, disk: SimulatedDisk, what: &str) {
        let world =
            World::open(disk).unwrap_or_else(|error| panic!("{what}: the home does not open: {error}"));
        let (state, handle) = (world.core.state(), world.journal.handle());
        let read = |place: Place| {
            let read = handle.read(reference(place));
            read.unwrap_or_else(|error| panic!("{what}: a payload is lost: {error}"))
        };
        for (job, arguments) in &self.jobs {
            let slot = state.slot_of(*job).unwrap_or_else(|| panic!("{what}: job {job} is lost"));
            assert_eq!(read(state.view(slot).arguments), arguments, "{what}: {job}");
        }
        self.check_first(state, read, what);
        let there: Vec<u64> = handle.cold_files().unwrap().iter().map(|file| file.number).collect();
        let missing: Vec<_> = state.cold_files().filter(|(file, _)| !there.contains(file)).collect();
        assert_eq!(missing, [], "{what}");
    }

    fn check_first(&self, state: &State, read: impl Fn(Place) -> Bytes, what: &str) {
        let Some((job, _)) = self.jobs.first() else { return };
        let view = state.view(state.slot_of(*job).expect("it was found before"));
        let checkpoint = read(view.checkpoint);
        assert!(self.checkpoint.as_ref().is_none_or(|value| *value == checkpoint), "{what}: {checkpoint:?}");
        let attempts: Vec<(Bytes, Bytes)> =
            view.attempts.iter().map(|attempt| (read(attempt.error), read(attempt.output))).collect();
        if let Some(output) = &self.output {
            assert_eq!(attempts[0].1, output, "{what}");
            assert!(
                lineshaft_jobs::decode_error(&attempts[0].0).is_some_and(|it| it.message == "no"),
                "{what}"
            );
        }
    }
}

/// A round of the compactor, two names to a commit.
fn compact(world: &mut World, wanted: &Wanted, file: u64) -> Result<usize, Error> {
    let mut found: Vec<Movable> = Vec::new();
    let end = world.core.state().movable(wanted, 0, u32::MAX, world.now, &mut found);
    assert_eq!(end, None);
    let handle = world.journal.handle();
    let offsets = handle.put_cold(file, &mut found.iter().map(|it| handle.read(reference(it.from))))?;
    let copied: Vec<Copied> =
        found.into_iter().zip(offsets).map(|(payload, offset)| Copied { payload, offset }).collect();
    for copied in copied.chunks(2) {
        world.core.moved(file, copied.to_vec(), world.now);
        world.commit()?;
    }
    Ok(copied.len())
}

fn oldest_lsn(world: &World) -> u64 {
    world.journal.handle().stretches()[0].first_lsn
}

fn cold_files(core: &Core) -> Vec<u64> {
    core.state().cold_files().map(|(file, _)| file).collect()
}

fn live(world: &mut World, ledger: &mut Ledger) -> Result<(), Error> {
    world.core.connected(CLIENT, Mailbox::new());
    world.core.connected(CHILD, Mailbox::new());
    world.ask(CLIENT, hello(), Bytes::new())?;
    for size in [300, 20, 3_000] {
        ledger.keep(world, vec![size as u8; size])?;
    }
    ledger.run_first(world)?;
    ledger.pass(world, 6)?;
    ledger.snapshots_and_trim(world)?;
    assert_eq!(oldest_lsn(world), 1, "the jobs pin what they came in");

    let below_lsn = world.head.lsn;
    let moved = compact(world, &Wanted { below_lsn, ..Wanted::default() }, 50)?;
    assert_eq!(moved, 6, "arguments of three, checkpoint, error and output of one");
    ledger.snapshots_and_trim(world)?;
    assert!(oldest_lsn(world) > 1, "they pin nothing any more");

    ledger.keep(world, vec![4; 400])?;
    let files = [50].into();
    compact(world, &Wanted { below_lsn: world.head.lsn, files }, 70)?;
    assert_eq!(cold_files(&world.core), [70]);
    ledger.snapshots_and_trim(world)?;
    world.journal.handle().drop_cold(50)?;
    ledger.pass(world, 1)
}

fn run(disk: &SimulatedDisk) -> (Ledger, Result<(), Error>) {
    let mut ledger = Ledger::default();
    let result = World::open(disk.clone()).and_then(|mut world| live(&mut world, &mut ledger));
    (ledger, result)
}

#[test]
fn moved_payloads_survive_a_crash_at_every_operation_of_the_disk() {
    let quiet = SimulatedDisk::new();
    let (ledger, result) = run(&quiet);
    result.expect("without faults nothing fails");
    ledger.check(quiet.restart(), "without faults");
    ledger.check(quiet.power_loss(Loss::Everything), "without faults, after a power loss");
    for operation in 1..=quiet.operations() {
        let disk = SimulatedDisk::new();
        disk.crash_at(operation);
        let (ledger, result) = run(&disk);
        assert!(result.is_err());
        let losses = [Loss::Everything, Loss::Some(operation), Loss::Some(1_000 + operation)];
        for loss in losses {
            ledger.check(disk.power_loss(loss), &format!("crash at {operation} with {loss:?}"));
        }
        ledger.check(disk.restart(), &format!("process died at {operation}"));
    }
}

#[test]
fn moved_payloads_survive_a_failed_write_or_sync() {
    let quiet = SimulatedDisk::new();
    run(&quiet).1.expect("without faults nothing fails");
    for operation in 1..=quiet.operations() {
        let disk = SimulatedDisk::new();
        disk.fail_at(operation);
        let (ledger, _) = run(&disk);
        ledger.check(disk.power_loss(Loss::Some(operation)), &format!("error at {operation}"));
        ledger.check(disk.restart(), &format!("error at {operation}, no power loss"));
    }
}

/// Names of places that are read from the older snapshot or from commits after it: all of them must read, for whoever
/// goes back to that commit.
#[test]
fn every_state_from_the_older_snapshot_on_has_its_payloads() {
    let disk = SimulatedDisk::new();
    run(&disk).1.expect("without faults nothing fails");
    let disk = disk.restart();
    let newest = disk.list("snap").unwrap().pop().expect("there are snapshots").name;
    disk.remove_file(&format!("snap/{newest}")).unwrap();
    let (mut journal, recovery) =
        SegmentJournal::open(&Home::open(disk).unwrap(), journal_options()).unwrap();
    let (handle, older) = (journal.handle(), recovery.snapshot.expect("the older one is there"));
    assert!(older.lsn < newest.parse().unwrap());
    let pages = older.pages.iter().map(|(number, bytes)| LoadedPage::read(*number, bytes).unwrap());
    let mut state = State::from_pages(&older.tables, pages.collect(), Limits::default()).unwrap();
    let mut states = 0;
    let mut check = |state: &State| {
        let jobs = state.page(&lineshaft_wire::message::Filter::default(), 0, usize::MAX).slots;
        for view in jobs.into_iter().map(|slot| state.view(slot)) {
            let attempts = view.attempts.iter().flat_map(|attempt| [attempt.error, attempt.output]);
            for place in attempts.chain([view.arguments, view.checkpoint]) {
                handle.read(reference(place)).unwrap();
            }
        }
        states += 1;
    };
    check(&state);
    let replayed = journal.replay(older.lsn, |lsn, body| {
        let mut rest = body;
        while !rest.is_empty() {
            let (change, after) = lineshaft_jobs::Change::decode(rest).unwrap();
            state.apply(&change, lsn, (body.len() - after.len()) as u32);
            rest = &after[change.inline_length() as usize..];
        }
        check(&state);
        Ok::<_, Error>(())
    });
    replayed.unwrap();
    assert!(states > 5, "{states}");
}
