//! What `kill -9` costs: 200 jobs of 50 ms on two worker processes, with a kill once 40 have begun.
//!
//! A child and a whole worker are measured until the first job that they were running begins again (another worker is
//! started at once), the server until the first job begins after it serves again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use rustix::time::{ClockId, clock_gettime};

use super::Group;
use crate::bench::Bench;
use crate::cleanup::kill;
use crate::error::{Error, Result};
use crate::load::Jobs;
use crate::processes::tree;
use crate::programs::Worker;
use crate::server::Server;

const CHILD: &str = "child_kill_rerun_ms";
const WORKER: &str = "worker_kill_rerun_ms";
const SERVER: &str = "server_kill_resume_ms";
const LOST: &str = "kills_lost_jobs";
const JOBS: usize = 200;
const KILL_AT: usize = 40;
const LOOK: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Kills;

impl Group for Kills {
    fn name(&self) -> &'static str {
        "kills"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[CHILD, WORKER, SERVER, LOST]
    }

    fn room_bytes(&self, _quick: bool) -> u64 {
        256 << 20
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let rounds = bench.scale.long_rounds;
        for round in 1..=rounds {
            for key in [CHILD, WORKER, SERVER] {
                if bench.wants_any(&[key, LOST]) {
                    bench.tell(&format!("kills: {key}, round {round} of {rounds}"));
                    let (milliseconds, lost) = one_kill(bench, key)?;
                    bench.add(key, milliseconds);
                    bench.add(LOST, lost as f64);
                }
            }
        }
        Ok(())
    }
}

fn one_kill(bench: &mut Bench<'_>, key: &str) -> Result<(f64, usize)> {
    let mut server = bench.server(&[])?;
    let client = server.client()?;
    let mut worker = Worker::python(bench, server.home(), &client)?;
    let file = server.home().with_extension("events");
    Jobs::of("work", &file.to_string_lossy()).send(&client, JOBS).wait()?;
    let events = || Event::read(&file);
    until("forty jobs begin", || Ok(begun(&events()).count() >= KILL_AT))?;
    let before = events();
    let mut interrupted = running(&before);
    let killed = now();
    let mut since = killed;
    match key {
        CHILD => {
            let victim = interrupted.pop().ok_or_else(|| Error::Wrong("no job is running".into()))?;
            kill(victim.pid);
            interrupted = vec![victim];
        }
        WORKER => {
            // A child may be between two jobs, so all of them are asked for, not only those that say they run one.
            tree(worker.pid()).into_iter().rev().for_each(kill);
            worker = Worker::python_soon(bench, server.home())?;
        }
        _ => {
            server.kill();
            server.start_again()?;
            (since, interrupted) = (now(), Vec::new());
        }
    }
    let jobs: BTreeSet<&str> = interrupted.iter().map(|event| &*event.job).collect();
    let again = |event: &&Event| event.at >= since && (jobs.is_empty() || jobs.contains(&*event.job));
    until("a job begins after the kill", || Ok(begun(&events()).any(|event| again(&event))))?;
    let first = begun(&events()).filter(again).map(|event| event.at).min().unwrap_or(since);
    let lost = JOBS - until_finished(&client)?.min(JOBS);
    worker.stop();
    bench.put_away(server);
    Ok(((first - killed) as f64 / 1e6, lost))
}

/// Waits until all have finished, or none does for long; gives how many have.
fn until_finished(client: &Client) -> Result<usize> {
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let status = Server::status(client)?;
        let finished = status.archived + status.queues.iter().map(|queue| queue.finished).sum::<u64>();
        if finished > most {
            (most, since) = (finished, Instant::now());
        }
        if finished as usize >= JOBS || since.elapsed() > PATIENCE {
            return Ok(finished as usize);
        }
        sleep(LOOK);
    }
}

fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition()? {
        if Instant::now() > deadline {
            return Err(Error::Wrong(format!("waited {} s until {what}", PATIENCE.as_secs())));
        }
        sleep(LOOK);
    }
    Ok(())
}

/// What a body said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    has_begun: bool,
    job: String,
    pid: u32,
    /// Nanoseconds of the monotonic clock.
    at: u64,
}

impl Event {
    fn read(file: &Path) -> Vec<Self> {
        fs::read_to_string(file).unwrap_or_default().lines().filter_map(Self::parse).collect()
    }

    /// A line may be half written.
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, job, pid, at] = words[..] else { return None };
        Some(Self {
            has_begun: what == "begun",
            job: job.into(),
            pid: pid.parse().ok()?,
            at: at.parse().ok()?,
        })
    }
}

fn begun(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.has_begun)
}

/// Those that have begun and not ended, the newest last.
fn running(events: &[Event]) -> Vec<Event> {
    let ended: BTreeSet<&str> =
        events.iter().filter(|event| !event.has_begun).map(|event| &*event.job).collect();
    begun(events).filter(|event| !ended.contains(&*event.job)).cloned().collect()
}

/// Nanoseconds of the clock that the bodies read.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_what_has_begun_and_not_ended() {
        let lines = ["begun a 1 10", "ended a 1 60", "begun b 1 61", "begun c 2 62", "begun d 2"];
        let events: Vec<Event> = lines.into_iter().filter_map(Event::parse).collect();
        let running: Vec<String> = running(&events).into_iter().map(|event| event.job).collect();
        assert_eq!(running, ["b", "c"]);
    }
}
