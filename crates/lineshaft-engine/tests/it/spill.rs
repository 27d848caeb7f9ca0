//! Jobs at rest outside memory, with the engine's threads.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_engine::{Handle, Memory, Options, Scratch, open};
use lineshaft_wire::JobId;
use lineshaft_wire::message::{Message, Status, StatusReport};

use crate::live::{Client, stop, worker};

const JOBS: usize = 20_000;
/// Two full pages.
const TWO_PAGES: u64 = 2 * 8_192 * 56;
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine that keeps no job in memory which rests.
fn start(home: &Path) -> Handle {
    let memory = Memory { page_bytes: 0, ..Memory::default() };
    open(home, Options { memory, ..Options::default() }).unwrap().0
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

/// A disk that is full.
#[derive(Debug)]
struct Full;

impl Scratch for Full {
    fn put(&self, _: &[u8]) -> io::Result<Bytes> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn shrink(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn jobs_that_cannot_leave_stay_and_are_done() {
    let home = tempfile::tempdir().unwrap();
    let memory = Memory { page_bytes: 0, scratch: Some(Arc::new(Full)) };
    let (engine, _) = open(home.path(), Options { memory, ..Options::default() }).unwrap();
    let mut client = Client::connect(&engine);
    let jobs = enqueue_jobs(&mut client);
    std::thread::sleep(Duration::from_millis(1_500));
    let report = status(&mut client);
    assert!(report.hot_bytes >= TWO_PAGES && report.cold_bytes == 0, "{report:?}");
    assert_eq!(work(&engine, 10), jobs[..10]);
    stop(&engine);
}
