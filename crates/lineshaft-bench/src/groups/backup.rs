//! What a backup costs those who work meanwhile: under full load, stretches in which the home is copied again and again to
//! the same disk, and as many in which it is not.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use lineshaft::client::Client;

use super::Group;
use super::stall::{join, keep_busy};
use crate::bench::Bench;
use crate::cleanup::remove;
use crate::error::{Error, Result};
use crate::load::Jobs;
use crate::programs::Worker;
use crate::server::tail;
use crate::stats::percentile;

const P99_RATIO: &str = "backup_wait_p99_ratio";
const STALL_RATIO: &str = "backup_stall_ratio";
const STALL: &str = "backup_stall_max_ms";
const LOOK: Duration = Duration::from_millis(20);
/// How long a backup may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) struct Backup;

impl Group for Backup {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[P99_RATIO, STALL_RATIO, STALL]
    }

    fn room_bytes(&self, quick: bool) -> u64 {
        if quick { 4 << 30 } else { 16 << 30 }
    }

    fn only_when_named(&self) -> bool {
        true
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let server = bench.server(&[])?;
        let clients = [server.client()?, server.client()?];
        let workers = Worker::rust(bench, server.home(), &clients[0])?;
        let measured = under_load(bench, server.home(), &clients);
        workers.into_iter().for_each(Worker::stop);
        bench.put_away(server);
        measured
    }
}

fn under_load(bench: &mut Bench<'_>, home: &Path, [batches, single]: &[Client; 2]) -> Result<()> {
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(move || keep_busy(batches, stop));
        sleep(bench.scale.warm_up);
        let rounds = (1..=bench.scale.long_rounds).try_for_each(|_| round(bench, home, single));
        stop.store(true, Relaxed);
        join(load)?;
        rounds
    })
}

/// One stretch without backups, and one with.
fn round(bench: &mut Bench<'_>, home: &Path, single: &Client) -> Result<()> {
    let span = bench.scale.full_load / 4;
    let alone = waits(single, || {
        sleep(span);
        Ok(())
    })?;
    let mut copied = Vec::new();
    let beside = waits(single, || {
        let began = Instant::now();
        while began.elapsed() < span {
            copied.push(back_up(bench, home)?.as_secs_f64());
        }
        Ok(())
    })?;
    let of = |waits: &[f64], share| percentile(waits, share).unwrap_or_default();
    bench.tell(&format!(
        "backup: a producer waits {:.2} ms at p50, {:.2} at p99, {:.0} at most; beside {} backups of {:.1} s each {:.2}, \
         {:.2} and {:.0}",
        of(&alone, 0.5),
        of(&alone, 0.99),
        of(&alone, 1.0),
        copied.len(),
        of(&copied, 0.5),
        of(&beside, 0.5),
        of(&beside, 0.99),
        of(&beside, 1.0),
    ));
    bench.add(P99_RATIO, of(&beside, 0.99) / of(&alone, 0.99));
    bench.add(STALL_RATIO, of(&beside, 1.0) / of(&alone, 1.0));
    bench.add(STALL, of(&beside, 1.0));
    Ok(())
}

/// Milliseconds that a producer waited for each of its jobs while `meanwhile` ran.
fn waits(client: &Client, meanwhile: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        let producer = scope.spawn(move || {
            let (jobs, mut waits) = (Jobs::nothing(), Vec::new());
            while !stop.load(Relaxed) {
                let began = Instant::now();
                jobs.send(client, 1).wait()?;
                waits.push(began.elapsed().as_secs_f64() * 1e3);
            }
            Ok(waits)
        });
        let done = meanwhile();
        stop.store(true, Relaxed);
        let waits = join(producer)?;
        done.map(|()| waits)
    })
}

/// A backup as people take one; how long it took.
fn back_up(bench: &Bench<'_>, home: &Path) -> Result<Duration> {
    let (place, log) = (home.with_extension("backup"), home.with_extension("backup.log"));
    let mut command = bench.starter.lineshaft(home);
    command.args(["store", "backup"]).arg(&place).arg("--home").arg(home).current_dir("/");
    let began = Instant::now();
    let mut running = bench.starter.spawn(&mut command, &log)?;
    let mut status = None;
    while status.is_none() && began.elapsed() < PATIENCE {
        sleep(LOOK);
        status = running.ended();
    }
    let took = began.elapsed();
    remove(&place);
    if status.is_some_and(|status| status.success()) {
        return Ok(took);
    }
    Err(Error::process("a backup failed", tail(&log)))
}
