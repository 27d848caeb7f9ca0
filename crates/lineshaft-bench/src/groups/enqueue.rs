//! How many jobs a second are made durable, in turns with as many syncs as the disk does back to back, and with as many
//! messages as go back and forth between two threads.

use super::Group;
use crate::bench::Bench;
use crate::error::Result;
use crate::figure::{PROBE_PER_S, WAKEUP_PER_S};
use crate::load::Jobs;
use crate::probe::Probe;
use crate::programs::Program;
use crate::stats::mean;
use crate::wakeup::Wakeups;

const PYTHON: &str = "enqueue_many_python_per_s";
const PROBES: [&str; 2] = [PROBE_PER_S, WAKEUP_PER_S];
/// Turns of a round.
const TURNS: u32 = 4;
/// Key, options of the server, requests in flight; 1 is a producer that waits for each.
const FROM_RUST: &[(&str, &[&str], usize)] = &[
    ("enqueue_1_per_s", &[], 1),
    ("enqueue_1_os_per_s", &["--durability", "os"], 1),
    ("enqueue_64_per_s", &[], 64),
    ("enqueue_1024_per_s", &[], 1024),
];

pub(super) struct Enqueue;

impl Group for Enqueue {
    fn name(&self) -> &'static str {
        "enqueue"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[
            PROBE_PER_S,
            WAKEUP_PER_S,
            "enqueue_1_per_s",
            "enqueue_1_os_per_s",
            "enqueue_64_per_s",
            "enqueue_1024_per_s",
            PYTHON,
        ]
    }

    fn probes(&self) -> &'static [&'static str] {
        &PROBES
    }

    fn room_bytes(&self, _quick: bool) -> u64 {
        2 << 30
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let mut probes = Probes::start(bench)?;
        for round in 1..=bench.scale.rounds {
            bench.round(self.name(), round, bench.scale.rounds);
            for (key, options, in_flight) in FROM_RUST {
                from_rust(bench, &mut probes, key, options, *in_flight)?;
            }
            from_python(bench, &mut probes)?;
            if !self.keys().iter().any(|key| !PROBES.contains(key) && bench.wants(key)) {
                in_turns(bench, &mut probes, None)?;
            }
        }
        Ok(())
    }
}

/// The machine without an engine.
struct Probes {
    disk: Probe,
    wakeups: Wakeups,
}

impl Probes {
    fn start(bench: &Bench<'_>) -> Result<Self> {
        Ok(Self { disk: Probe::create(bench.room.path())?, wakeups: Wakeups::start()? })
    }
}

/// A client in Rust on a fresh home.
fn from_rust(
    bench: &mut Bench<'_>,
    probes: &mut Probes,
    key: &'static str,
    options: &[&'static str],
    in_flight: usize,
) -> Result<()> {
    if !bench.wants(key) {
        return Ok(());
    }
    let server = bench.server(options)?;
    let (client, jobs) = (server.client()?, Jobs::nothing());
    let rate = |span| match in_flight {
        1 => jobs.one_by_one(&client, span),
        _ => jobs.in_flight(&client, in_flight, span),
    };
    rate(bench.scale.warm_up)?;
    let turn = bench.scale.span / TURNS;
    in_turns(bench, probes, Some((key, &mut || rate(turn))))?;
    bench.put_away(server);
    Ok(())
}

fn from_python(bench: &mut Bench<'_>, probes: &mut Probes) -> Result<()> {
    if !bench.wants(PYTHON) {
        return Ok(());
    }
    let server = bench.server(&[])?;
    let mut program = Program::start(bench, "bench_enqueue.py", server.home())?;
    let jobs = bench.scale.python_jobs / TURNS as usize;
    program.ask(jobs / 4)?;
    let mut rate = || Ok(jobs as f64 / program.ask(jobs)?.iter().sum::<f64>());
    in_turns(bench, probes, Some((PYTHON, &mut rate)))?;
    drop(program);
    bench.put_away(server);
    Ok(())
}

/// One round of a rate, if there is one, in turns with the probes: a virtual machine may be ten times slower from one
/// second to the next.
fn in_turns(
    bench: &mut Bench<'_>,
    probes: &mut Probes,
    mut figure: Option<(&'static str, &mut dyn FnMut() -> Result<f64>)>,
) -> Result<()> {
    let span = bench.scale.span / TURNS / 2;
    let (mut rates, mut syncs, mut trips) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        if bench.wants(PROBE_PER_S) {
            syncs.push(probes.disk.per_second(span)?);
        }
        if bench.wants(WAKEUP_PER_S) {
            trips.push(probes.wakeups.per_second(span / 2)?);
        }
        if let Some((_, rate)) = &mut figure {
            rates.push(rate()?);
        }
    }
    let rates = figure.map(|(key, _)| (key, rates));
    for (key, values) in rates.into_iter().chain([(PROBE_PER_S, syncs), (WAKEUP_PER_S, trips)]) {
        if let Some(value) = mean(&values) {
            bench.add(key, value);
        }
    }
    Ok(())
}
