//! Whether a home that holds much is as fast as one that holds little: the rate of a drain with ten million jobs queued
//! and fifty million archived, over that with ten thousand queued and none archived.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::Client;

use super::Group;
use crate::bench::Bench;
use crate::error::Result;
use crate::load::Jobs;
use crate::programs::Worker;
use crate::server::Server;

const GROWTH: &str = "growth_ratio";
const MILLION: u64 = 1_000_000;
/// Jobs that are added at once where some are missing.
const STEP: usize = 5_000;
const LOOK: Duration = Duration::from_millis(2);
const QUEUED_WHILE_FILLING: u64 = 300_000;

pub(super) struct Growth;

impl Group for Growth {
    fn name(&self) -> &'static str {
        "growth"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[GROWTH]
    }

    fn room_bytes(&self, quick: bool) -> u64 {
        if quick { 2 << 30 } else { 30 << 30 }
    }

    fn only_when_named(&self) -> bool {
        true
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let share = if bench.scale.is_quick { 100 } else { 1 };
        let (queued, archived) = (10 * MILLION / share, 50 * MILLION / share);
        let server = bench.server(&[])?;
        let client = server.client()?;
        let workers = Worker::rust(bench, server.home(), &client)?;
        let home = Home { client, jobs: Jobs::nothing() };
        home.keep(10_000, bench.scale.warm_up)?;
        let few = home.keep(10_000, bench.scale.growth_span)?;
        bench.tell(&format!("growth: {few:.0}/s with 10,000 jobs queued"));
        while home.archived()? < archived {
            home.keep(QUEUED_WHILE_FILLING, Duration::from_secs(20))?;
            let now = home.archived()?;
            bench.tell(&format!("growth: {now} of {archived} jobs archived"));
        }
        let many = home.keep(queued, bench.scale.growth_span)?;
        bench.tell(&format!("growth: {many:.0}/s with {queued} jobs queued and {archived} archived"));
        bench.add(GROWTH, many / few);
        workers.into_iter().for_each(Worker::stop);
        bench.put_away(server);
        Ok(())
    }
}

struct Home {
    client: Client,
    jobs: Jobs,
}

impl Home {
    /// Makes the queue so long, then keeps it so for `span` while workers drain it; jobs that finished a second.
    fn keep(&self, queued: u64, span: Duration) -> Result<f64> {
        // While there are few, more are made than drained; near the end the workers may keep it from being exact.
        while self.missing(queued)? > queued / 100 {
            self.top_up(queued)?;
        }
        let (before, began) = (self.finished()?, Instant::now());
        while began.elapsed() < span {
            if self.top_up(queued)? {
                sleep(LOOK);
            }
        }
        Ok((self.finished()? - before) as f64 / began.elapsed().as_secs_f64())
    }

    fn missing(&self, queued: u64) -> Result<u64> {
        Ok(queued.saturating_sub(super::queued(&self.client)?))
    }

    /// Adds some of the jobs that are missing; whether none are.
    fn top_up(&self, queued: u64) -> Result<bool> {
        let missing = self.missing(queued)?;
        let most = if missing > 100 * STEP as u64 { 100 * STEP } else { STEP };
        self.jobs.enqueue(&self.client, (missing as usize).min(most))?;
        Ok(missing == 0)
    }

    fn finished(&self) -> Result<u64> {
        let report = Server::status(&self.client)?;
        Ok(report.archived + report.queues.iter().map(|queue| queue.finished).sum::<u64>())
    }

    fn archived(&self) -> Result<u64> {
        Ok(Server::status(&self.client)?.archived)
    }
}
