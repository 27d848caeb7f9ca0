//! Tells once a window how a soak goes.

use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::Client;

use super::sample::{Sample, Seen};
use super::{LOOK, Shared, latency};
use crate::bench::Bench;
use crate::error::Result;
use crate::processes::{cpu_us, rss_of_tree_bytes};
use crate::programs::Worker;
use crate::server::Server;

/// A pause between two looks after which this process, or the machine, must have stood still meanwhile.
const STOOD_STILL: Duration = Duration::from_secs(5);

/// Looks at the server and the workers.
pub(super) struct Watcher<'a> {
    client: &'a Client,
    server: u32,
    workers: &'a [Worker],
    shared: &'a Shared,
    began: Instant,
    /// Where the window begins, and how much the server had done by then.
    since: Instant,
    ended: u64,
    server_cpu_us: f64,
    stood_still: Duration,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(client: &'a Client, server: u32, workers: &'a [Worker], shared: &'a Shared) -> Self {
        let (now, server_cpu_us) = (Instant::now(), cpu_us(server));
        let (began, since, stood_still) = (now, now, Duration::ZERO);
        Self { client, server, workers, shared, began, since, ended: 0, server_cpu_us, stood_still }
    }

    /// Gives the windows, once it is over or somebody stops it.
    pub(super) fn run(mut self, bench: &mut Bench<'_>, is_over: impl Fn() -> bool) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        while !is_over() && bench.cleanup().interrupted().is_none() {
            self.rest();
            if self.since.elapsed() >= bench.scale.soak_window {
                samples.extend(self.end_window(bench)?);
            }
        }
        Ok(samples)
    }

    fn rest(&mut self) {
        let before = Instant::now();
        sleep(LOOK);
        if before.elapsed() > STOOD_STILL {
            self.stood_still += before.elapsed();
        }
    }

    /// Tells what was seen; gives it, unless we saw only a part of it.
    fn end_window(&mut self, bench: &mut Bench<'_>) -> Result<Option<Sample>> {
        let sample = self.sample()?;
        let words = sample.words(self.began.elapsed(), self.shared.made.load(Relaxed));
        let stood_still = std::mem::take(&mut self.stood_still);
        if stood_still.is_zero() {
            bench.tell(&words);
            return Ok(Some(sample));
        }
        bench.tell(&format!("{words}; left out: this process stood still for {} s", stood_still.as_secs()));
        Ok(None)
    }

    /// What was seen since the last call.
    fn sample(&mut self) -> Result<Sample> {
        let window = std::mem::take(&mut *latency::lock(&self.shared.window));
        let (status, server_cpu_us) = (Server::status(self.client)?, cpu_us(self.server));
        let sample = Sample::of(&Seen {
            status: &status,
            ended: (status.ended - self.ended) as f64,
            seconds: self.since.elapsed().as_secs_f64(),
            server_cpu_us: server_cpu_us - self.server_cpu_us,
            workers_bytes: self.workers.iter().map(|worker| rss_of_tree_bytes(worker.pid())).sum(),
            window: &window,
        });
        (self.since, self.ended, self.server_cpu_us) = (Instant::now(), status.ended, server_cpu_us);
        Ok(sample)
    }
}
