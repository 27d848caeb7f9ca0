//! What the server holds in memory for jobs that wait.

use std::thread::sleep;
use std::time::Duration;

use super::Group;
use crate::bench::Bench;
use crate::error::Result;
use crate::load::Jobs;
use crate::server::Server;

const PER_JOB: &str = "bytes_per_queued_job";
const TEN_MILLION: &str = "queued_10m_bytes";
const MILLION: usize = 1_000_000;
/// Enqueued before: tables and buffers that every server has are not the jobs'.
const BEFORE: usize = 10_000;
/// Until what was under way has settled, a snapshot perhaps.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) struct Memory;

impl Group for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[PER_JOB, TEN_MILLION]
    }

    fn room_bytes(&self, quick: bool) -> u64 {
        if quick { 1 << 30 } else { 6 << 30 }
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let wants_ten = bench.wants(TEN_MILLION) && !bench.scale.is_quick;
        if bench.wants(TEN_MILLION) && bench.scale.is_quick {
            bench.tell("memory: ten million jobs are not for a quick run");
        }
        let rounds = if bench.wants(PER_JOB) { bench.scale.long_rounds } else { 1 };
        for round in 1..=rounds {
            bench.round(self.name(), round, rounds);
            let server = bench.server(&[])?;
            let client = server.client()?;
            let rss = || -> Result<f64> {
                sleep(SETTLE);
                Ok(Server::status(&client)?.rss_bytes as f64)
            };
            let jobs = Jobs::nothing();
            jobs.enqueue(&client, BEFORE)?;
            let before = rss()?;
            jobs.enqueue(&client, MILLION)?;
            bench.add(PER_JOB, (rss()? - before) / MILLION as f64);
            if wants_ten && round == rounds {
                jobs.enqueue(&client, 9 * MILLION - BEFORE)?;
                bench.add(TEN_MILLION, rss()?);
            }
            bench.put_away(server);
        }
        Ok(())
    }
}
