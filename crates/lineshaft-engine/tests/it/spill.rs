//! Jobs at rest outside memory, with the engine's threads and without.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_engine::{
    Aside, Clock, ConnectionId, Handle, Memory, Options, Scratch, SimulatedClock, Stepped, open,
};
use lineshaft_store::Options as JournalOptions;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_testkit::scratch::MemoryScratch;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{Message, Status, StatusReport};

use crate::live::{Client, stop, worker};
use crate::world::{Mailbox, enqueue, hello, long_leases};

const JOBS: usize = 20_000;
/// Two full pages.
const TWO_PAGES: u64 = 2 * 8_192 * 56;
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine that keeps no job in memory which rests.
fn start(home: &Path) -> Handle {
    let memory = Memory { page_bytes: 0, ..Memory::default() };
    open(home, Options { memory, ..long_leases() }).unwrap().0
}

fn status(client: &mut Client) -> StatusReport {
    let Message::StatusReport(report) = client.ask(Status {}) else { panic!("no status") };
    report
}

fn wait_until(client: &mut Client, what: &str, holds: impl Fn(&StatusReport) -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds(&status(client)) {
        assert!(Instant::now() < until, "{what}: {:?}", status(client));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn enqueue_jobs(client: &mut Client) -> Vec<JobId> {
    (0..JOBS / 500).flat_map(|_| client.enqueue(&[b"x".as_slice(); 500])).collect()
}

/// Takes so many jobs, one after the other, and says which.
fn work(engine: &Handle, jobs: usize) -> Vec<JobId> {
    let mut worker = worker(engine);
    let work = |_| {
        worker.credit();
        let (job, fence, arguments) = worker.leased();
        assert_eq!(arguments, "x");
        worker.succeed(job, fence, b"done");
        job
    };
    (0..jobs).map(work).collect()
}

#[test]
fn jobs_that_rest_leave_memory_and_are_done_in_their_turn() {
    let home = tempfile::tempdir().unwrap();
    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    let jobs = enqueue_jobs(&mut client);
    wait_until(&mut client, "all leave", |report| report.hot_bytes == 0);
    assert!(status(&mut client).cold_bytes >= TWO_PAGES);
    assert_eq!(work(&engine, 100), jobs[..100]);
    assert!(status(&mut client).hot_bytes > 0, "what is worked on is in memory");
    wait_until(&mut client, "they leave again", |report| report.hot_bytes == 0);
    stop(&engine);

    let engine = start(home.path());
    let mut client = Client::connect(&engine);
    wait_until(&mut client, "after a restart too", |report| report.hot_bytes == 0);
    assert_eq!(work(&engine, 100), jobs[100..200]);
    stop(&engine);
}

#[test]
fn jobs_that_cannot_leave_stay_and_are_done() {
    let home = tempfile::tempdir().unwrap();
    let full = MemoryScratch::new(1);
    full.fail_one_in(1);
    let memory = Memory { page_bytes: 0, scratch: Some(Arc::new(full)) };
    let (engine, _) = open(home.path(), Options { memory, ..long_leases() }).unwrap();
    let mut client = Client::connect(&engine);
    let jobs = enqueue_jobs(&mut client);
    std::thread::sleep(Duration::from_millis(1_500));
    let report = status(&mut client);
    assert!(report.hot_bytes >= TWO_PAGES && report.cold_bytes == 0, "{report:?}");
    assert_eq!(work(&engine, 10), jobs[..10]);
    stop(&engine);
}

/// An engine without threads that keeps no job in memory which rests.
struct Shop {
    engine: Stepped<SimulatedDisk>,
    clock: SimulatedClock,
    connection: ConnectionId,
    sequences: u64,
}

impl Shop {
    fn open(scratch: &Arc<MemoryScratch>) -> Self {
        let clock = SimulatedClock::new(1_700_000_000_000);
        let memory = Memory { page_bytes: 0, scratch: Some(Arc::clone(scratch) as Arc<dyn Scratch>) };
        let options = Options { memory, clock: Clock::from(clock.clone()), ..Options::default() };
        let journal_options = JournalOptions { background: false, ..JournalOptions::default() };
        let (engine, _) = Stepped::open(SimulatedDisk::new(), journal_options, options).unwrap();
        let connection = engine.handle().connect(Mailbox::new());
        engine.handle().request(connection, 1, hello(), Bytes::new());
        Self { engine, clock, connection, sequences: 0 }
    }

    fn enqueue(&mut self) {
        self.enqueue_jobs(&[b"x"]);
    }

    fn enqueue_jobs(&mut self, arguments: &[&[u8]]) {
        self.sequences += 1;
        let (message, payload) = enqueue(self.sequences, "shop.send", arguments);
        self.engine.handle().request(self.connection, 1 + self.sequences, message, payload);
    }

    /// Lets time pass, and gives the turns that were taken.
    fn pass(&mut self, time: Duration) -> u32 {
        let until = self.clock.passed() + time;
        let mut turns = 0;
        while let Some(left) = until.checked_sub(self.clock.passed()).filter(|left| !left.is_zero()) {
            let rest = self.engine.turn().unwrap().expect("nobody stopped it");
            turns += 1;
            let waiting: Vec<Aside> = self.engine.waiting().collect();
            if waiting.is_empty() {
                self.clock.pass(rest.min(left).max(Duration::from_micros(10)));
            }
            waiting.into_iter().for_each(|aside| self.engine.work(aside));
        }
        turns
    }

    fn hot_bytes(&self) -> u64 {
        self.engine.state().page_bytes().hot
    }
}

/// Once pages could not be written, the engine took turn after turn without a rest when it was time to try again, as
/// long as all pages were in use.
#[test]
fn it_rests_while_pages_that_once_could_not_leave_are_in_use() {
    let scratch = Arc::new(MemoryScratch::new(1));
    scratch.fail_one_in(1);
    let mut shop = Shop::open(&scratch);
    shop.enqueue();
    shop.pass(Duration::from_secs(3));
    assert!(shop.hot_bytes() > 0);
    scratch.fail_one_in(0);
    for _ in 0..30 {
        shop.enqueue();
        let turns = shop.pass(Duration::from_millis(500));
        assert!(turns < 50, "{turns} turns in half a second");
    }
    assert!(shop.hot_bytes() > 0, "in use");
    shop.pass(Duration::from_secs(12));
    assert_eq!(shop.hot_bytes(), 0);
}

/// Space was given back only when further pages left: never on a disk that is nearly full, where none does.
#[test]
fn space_is_given_back_when_jobs_come_back() {
    let scratch = Arc::new(MemoryScratch::new(1));
    let mut shop = Shop::open(&scratch);
    shop.enqueue();
    shop.pass(Duration::from_secs(3));
    assert_eq!((shop.hot_bytes(), scratch.frames()), (0, 1));
    shop.enqueue();
    shop.pass(Duration::from_millis(300));
    assert!(shop.hot_bytes() > 0);
    assert_eq!(scratch.frames_at_shrink(), 0);
}

/// A page that changed after a pause counted as one that had rested all that while, and left at once.
#[test]
fn a_page_that_changes_after_a_pause_begins_to_rest_then() {
    let scratch = Arc::new(MemoryScratch::new(1));
    let mut shop = Shop::open(&scratch);
    shop.enqueue();
    shop.pass(Duration::from_secs(60));
    assert_eq!(shop.hot_bytes(), 0);
    shop.enqueue();
    shop.pass(Duration::from_millis(900));
    assert!(shop.hot_bytes() > 0);
    shop.pass(Duration::from_millis(400));
    assert_eq!(shop.hot_bytes(), 0);
}

/// Pages that had been written were thrown away when a later one could not be.
#[test]
fn what_could_be_written_leaves_although_the_rest_cannot() {
    let scratch = Arc::new(MemoryScratch::new(1));
    let mut shop = Shop::open(&scratch);
    for _ in 0..JOBS / 500 {
        shop.enqueue_jobs(&[b"x".as_slice(); 500]);
    }
    shop.pass(Duration::from_millis(500));
    scratch.take_at_most(1);
    shop.pass(Duration::from_secs(3));
    let pages = shop.engine.state().page_bytes();
    assert!(pages.hot > 0 && pages.cold > 0, "{pages:?}");
}
