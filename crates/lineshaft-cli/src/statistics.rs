//! What attempts took, and what is counted of tasks, as text for people.

use lineshaft_wire::message::{Spread, TaskStatistics};
use lineshaft_wire::record::OUTCOMES;
use lineshaft_wire::{AttemptRecord, Measures};

use crate::show::{bytes, grouped};
use crate::table::{GiveWay, pairs, table};
use crate::times::{relative, rfc3339, took};

/// A table of what attempts took; nothing if that is known of none.
pub(crate) fn accounts(attempts: &[AttemptRecord]) -> Vec<String> {
    let is_known = |attempt: &&AttemptRecord| attempt.waited_ms.is_some() || !attempt.measures.is_empty();
    let known: Vec<_> = attempts.iter().filter(is_known).collect();
    if known.is_empty() {
        return Vec::new();
    }
    let row = |attempt: &&AttemptRecord| {
        let Measures { cpu_us, gil_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits, .. } =
            attempt.measures;
        let time = |us: Option<u64>| us.map_or_else(unknown, seconds);
        [
            attempt.number.to_string(),
            time(attempt.waited_ms.map(|ms| ms * 1_000)),
            time(cpu_us),
            time(gil_us),
            time(children_cpu_us),
            time(collected_us),
            peak_growth_bytes.map_or_else(unknown, |more| format!("+{}", bytes(more))),
            cache_hits.map_or_else(unknown, grouped),
        ]
    };
    let rows: Vec<[String; 8]> = known.iter().map(row).collect();
    let heading = ["ATTEMPT", "WAITED", "CPU", "GIL", "CHILDREN", "COLLECTING", "MEMORY", "CACHE HITS"];
    table(heading, &rows, GiveWay::default(), None)
}

/// A table of tasks.
pub(crate) fn task_table(tasks: &[TaskStatistics], columns: Option<usize>) -> Vec<String> {
    let row = |task: &TaskStatistics| {
        let repeated = if task.calls > 0 { percent(task.repeated, task.calls) } else { unknown() };
        [
            task.task.to_string(),
            grouped(task.attempts()),
            format!("{:.1} %", task.failure_rate() * 100.0),
            of_some(&task.ran, task.ran.p50_us),
            of_some(&task.ran, task.ran.p99_us),
            of_some(&task.waited, task.waited.p50_us),
            of_some(&task.cpu, task.cpu.total_us),
            repeated,
        ]
    };
    let rows: Vec<[String; 8]> = tasks.iter().map(row).collect();
    let heading = ["TASK", "ATTEMPTS", "FAILED", "RAN p50", "RAN p99", "WAITED p50", "CPU", "REPEATED"];
    table(heading, &rows, GiveWay { cut: &["TASK"], leave_out: &["CPU", "WAITED p50"] }, columns)
}

/// Everything that is counted of a task.
pub(crate) fn task_stats(task: &TaskStatistics, now_ms: u64) -> Vec<String> {
    let outcomes = OUTCOMES.into_iter().zip(task.outcomes).filter(|(_, count)| *count > 0);
    let outcomes: Vec<String> =
        outcomes.map(|(outcome, count)| format!("{} {outcome}", grouped(count))).collect();
    let calls = (task.calls > 0).then(|| {
        let part = percent(task.repeated, task.calls);
        format!("{part} of {} calls repeat arguments of the last hour", grouped(task.calls))
    });
    let more = |us: u64| (us > 0).then(|| seconds(us));
    let gil = (task.gil_ran_us > 0).then(|| {
        let part = percent(task.gil_us, task.gil_ran_us);
        format!("{} in {} of longer attempts: {part}", seconds(task.gil_us), seconds(task.gil_ran_us))
    });
    let rows = [
        ("task", Some(task.task.to_string())),
        ("counted", Some(format!("{} to {}", rfc3339(task.since), relative(task.until, now_ms)))),
        ("attempts", Some(outcomes.join(", "))),
        ("failed", Some(format!("{:.1} %", task.failure_rate() * 100.0))),
        ("ran", spread(&task.ran)),
        ("waited", spread(&task.waited)),
        ("CPU", spread(&task.cpu)),
        ("GIL", gil),
        ("CPU of children", more(task.children_cpu_us)),
        ("collecting", more(task.collected_us)),
        (
            "memory",
            task.peak_growth_bytes_max.map(|more| format!("the peak grew by {} at most", bytes(more))),
        ),
        ("cache hits", (task.cache_hits > 0).then(|| grouped(task.cache_hits))),
        ("bytes", Some(format!("{} in, {} out", bytes(task.bytes_in), bytes(task.bytes_out)))),
        ("calls", calls),
    ];
    let rows: Vec<_> = rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    pairs(&rows)
}

fn spread(of: &Spread) -> Option<String> {
    (of.count > 0).then(|| {
        let [p50, p90, p99, max, total] =
            [of.p50_us, of.p90_us, of.p99_us, of.max_us, of.total_us].map(seconds);
        format!("p50 {p50}, p90 {p90}, p99 {p99}, max {max}; {total} together")
    })
}

fn of_some(of: &Spread, us: u64) -> String {
    if of.count > 0 { seconds(us) } else { unknown() }
}

fn unknown() -> String {
    "-".to_owned()
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.0} %", part as f64 * 100.0 / whole as f64)
}

/// A time in three digits: `840 us`, `12.4 ms`, `1.25 s`, `3.2 h`.
fn seconds(us: u64) -> String {
    took(us as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (us, text) in [
            (0, "0 us"),
            (999, "999 us"),
            (1_250, "1.25 ms"),
            (12_340, "12.3 ms"),
            (999_400, "999 ms"),
            (1_000_000, "1.00 s"),
            (90_000_000, "1.50 min"),
            (360_000_000_000, "100 h"),
        ] {
            assert_eq!(seconds(us), text);
        }
    }

    #[test]
    fn a_task_says_what_it_came_to_and_leaves_out_what_it_has_not() {
        let spread =
            Spread { count: 2, total_us: 3_000, p50_us: 1_000, p90_us: 2_000, p99_us: 2_000, max_us: 2_000 };
        let task = TaskStatistics {
            task: "shop.send v2".into(),
            since: 1_790_000_000_000,
            until: 1_790_000_100_000,
            outcomes: [3, 1, 0, 0, 0, 1, 0, 0],
            ran: spread,
            calls: 100,
            repeated: 71,
            bytes_in: 2_048,
            ..TaskStatistics::default()
        };
        let text = task_stats(&task, 1_790_000_103_000).join("\n");
        for part in [
            "3 succeeded, 1 errored, 1 cancelled",
            "25.0 %",
            "p99 2.00 ms",
            "71 % of 100 calls",
            "2.0 KiB in",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("CPU") && !text.contains("cache"), "{text}");
        assert_eq!(task_table(&[task], None).len(), 2);
    }

    #[test]
    fn an_attempt_of_which_nothing_is_known_is_not_shown() {
        assert_eq!(accounts(&[]), Vec::<String>::new());
    }
}
