//! How many jobs a second are made durable, in turns with as many syncs as the disk does back to back.

use super::Group;
use crate::bench::Bench;
use crate::error::Result;
use crate::figure::PROBE_PER_S;
use crate::load::Jobs;
use crate::probe::Probe;
use crate::programs::Program;
use crate::stats::mean;

const PYTHON: &str = "enqueue_many_python_per_s";
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
            "enqueue_1_per_s",
            "enqueue_1_os_per_s",
            "enqueue_64_per_s",
            "enqueue_1024_per_s",
            PYTHON,
        ]
    }

    fn probes(&self) -> &'static [&'static str] {
        &[PROBE_PER_S]
    }

    fn room_bytes(&self, _quick: bool) -> u64 {
        2 << 30
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let mut probe = Probe::create(bench.room.path())?;
        for round in 1..=bench.scale.rounds {
            bench.round(self.name(), round, bench.scale.rounds);
            for (key, options, in_flight) in FROM_RUST {
                from_rust(bench, &mut probe, key, options, *in_flight)?;
            }
            from_python(bench, &mut probe)?;
            if !self.keys().iter().any(|key| *key != PROBE_PER_S && bench.wants(key)) {
                let rate = probe.per_second(bench.scale.span)?;
                bench.add(PROBE_PER_S, rate);
            }
        }
        Ok(())
    }
}

/// A client in Rust on a fresh home.
fn from_rust(
    bench: &mut Bench<'_>,
    probe: &mut Probe,
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
    in_turns(bench, probe, key, || rate(turn))?;
    bench.put_away(server);
    Ok(())
}

fn from_python(bench: &mut Bench<'_>, probe: &mut Probe) -> Result<()> {
    if !bench.wants(PYTHON) {
        return Ok(());
    }
    let server = bench.server(&[])?;
    let mut program = Program::start(bench, "bench_enqueue.py", server.home())?;
    let jobs = bench.scale.python_jobs / TURNS as usize;
    program.ask(jobs / 4)?;
    in_turns(bench, probe, PYTHON, || Ok(jobs as f64 / program.ask(jobs)?.iter().sum::<f64>()))?;
    drop(program);
    bench.put_away(server);
    Ok(())
}

/// One round of a rate, in turns with the probe: a virtual disk may be ten times slower from one second to the next.
fn in_turns(
    bench: &mut Bench<'_>,
    probe: &mut Probe,
    key: &'static str,
    mut rate: impl FnMut() -> Result<f64>,
) -> Result<()> {
    let (mut rates, mut probes) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        if bench.wants(PROBE_PER_S) {
            probes.push(probe.per_second(bench.scale.span / TURNS / 2)?);
        }
        rates.push(rate()?);
    }
    for (key, values) in [(key, rates), (PROBE_PER_S, probes)] {
        if let Some(value) = mean(&values) {
            bench.add(key, value);
        }
    }
    Ok(())
}
