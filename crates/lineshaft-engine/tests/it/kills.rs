//! The engine with all its threads on a disk that dies somewhere: no job that was acknowledged loses its arguments,
//! while payloads move from segments to cold files and from those to others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use lineshaft_engine::{Clock, Handle, Options, Outbox, Outgoing, Upkeep, open_with};
use lineshaft_jobs::{Limits, Place, State};
use lineshaft_store::{Home, Journal, JournalHandle, Options as JournalOptions, PayloadRef, SegmentJournal};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use lineshaft_wire::JobId;
use lineshaft_wire::message::{ChangeQueue, Enqueue, JobGroup, Message, QueueVerb, RunAfter};

use crate::world::{group, hello, sequence};

/// What was answered, by request; and whether the engine is gone.
#[derive(Default)]
struct Heard {
    answers: Mutex<BTreeMap<u64, Message>>,
    closed: AtomicBool,
}

impl Outbox for Heard {
    fn deliver(&self, messages: Vec<Outgoing>) {
        let messages = messages.into_iter().map(|outgoing| (outgoing.request_id, outgoing.message));
        self.answers.lock().unwrap().extend(messages);
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl Heard {
    fn wait(&self, request: u64) -> Option<Message> {
        loop {
            let is_closed = self.closed.load(Ordering::Acquire);
            if let Some(message) = self.answers.lock().unwrap().remove(&request) {
                return Some(message);
            }
            if is_closed {
                return None;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn journal_options() -> JournalOptions {
    JournalOptions {
        segment_bytes_first: 16 << 10,
        segment_bytes_max: 16 << 10,
        cache_bytes: 1 << 10,
        ..JournalOptions::default()
    }
}

fn start(disk: SimulatedDisk, clock: &Clock) -> Option<Handle> {
    let upkeep = Upkeep {
        snapshot_every_bytes: 16 << 10,
        journal_slack_bytes: 16 << 10,
        cold_slack_bytes: 256,
        cold_file_bytes: 4 << 10,
        look_every: Duration::from_millis(1),
        copy_bytes_per_second: u64::MAX,
        sweep_every: Duration::from_millis(5),
        ..Upkeep::default()
    };
    let opened =
        open_with(disk, journal_options(), Options { upkeep, clock: clock.clone(), ..Options::default() });
    opened.ok().map(|(handle, _)| handle)
}

/// Jobs that were acknowledged and never end.
type Ledger = Vec<(JobId, Bytes)>;

/// Lives until the disk dies or so many requests were answered.
fn live(engine: &Handle, clock: &Clock, ledger: &mut Ledger, requests: u64) {
    let heard = Arc::new(Heard::default());
    let connection = engine.connect(heard.clone());
    engine.request(connection, 1, hello(), Bytes::new());
    if heard.wait(1).is_none() {
        return;
    }
    for number in 1..=requests {
        let is_kept = number % 7 == 1;
        let arguments =
            Bytes::from(vec![number as u8; if is_kept { 100 + number as usize % 50 } else { 4_000 }]);
        let message = if number % 7 == 0 {
            let queue = "passing".into();
            ChangeQueue { sequence: sequence(number), queue, verb: QueueVerb::Purge }.into()
        } else {
            let passing =
                JobGroup { queue: "passing".into(), ..group("shop.pass", &[arguments.len() as u32]) };
            let run_after = Some(RunAfter::In(1 << 31));
            let kept = JobGroup { run_after, ..group("shop.send", &[arguments.len() as u32]) };
            Enqueue { sequence: sequence(number), groups: vec![if is_kept { kept } else { passing }] }.into()
        };
        if number % 7 == 0 {
            // The archive takes what waited for a minute.
            clock.advance(Duration::from_secs(61));
        }
        let payload = if number % 7 == 0 { Bytes::new() } else { arguments.clone() };
        engine.request(connection, 1 + number, message, payload);
        let Some(answer) = heard.wait(1 + number) else { return };
        if let (true, Message::Enqueued(enqueued)) = (is_kept, answer) {
            let id = JobId::from_bytes(enqueued.ids.as_chunks::<16>().0[0]).unwrap();
            ledger.push((id, arguments));
        }
    }
}

fn check(disk: SimulatedDisk, ledger: &Ledger, what: &str) -> usize {
    let home = Home::open(disk).unwrap();
    let (mut journal, recovery) = SegmentJournal::open(&home, journal_options())
        .unwrap_or_else(|error| panic!("{what}: the home does not open: {error}"));
    let state: State = lineshaft_engine::recover(&mut journal, &recovery, Limits::default()).unwrap().state;
    let handle = journal.handle();
    let mut moved = 0;
    for (job, arguments) in ledger {
        let slot = state.slot_of(*job).unwrap_or_else(|| panic!("{what}: job {job} is lost"));
        let Place { lsn, offset, length } = state.view(slot).arguments;
        let read = handle.read(PayloadRef::unpack((lsn, offset, length)));
        let read = read.unwrap_or_else(|error| panic!("{what}: arguments are lost: {error}"));
        assert_eq!(read, arguments, "{what}");
        moved += usize::from(state.view(slot).arguments.is_cold());
    }
    moved
}

#[test]
fn no_kill_loses_arguments_while_they_move() {
    let quiet = SimulatedDisk::new();
    let mut ledger = Ledger::new();
    let clock = Clock::default();
    let engine = start(quiet.clone(), &clock).unwrap();
    live(&engine, &clock, &mut ledger, 700);
    engine.stop();
    engine.join().unwrap();
    assert_eq!(ledger.len(), 100);
    let moved = check(quiet.restart(), &ledger, "without faults");
    assert!(moved > 20, "only {moved} jobs were moved: the test says little");
    let operations = quiet.operations();

    let mut rng = fastrand::Rng::with_seed(20_261_126);
    for round in 0..40 {
        let mut disk = SimulatedDisk::new();
        let mut ledger = Ledger::new();
        // Several lives, each ended by a death of its own.
        for life in 0..3 {
            let operation = disk.operations() + rng.u64(1..operations);
            let what = format!("round {round}, life {life}, death at operation {operation}");
            disk.crash_at(operation);
            if let Some(engine) = start(disk.clone(), &clock) {
                live(&engine, &clock, &mut ledger, 400);
                engine.stop();
                let _ = engine.join();
            }
            let loss = Loss::Some(rng.u64(..));
            disk = if rng.bool() { disk.power_loss(loss) } else { disk.restart() };
            check(disk.restart(), &ledger, &what);
        }
    }
}
