//! Whether a home that holds much is as fast as one that holds little: the rate of a drain with ten million jobs queued
//! and fifty million archived, over that with ten thousand queued and none archived.
//!
//! Both homes are there at once and are measured in turns, so that what else the machine does is the same for both.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft_wire::message::QueueVerb;

use super::Group;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::load::Jobs;
use crate::programs::Worker;
use crate::server::Server;

const GROWTH: &str = "growth_ratio";
const MILLION: u64 = 1_000_000;
/// Jobs that wait in the small home.
const FEW: u64 = 10_000;
/// All of the history stays.
const SERVE: &[&str] = &["--history-days", "36500", "--history-bytes", "1000GiB"];
/// Jobs that are added at once where some are missing.
const STEP: usize = 5_000;
const LOOK: Duration = Duration::from_millis(2);
const QUEUED_WHILE_FILLING: u64 = 300_000;
const TOLD_EVERY: Duration = Duration::from_secs(20);
/// A home that does not get on for so long will not.
const PATIENCE: Duration = Duration::from_secs(120);

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
        let large = Home::start(bench)?;
        large.archive(bench, archived)?;
        large.fill(bench, queued)?;
        let small = Home::start(bench)?;
        for round in 1..=bench.scale.long_rounds {
            bench.round(self.name(), round, bench.scale.long_rounds);
            let few = small.rate(bench, FEW)?;
            bench.tell(&format!("growth: {few:.0}/s with {FEW} jobs queued"));
            large.fill(bench, queued)?;
            let many = large.rate(bench, queued)?;
            let archived = large.archived()?;
            bench.tell(&format!("growth: {many:.0}/s with {queued} jobs queued and {archived} archived"));
            bench.add(GROWTH, many / few);
        }
        small.end(bench);
        large.end(bench);
        Ok(())
    }
}

/// A home with a server and workers of its own.
struct Home {
    server: Server,
    workers: Vec<Worker>,
    client: Client,
    jobs: Jobs,
}

impl Home {
    fn start(bench: &mut Bench<'_>) -> Result<Self> {
        let server = bench.server(SERVE)?;
        let client = server.client()?;
        let workers = Worker::rust(bench, server.home(), &client)?;
        Ok(Self { server, workers, client, jobs: Jobs::nothing() })
    }

    fn end(self, bench: &Bench<'_>) {
        self.workers.into_iter().for_each(Worker::stop);
        bench.put_away(self.server);
    }

    /// Runs jobs until so many are archived.
    fn archive(&self, bench: &mut Bench<'_>, archived: u64) -> Result<()> {
        let mut progress = Progress::new(archived, "archived");
        while progress.goes_on(bench, self.archived()?)? {
            self.keep(QUEUED_WHILE_FILLING, Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Makes the queue so long, nobody draining it meanwhile.
    fn fill(&self, bench: &mut Bench<'_>, queued: u64) -> Result<()> {
        self.client.change_queue("default", QueueVerb::Pause, None).wait()?;
        let mut progress = Progress::new(queued, "queued");
        while progress.goes_on(bench, super::queued(&self.client)?)? {
            self.top_up(queued)?;
        }
        self.client.change_queue("default", QueueVerb::Resume, None).wait()?;
        Ok(())
    }

    /// Jobs that end a second while so many are queued.
    fn rate(&self, bench: &Bench<'_>, queued: u64) -> Result<f64> {
        self.keep(queued, bench.scale.warm_up)?;
        self.keep(queued, bench.scale.growth_span)
    }

    /// Keeps the queue so long for `span` while workers drain it; jobs that ended a second.
    fn keep(&self, queued: u64, span: Duration) -> Result<f64> {
        let (before, began) = (self.ended()?, Instant::now());
        while began.elapsed() < span {
            if self.top_up(queued)? {
                sleep(LOOK);
            }
        }
        Ok((self.ended()? - before) as f64 / began.elapsed().as_secs_f64())
    }

    /// Adds some of the jobs that are missing; whether none are.
    fn top_up(&self, queued: u64) -> Result<bool> {
        let missing = queued.saturating_sub(super::queued(&self.client)?);
        let most = if missing > 100 * STEP as u64 { 100 * STEP } else { STEP };
        self.jobs.enqueue(&self.client, (missing as usize).min(most))?;
        Ok(missing == 0)
    }

    fn ended(&self) -> Result<u64> {
        Ok(Server::status(&self.client)?.ended)
    }

    fn archived(&self) -> Result<u64> {
        Ok(Server::status(&self.client)?.archived)
    }
}

/// The way to a number of jobs: told now and then, and given up if there is none.
struct Progress {
    goal: u64,
    what: &'static str,
    most: u64,
    since: Instant,
    told: Instant,
}

impl Progress {
    fn new(goal: u64, what: &'static str) -> Self {
        let now = Instant::now();
        Self { goal, what, most: 0, since: now, told: now }
    }

    /// Whether the number is still less than it is to be.
    fn goes_on(&mut self, bench: &mut Bench<'_>, count: u64) -> Result<bool> {
        if count > self.most {
            (self.most, self.since) = (count, Instant::now());
        }
        let Self { goal, what, .. } = self;
        if self.since.elapsed() > PATIENCE {
            return Err(Error::Wrong(format!("{count} of {goal} jobs are {what}, and no more come")));
        }
        if self.told.elapsed() > TOLD_EVERY {
            self.told = Instant::now();
            bench.tell(&format!("growth: {count} of {goal} jobs {what}"));
        }
        Ok(count < *goal)
    }
}
