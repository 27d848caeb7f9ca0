//! From nothing running to the first result, and what a home takes that nobody has used yet.

use std::time::Duration;

use super::Group;
use crate::bench::Bench;
use crate::cleanup::remove;
use crate::error::{Error, Result};
use crate::programs::Program;
use crate::room::used_bytes;

const COLD: &str = "cold_start_s";
const EMPTY: &str = "disk_empty_home_bytes";
/// Until a server has written what it writes ahead.
const SETTLE: Duration = Duration::from_secs(2);
const STOP: Duration = Duration::from_secs(10);

pub(super) struct Cold;

impl Group for Cold {
    fn name(&self) -> &'static str {
        "cold"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[COLD, EMPTY]
    }

    fn room_bytes(&self, _quick: bool) -> u64 {
        256 << 20
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        if bench.wants(COLD) {
            cold_start(bench)?; // warm-up: bytecode is compiled, files are in memory
        }
        for round in 1..=bench.scale.rounds {
            bench.round(self.name(), round, bench.scale.rounds);
            if bench.wants(COLD) {
                let seconds = cold_start(bench)?;
                bench.add(COLD, seconds);
            }
        }
        if bench.wants(EMPTY) {
            let server = bench.server(&[])?;
            std::thread::sleep(SETTLE);
            bench.add(EMPTY, used_bytes(server.home()) as f64);
            bench.put_away(server);
        }
        Ok(())
    }
}

/// A program on a fresh home, which starts server and worker itself.
fn cold_start(bench: &mut Bench<'_>) -> Result<f64> {
    let home = bench.room.home();
    let mut program = Program::start(bench, "bench_cold.py", &home)?;
    let seconds = program.ask(1)?.first().copied();
    program.end(STOP);
    // The server that was started on demand waits half a minute for others.
    let mut stop = bench.starter.lineshaft(&home);
    let mut stopping =
        bench.starter.spawn(stop.args(["stop", "--home"]).arg(&home), &home.with_extension("log"))?;
    stopping.wait(STOP);
    remove(&home);
    seconds.ok_or_else(|| Error::Wrong("a cold start gave no time".into()))
}
