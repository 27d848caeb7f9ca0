//! Whether the engine ever holds its callers up longer than the disk does: two minutes of full load across segment
//! switches, snapshots and compaction, in which one producer waits for each of its jobs, beside a probe that is written
//! in the same minutes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use lineshaft::client::Client;

use super::{Group, queued};
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::figure::PROBE_MAX;
use crate::load::Jobs;
use crate::probe::Probe;
use crate::programs::Worker;

const STALL: &str = "commit_stall_over_probe_max";
/// Jobs that wait at most: enough to keep the workers busy, and no more.
const QUEUED_MAX: u64 = 200_000;
const STEP: usize = 10_000;
const PACE: Duration = Duration::from_millis(10);
const TOLD_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Stall;

impl Group for Stall {
    fn name(&self) -> &'static str {
        "stall"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[PROBE_MAX, STALL]
    }

    fn probes(&self) -> &'static [&'static str] {
        &[PROBE_MAX]
    }

    fn room_bytes(&self, quick: bool) -> u64 {
        if quick { 2 << 30 } else { 8 << 30 }
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let server = bench.server(&[])?;
        let clients = [server.client()?, server.client()?];
        let workers = Worker::rust(bench, server.home(), &clients[0])?;
        let (probe, stall) = under_load(bench, &clients)?;
        workers.into_iter().for_each(Worker::stop);
        bench.put_away(server);
        bench.add(PROBE_MAX, probe.as_secs_f64() * 1e3);
        bench.add(STALL, stall.as_secs_f64() / probe.as_secs_f64());
        Ok(())
    }
}

/// The longest write of the probe, and the longest wait of the producer that waits for each.
fn under_load(bench: &mut Bench<'_>, [batches, single]: &[Client; 2]) -> Result<(Duration, Duration)> {
    let (stop, span) = (&AtomicBool::new(false), bench.scale.full_load);
    let room = bench.room.path().to_owned();
    thread::scope(|scope| {
        let load = scope.spawn(move || keep_busy(batches, stop));
        // The load is full before anybody looks.
        sleep(bench.scale.warm_up);
        let probe = scope.spawn(move || longest_write(&room, stop));
        let wait = scope.spawn(move || longest_wait(single, stop));
        let began = Instant::now();
        while began.elapsed() < span && !load.is_finished() && !wait.is_finished() && !probe.is_finished() {
            sleep(span.saturating_sub(began.elapsed()).min(TOLD_EVERY));
            bench.tell(&format!("stall: {} of {} s", began.elapsed().as_secs(), span.as_secs()));
        }
        stop.store(true, Relaxed);
        join(load)?;
        Ok((join(probe)?, join(wait)?))
    })
}

pub(super) fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(Error::Wrong("a thread of the bench panicked".into())))
}

pub(super) fn keep_busy(client: &Client, stop: &AtomicBool) -> Result<()> {
    let jobs = Jobs::nothing();
    while !stop.load(Relaxed) {
        jobs.enqueue(client, STEP)?;
        while queued(client)? > QUEUED_MAX && !stop.load(Relaxed) {
            sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

fn longest_write(directory: &Path, stop: &AtomicBool) -> Result<Duration> {
    let mut probe = Probe::create(directory)?;
    let mut longest = Duration::ZERO;
    while !stop.load(Relaxed) {
        longest = longest.max(probe.paced(PACE, 1)?[0]);
    }
    Ok(longest)
}

fn longest_wait(client: &Client, stop: &AtomicBool) -> Result<Duration> {
    let jobs = Jobs::nothing();
    let mut longest = Duration::ZERO;
    while !stop.load(Relaxed) {
        let began = Instant::now();
        jobs.send(client, 1).wait()?;
        longest = longest.max(began.elapsed());
    }
    Ok(longest)
}
