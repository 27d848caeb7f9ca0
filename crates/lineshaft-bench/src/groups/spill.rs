//! Jobs at rest outside memory: what is left of them in it, and what it costs to have them come back.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft_wire::message::QueueVerb;

use super::Group;
use super::drain::until_archived;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::load::Jobs;
use crate::programs::Worker;
use crate::server::Server;

const PER_JOB: &str = "spilled_bytes_per_job";
const RATIO: &str = "spilled_drain_ratio";
const MILLION: usize = 1_000_000;
/// Enqueued before, as in the group `memory`.
const BEFORE: usize = 10_000;
/// A quarter of what a million jobs take.
const SERVE: &[&str] = &["--memory-bytes", "14MB"];
const BOUND_BYTES: u64 = 14_000_000;
const LOOK: Duration = Duration::from_millis(50);
const SETTLE: Duration = Duration::from_secs(1);
/// Jobs that have not left memory by then will not.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Spill;

impl Group for Spill {
    fn name(&self) -> &'static str {
        "spill"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[PER_JOB, RATIO]
    }

    fn room_bytes(&self, _quick: bool) -> u64 {
        2 << 30
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let rounds = bench.scale.long_rounds;
        for round in 1..=rounds {
            bench.round(self.name(), round, rounds);
            let all_in_memory = one_drain(bench, false)?;
            let most_outside = one_drain(bench, true)?;
            bench.add(PER_JOB, most_outside.bytes_per_job);
            bench.add(RATIO, most_outside.per_s / all_in_memory.per_s);
        }
        Ok(())
    }
}

struct Drained {
    /// Growth of the server's memory.
    bytes_per_job: f64,
    per_s: f64,
}

/// A million jobs that wait, and then are done.
fn one_drain(bench: &mut Bench<'_>, spills: bool) -> Result<Drained> {
    let server = bench.server(if spills { SERVE } else { &[] })?;
    let client = server.client()?;
    let jobs = Jobs::nothing();
    let workers = Worker::rust(bench, server.home(), &client)?;
    client.change_queue("default", QueueVerb::Pause, None).wait()?;
    jobs.enqueue(&client, BEFORE)?;
    sleep(SETTLE);
    let before = Server::status(&client)?.rss_bytes as f64;
    jobs.enqueue(&client, MILLION)?;
    let since = Instant::now();
    while spills && Server::status(&client)?.hot_bytes > BOUND_BYTES {
        if since.elapsed() > PATIENCE {
            return Err(Error::Wrong("jobs at rest stay in memory".to_owned()));
        }
        sleep(LOOK);
    }
    sleep(SETTLE);
    let bytes_per_job = (Server::status(&client)?.rss_bytes as f64 - before) / MILLION as f64;
    let began = Instant::now();
    client.change_queue("default", QueueVerb::Resume, None).wait()?;
    until_archived(&client, (BEFORE + MILLION) as u64)?;
    let per_s = (BEFORE + MILLION) as f64 / began.elapsed().as_secs_f64();
    workers.into_iter().for_each(Worker::stop);
    bench.put_away(server);
    Ok(Drained { bytes_per_job, per_s })
}
