//! How many no-op jobs a second are run to the end: leased, run, their results durable, all of it archived. What a job
//! costs the server and the workers in CPU time, and what its whole life leaves on the disk.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft_wire::message::QueueVerb;

use super::Group;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::load::{BATCH, Jobs};
use crate::processes::{cpu_of_tree_us, cpu_us};
use crate::programs::Worker;
use crate::room::used_bytes;
use crate::server::Server;

const PYTHON: &str = "drain_python_per_s";
const RUST: &str = "drain_rust_per_s";
const SERVER_CPU: &str = "server_cpu_us_per_job";
const WORKER_CPU: &str = "worker_cpu_us_per_job";
const DISK: &str = "disk_bytes_per_job";
const LOOK: Duration = Duration::from_millis(5);
/// The archive that does not get on for so long will not.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Drain;

impl Group for Drain {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[PYTHON, RUST, SERVER_CPU, WORKER_CPU, DISK]
    }

    fn room_bytes(&self, _quick: bool) -> u64 {
        2 << 30
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let rounds = bench.scale.long_rounds;
        for round in 1..=rounds {
            bench.round(self.name(), round, rounds);
            if bench.wants_any(&[PYTHON, SERVER_CPU, WORKER_CPU]) {
                let drained = one_drain(bench, python)?;
                for (key, value) in [
                    (PYTHON, drained.per_s),
                    (SERVER_CPU, drained.server_cpu_us),
                    (WORKER_CPU, drained.worker_cpu_us),
                ] {
                    bench.add(key, value);
                }
            }
            if bench.wants_any(&[RUST, DISK]) {
                let drained = one_drain(bench, Worker::rust)?;
                bench.add(RUST, drained.per_s);
                bench.add(DISK, drained.disk_bytes);
            }
        }
        Ok(())
    }
}

fn python(bench: &Bench<'_>, home: &Path, client: &Client) -> Result<Vec<Worker>> {
    Ok(vec![Worker::python(bench, home, client)?])
}

/// What a drain came to; times are of one job.
struct Drained {
    per_s: f64,
    server_cpu_us: f64,
    worker_cpu_us: f64,
    disk_bytes: f64,
}

type Start = fn(&Bench<'_>, &Path, &Client) -> Result<Vec<Worker>>;

/// Jobs on a fresh home, enqueued while their queue is paused, and from its resumption until the archive has them all.
fn one_drain(bench: &mut Bench<'_>, start: Start) -> Result<Drained> {
    let server = bench.server(&[])?;
    let client = server.client()?;
    let empty = used_bytes(server.home());
    let workers = start(bench, server.home(), &client)?;
    let (jobs, count, warm_up) = (Jobs::nothing(), bench.scale.drain_jobs, bench.scale.drain_jobs / 20);
    jobs.enqueue(&client, warm_up)?;
    until_archived(&client, warm_up as u64)?;
    let server_before = cpu_us(server.pid());
    client.change_queue("default", QueueVerb::Pause, None).wait()?;
    jobs.enqueue(&client, count)?;
    let worker_cpu = || workers.iter().map(|worker| cpu_of_tree_us(worker.pid())).sum::<f64>();
    let worker_before = worker_cpu();
    let began = Instant::now();
    client.change_queue("default", QueueVerb::Resume, None).wait()?;
    until_archived(&client, (warm_up + count) as u64)?;
    let seconds = began.elapsed().as_secs_f64();
    let drained = Drained {
        per_s: count as f64 / seconds,
        server_cpu_us: (cpu_us(server.pid()) - server_before) / count as f64,
        worker_cpu_us: (worker_cpu() - worker_before) / count as f64,
        disk_bytes: used_bytes(server.home()).saturating_sub(empty) as f64 / (warm_up + count) as f64,
    };
    workers.into_iter().for_each(Worker::stop);
    bench.put_away(server);
    Ok(drained)
}

/// Waits until the archive holds so many. Blocks close at 1,000 jobs, so it is to be a number of whole ones.
pub(super) fn until_archived(client: &Client, count: u64) -> Result<()> {
    debug_assert!(count.is_multiple_of(BATCH as u64));
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let archived = Server::status(client)?.archived;
        if archived >= count {
            return Ok(());
        }
        if archived > most {
            (most, since) = (archived, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            return Err(Error::Wrong(format!("{archived} of {count} jobs are archived, and no more come")));
        }
        sleep(LOOK);
    }
}
