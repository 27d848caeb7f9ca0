//! The clocks: `run_after` and deadlines go by the wall clock, leases and timeouts by the one that never goes back.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lineshaft::home::Home;

use super::finding::Finding;
use crate::context::Context;
use crate::times::{now_ms, rfc3339};

/// How long the clocks are compared.
const WATCH: Duration = Duration::from_millis(200);
/// A wall clock that gains or loses more than this meanwhile was set.
const SLIP_MS: u64 = 20;
/// 2025: no version of this is older.
const EARLIEST_MS: u64 = 1_735_689_600_000;
/// What is there while somebody keeps the clock right.
const KEEPERS: [(&str, &str); 4] = [
    ("/run/systemd/timesync/synchronized", "systemd-timesyncd has synchronised it"),
    ("/run/chrony/chronyd.pid", "chronyd keeps it"),
    ("/run/chronyd.pid", "chronyd keeps it"),
    ("/run/ntpd.pid", "ntpd keeps it"),
];

pub(super) fn check(_: &Home, _: &mut Context) -> Vec<Finding> {
    let (began, wall) = (Instant::now(), now_ms());
    thread::sleep(WATCH);
    let passed = began.elapsed().as_millis() as u64;
    let slip = now_ms().abs_diff(wall + passed);
    let keeper = KEEPERS.iter().find(|(path, _)| Path::new(path).exists()).map(|(_, words)| *words);
    vec![judge(wall, slip, keeper)]
}

fn judge(wall_ms: u64, slip_ms: u64, keeper: Option<&str>) -> Finding {
    const FIX: &str = "let a time service keep it (`timedatectl set-ntp true`)";
    if wall_ms < EARLIEST_MS {
        return Finding::problem("clock", format!("the wall clock says {}", rfc3339(wall_ms)), FIX);
    }
    if slip_ms > SLIP_MS {
        let message = format!("the wall clock jumped by {slip_ms} ms while it was watched");
        return Finding::warning("clock", message, FIX);
    }
    let keeper = keeper.unwrap_or("it is not known who keeps it");
    Finding::fine("clock", format!("the wall clock runs evenly; {keeper}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity::{Fine, Problem, Warning};
    use super::*;

    #[test]
    fn a_clock_that_jumps_or_was_never_set_is_told() {
        let now = EARLIEST_MS + 1;
        let severities =
            [judge(5_000, 0, None), judge(now, 21, None), judge(now, 2, None)].map(|found| found.severity);
        assert_eq!(severities, [Problem, Warning, Fine]);
        assert!(judge(now, 0, Some("chronyd keeps it")).message.ends_with("; chronyd keeps it"));
    }
}
