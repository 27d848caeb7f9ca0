//! How soon a job's body begins and its result is back, 100 jobs a second on workers that wait, in turns with paced
//! writes and wake-ups of the probes.

use std::time::Duration;

use super::Group;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::figure::{PROBE_P50, PROBE_P99, WAKEUP_P50, WAKEUP_P99};
use crate::probe::Probe;
use crate::programs::{Program, Worker};
use crate::wakeup::Wakeups;

const PACE: Duration = Duration::from_millis(10);
/// Jobs, or writes or wake-ups of a probe, in a turn of a second.
const PER_TURN: usize = 100;
const STARTS: [&str; 2] = ["start_p50_us", "start_p99_us"];
const TRIPS: [&str; 2] = ["roundtrip_p50_us", "roundtrip_p99_us"];
const WRITES: [&str; 2] = [PROBE_P50, PROBE_P99];
const WAKEUPS: [&str; 2] = [WAKEUP_P50, WAKEUP_P99];

pub(super) struct Start;

impl Group for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[
            PROBE_P50,
            PROBE_P99,
            WAKEUP_P50,
            WAKEUP_P99,
            "start_p50_us",
            "start_p99_us",
            "roundtrip_p50_us",
            "roundtrip_p99_us",
        ]
    }

    fn probes(&self) -> &'static [&'static str] {
        &[PROBE_P50, PROBE_P99, WAKEUP_P50, WAKEUP_P99]
    }

    fn room_bytes(&self, _quick: bool) -> u64 {
        256 << 20
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let (mut probe, mut wakeups) = (Probe::create(bench.room.path())?, Wakeups::start()?);
        let server = bench.server(&[])?;
        let client = server.client()?;
        let wants_jobs = bench.wants_any(&STARTS) || bench.wants_any(&TRIPS);
        let worker = wants_jobs.then(|| Worker::python(bench, server.home(), &client)).transpose()?;
        let mut program =
            wants_jobs.then(|| Program::start(bench, "bench_latency.py", server.home())).transpose()?;
        if let Some(program) = &mut program {
            program.ask(PER_TURN)?; // warm-up
        }
        for round in 1..=bench.scale.rounds {
            bench.round(self.name(), round, bench.scale.rounds);
            one_round(bench, program.as_mut(), &mut probe, &mut wakeups)?;
        }
        drop(program);
        worker.into_iter().for_each(Worker::stop);
        bench.put_away(server);
        Ok(())
    }
}

fn one_round(
    bench: &mut Bench<'_>,
    mut program: Option<&mut Program>,
    probe: &mut Probe,
    wakeups: &mut Wakeups,
) -> Result<()> {
    let (mut starts, mut trips, mut writes, mut wakes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let microseconds = |took: Duration| took.as_secs_f64() * 1e6;
    for _ in 0..bench.scale.turns {
        writes.extend(probe.paced(PACE, PER_TURN)?.into_iter().map(microseconds));
        wakes.extend(wakeups.paced(PACE, PER_TURN)?.into_iter().map(microseconds));
        let Some(program) = program.as_deref_mut() else { continue };
        let nanoseconds = program.ask(PER_TURN)?;
        let Some((first, rest)) = nanoseconds.split_at_checked(PER_TURN) else {
            return Err(Error::Wrong("a turn of the latencies is incomplete".into()));
        };
        starts.extend(first.iter().map(|start| start / 1e3));
        trips.extend(rest.iter().map(|trip| trip / 1e3));
    }
    for (keys, values) in [(WRITES, &writes), (WAKEUPS, &wakes), (STARTS, &starts), (TRIPS, &trips)] {
        for (key, share) in keys.into_iter().zip([0.5, 0.99]) {
            bench.add_percentile(key, values, share);
        }
    }
    Ok(())
}
