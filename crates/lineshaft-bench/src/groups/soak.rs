//! Whether a home stays as it is while very many jobs pass through it: the space it takes, the server's memory and how
//! long callers wait, near the end and early on. And whether every job that was made has ended.
//!
//! `mix` says what jobs they are, `producer` makes them, `latency` is a caller that waits for each of its own, `watcher`
//! looks at all of it, `sample` holds what it saw.

mod latency;
mod mix;
mod producer;
mod sample;
mod watcher;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft_wire::message::StatusReport;

use self::latency::Window;
use self::mix::Mix;
use self::producer::Producer;
use self::sample::{Sample, growth};
use self::watcher::Watcher;
use super::Group;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::probe::Probe;
use crate::programs::Worker;
use crate::server::Server;

const DISK: &str = "soak_disk_growth";
const MEMORY: &str = "soak_memory_growth";
const LATENCY: &str = "soak_latency_growth";
const CPU: &str = "soak_cpu_growth";
const LOST: &str = "soak_lost_jobs";
const JOBS: &str = "soak_jobs";
const RATE: &str = "soak_per_s";
/// A number of a window.
type Value = fn(&Sample) -> f64;
/// What shall not grow.
const GROWTHS: &[(&str, Value)] = &[
    (DISK, Sample::disk_bytes),
    (MEMORY, |sample| sample.server_bytes),
    (LATENCY, Sample::latency),
    (CPU, |sample| sample.cpu_us_per_job),
];
/// So little history that it stops growing long before the second fifth of the jobs ends.
const SERVE: &[&str] = &["--history-bytes", "256MiB"];
/// Between two looks whether it is over.
const LOOK: Duration = Duration::from_millis(200);
/// Jobs that do not end for so long will not.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) struct Soak;

impl Group for Soak {
    fn name(&self) -> &'static str {
        "soak"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[JOBS, RATE, DISK, MEMORY, LATENCY, CPU, LOST]
    }

    fn room_bytes(&self, quick: bool) -> u64 {
        if quick { 2 << 30 } else { 10 << 30 }
    }

    fn only_when_named(&self) -> bool {
        true
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let server = bench.server(SERVE)?;
        let clients = [server.client()?, server.client()?, server.client()?];
        let workers = Worker::rust(bench, server.home(), &clients[0])?;
        bench.cleanup().ends_by_itself();
        let soaked = soak(bench, server.pid(), &clients, &workers)?;
        workers.into_iter().for_each(Worker::stop);
        bench.put_away(server);
        report(bench, &soaked);
        Ok(())
    }
}

/// What a soak came to.
struct Soaked {
    samples: Vec<Sample>,
    ended: u64,
    took: Duration,
    /// Jobs that were made and have not ended; `None` if nobody waited for their ends.
    lost: Option<u64>,
}

/// What the threads of a soak share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Jobs that the server said it has.
    made: AtomicU64,
    window: Mutex<Window>,
}

fn soak(bench: &mut Bench<'_>, server: u32, clients: &[Client; 3], workers: &[Worker]) -> Result<Soaked> {
    let shared = &Shared::default();
    let (jobs, late, began) = (bench.scale.soak_jobs, bench.scale.soak_late, Instant::now());
    let room = bench.room.path().to_owned();
    let [many, single, own] = clients;
    thread::scope(|scope| {
        let producer = scope.spawn(move || Producer::new(many, Mix::new(late), shared).run(jobs));
        let caller = scope.spawn(move || latency::wait_for_each(single, shared));
        let probe = scope.spawn(move || latency::probe(Probe::create(&room)?, shared));
        let watched = Watcher::new(own, server, workers, shared)
            .run(bench, || producer.is_finished() || caller.is_finished() || probe.is_finished());
        shared.stop.store(true, Relaxed);
        let joined = [producer, caller, probe].map(join);
        let (samples, took) = (watched?, began.elapsed());
        joined.into_iter().collect::<Result<Vec<()>>>()?;
        let lost = until_ended(bench, own, shared)?;
        Ok(Soaked { samples, ended: Server::status(own)?.ended, took, lost })
    })
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(Error::Wrong("a thread of the bench panicked".into())))
}

/// Waits until every job has ended, retries and those for later included; how many have not. `None` if somebody stops it.
fn until_ended(bench: &mut Bench<'_>, client: &Client, shared: &Shared) -> Result<Option<u64>> {
    let made = shared.made.load(Relaxed);
    let (mut most, mut since) = (0, Instant::now());
    bench.tell("soak: no more jobs are made; the ends of all are waited for");
    loop {
        let ended = Server::status(client)?.ended;
        if bench.cleanup().interrupted().is_some() {
            return Ok(None);
        }
        if ended >= made || since.elapsed() > PATIENCE {
            return Ok(Some(made.abs_diff(ended)));
        }
        if ended > most {
            (most, since) = (ended, Instant::now());
        }
        sleep(LOOK);
    }
}

fn report(bench: &mut Bench<'_>, soaked: &Soaked) {
    bench.add(JOBS, soaked.ended as f64);
    bench.add(RATE, soaked.ended as f64 / soaked.took.as_secs_f64());
    for (key, value) in GROWTHS {
        match growth(&soaked.samples, *value) {
            Some(growth) => bench.add(key, growth),
            None => bench.tell(&format!("soak: it was too short to say {key}")),
        }
    }
    if let Some(lost) = soaked.lost {
        bench.add(LOST, lost as f64);
    }
}

/// Jobs that have not ended.
fn unfinished(status: &StatusReport) -> u64 {
    status.queues.iter().map(|it| it.scheduled + it.available + it.running + it.retryable).sum()
}
