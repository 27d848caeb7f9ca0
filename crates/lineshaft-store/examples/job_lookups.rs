//! What it takes to look a job up in an archive of a million: `job_lookups [BLOCKS]`.
//!
//! In one archive all jobs end soon after they were made, so that the ids of a block lie near each other. In the other
//! each block also has a job that was made a month before, as schedules and long retries make them.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use lineshaft_store::{Archive, ArchivedJob, Block, BlockArchive, FileDisk, Home};
use lineshaft_testkit::conformance::archive::job;
use lineshaft_wire::JobId;

const BLOCK_JOBS: u64 = 1_000;
const BEGAN_MS: u64 = 1_790_000_000_000;
const MONTH_MS: u64 = 30 * 86_400_000;
const ASKED: u64 = 200;

fn main() {
    let blocks = std::env::args().nth(1).map_or(1_000, |count| count.parse().expect("a number of blocks"));
    for is_old in [false, true] {
        let directory = tempfile::tempdir().expect("a directory for the archive");
        fill(directory.path(), blocks, is_old);
        let archive = open(directory.path());
        println!("{}:", if is_old { "a job of a month ago in each block" } else { "jobs that end soon" });
        let absent = |number: u64| id(2 * blocks * BLOCK_JOBS * number / ASKED + 1);
        let oldest = |number: u64| id(2 * number);
        look(&archive, "who is not there, after a start", &absent, 1, false);
        look(&archive, "who is not there", &absent, ASKED, false);
        look(&archive, "who is in the oldest block", &oldest, ASKED, true);
    }
}

/// Ids with an even number are there.
fn id(number: u64) -> JobId {
    JobId::direct(BEGAN_MS + number, 0, number as u32, 1)
}

fn open(path: &Path) -> BlockArchive<FileDisk> {
    let home = Home::open(FileDisk::new(path)).expect("the home opens");
    BlockArchive::open(&home).expect("the archive opens")
}

fn fill(path: &Path, blocks: u64, is_old: bool) {
    let archive = open(path);
    for block in 0..blocks {
        let numbers = block * BLOCK_JOBS..(block + 1) * BLOCK_JOBS;
        let mut jobs: Vec<ArchivedJob> = numbers.map(finished).collect();
        if is_old {
            let old = &mut jobs[500].record;
            old.created_at = BEGAN_MS - MONTH_MS + block;
            old.id = JobId::direct(old.created_at, 0, block as u32, 2);
        }
        archive.put(&Block { lsn: block + 1, jobs }).expect("there is room");
    }
}

fn finished(number: u64) -> ArchivedJob {
    let mut job = job(number + 1);
    job.record.id = id(2 * number);
    job.record.created_at = BEGAN_MS + 2 * number;
    job.record.finalized_at = Some(BEGAN_MS + 2 * number + 50);
    job
}

fn look(archive: &impl Archive, what: &str, id: &dyn Fn(u64) -> JobId, count: u64, is_there: bool) {
    let began = Instant::now();
    for number in 0..count {
        assert_eq!(archive.get(id(number)).expect("it reads").is_some(), is_there);
    }
    println!("  {what:34} {:10.1} us", began.elapsed().as_secs_f64() * 1e6 / count as f64);
}
