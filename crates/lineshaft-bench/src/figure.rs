//! The table of figures.

use crate::goal::Goal::{self, AtLeast, AtLeastProbe, AtMost, AtMostBesideProbe, Below};

/// Durable writes back to back.
pub const PROBE_PER_S: &str = "probe_fdatasync_per_s";
/// Median of paced durable writes.
pub const PROBE_P50: &str = "probe_fdatasync_p50_us";
/// 99th percentile of paced durable writes.
pub const PROBE_P99: &str = "probe_fdatasync_p99_us";
/// The longest durable write during the minutes of full load.
pub const PROBE_MAX: &str = "probe_fdatasync_max_ms";

/// Messages back and forth between two threads that sleep until they are woken, back to back.
pub const WAKEUP_PER_S: &str = "probe_wakeup_per_s";
/// Median of paced ones.
pub const WAKEUP_P50: &str = "probe_wakeup_p50_us";
/// 99th percentile of paced ones.
pub const WAKEUP_P99: &str = "probe_wakeup_p99_us";

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Its key in the JSON document. The unit is its end.
    pub key: &'static str,
    /// What it should come to.
    pub goal: Goal,
    /// Whether the Python package is needed to measure it.
    pub python: bool,
}

const fn figure(key: &'static str, goal: Goal) -> Figure {
    Figure { key, goal, python: false }
}

const fn python(key: &'static str, goal: Goal) -> Figure {
    Figure { key, goal, python: true }
}

const fn of_probe(times: f64, cap: f64) -> Goal {
    AtLeastProbe { times, probe: PROBE_PER_S, cap }
}

const fn beside(own: f64, times: f64, probe: &'static str) -> Goal {
    AtMostBesideProbe { own, times, probe }
}

/// Every figure, in the order in which they are shown.
pub const FIGURES: &[Figure] = &[
    figure(PROBE_PER_S, Goal::None),
    figure(WAKEUP_PER_S, Goal::None),
    figure("enqueue_1_per_s", of_probe(0.8, 10_000.0)),
    figure("enqueue_1_os_per_s", AtLeast(25_000.0)),
    figure("enqueue_64_per_s", of_probe(15.0, 100_000.0)),
    figure("enqueue_1024_per_s", of_probe(40.0, 300_000.0)),
    python("enqueue_many_python_per_s", AtLeast(300_000.0)),
    figure(PROBE_P50, Goal::None),
    figure(PROBE_P99, Goal::None),
    figure(WAKEUP_P50, Goal::None),
    figure(WAKEUP_P99, Goal::None),
    python("start_p50_us", beside(300.0, 1.0, PROBE_P50)),
    python("start_p99_us", beside(800.0, 1.0, PROBE_P99)),
    python("roundtrip_p50_us", beside(600.0, 2.0, PROBE_P50)),
    python("roundtrip_p99_us", beside(1_500.0, 2.0, PROBE_P99)),
    python("drain_python_per_s", AtLeast(100_000.0)),
    figure("drain_rust_per_s", AtLeast(250_000.0)),
    python("server_cpu_us_per_job", AtMost(6.0)),
    python("worker_cpu_us_per_job", AtMost(4.0)),
    figure("bytes_per_queued_job", AtMost(100.0)),
    figure("spilled_bytes_per_job", Goal::None),
    figure("spilled_drain_ratio", Goal::None),
    figure("queued_10m_bytes", Below((1_u64 << 30) as f64)),
    figure("disk_bytes_per_job", AtMost(500.0)),
    figure("disk_empty_home_bytes", AtMost((16_u64 << 20) as f64)),
    figure("restart_1m_s", AtMost(1.0)),
    python("cold_start_s", AtMost(0.25)),
    python("child_kill_rerun_ms", AtMost(300.0)),
    python("worker_kill_rerun_ms", AtMost(1_000.0)),
    python("server_kill_resume_ms", AtMost(1_000.0)),
    python("kills_lost_jobs", AtMost(0.0)),
    figure("history_page_p99_ms", AtMost(50.0)),
    figure(PROBE_MAX, Goal::None),
    figure("commit_stall_over_probe_max", AtMost(5.0)),
    figure("backup_wait_p99_ratio", Goal::None),
    figure("backup_stall_ratio", Goal::None),
    figure("backup_stall_max_ms", Goal::None),
    figure("growth_ratio", AtLeast(0.9)),
    figure("soak_jobs", Goal::None),
    figure("soak_per_s", Goal::None),
    figure("soak_disk_growth", AtMost(1.1)),
    figure("soak_memory_growth", AtMost(1.1)),
    figure("soak_latency_growth", AtMost(1.25)),
    figure("soak_cpu_growth", AtMost(1.1)),
    figure("soak_lost_jobs", AtMost(0.0)),
];

/// The figure with this key.
pub fn figure_of(key: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.key == key)
}

/// A number for people: three digits that matter, thousands apart.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size < 100.0 && value.fract() != 0.0 {
        let digits = if size < 1.0 { 3 } else { 1 + usize::from(size < 10.0) };
        let text = format!("{value:.digits$}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{size:.0}");
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_unique_and_goals_name_probes_that_exist() {
        let keys: BTreeSet<&str> = FIGURES.iter().map(|figure| figure.key).collect();
        assert_eq!(keys.len(), FIGURES.len());
        for probe in FIGURES.iter().filter_map(|figure| figure.goal.probe()) {
            assert!(keys.contains(probe), "{probe}");
        }
    }

    #[test]
    fn numbers_are_for_people() {
        let cases = [
            (0.0, "0"),
            (0.25, "0.25"),
            (0.0468, "0.047"),
            (4.0, "4"),
            (0.8, "0.8"),
            (3.25902, "3.26"),
            (42.25, "42.2"),
            (799.6, "800"),
            (10_000.0, "10,000"),
            (1_073_741_824.0, "1,073,741,824"),
            (-1234.5, "-1,234"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected, "{value}");
        }
    }
}
