//! What is counted of tasks, against a list of every attempt there ever was.

use std::collections::BTreeMap;
use std::sync::Arc;

use lineshaft_jobs::State;
use lineshaft_testkit::model::{Attempt, Model};
use lineshaft_wire::Measures;
use lineshaft_wire::message::{Spread, TaskStatistics};

type Row<'a> = (&'a Attempt, u64, u64);

pub(super) fn compare(state: &State, model: &Model) {
    let mut tasks: BTreeMap<Arc<str>, Vec<Row<'_>>> = BTreeMap::new();
    for (task, attempt, arguments, result) in model.ended() {
        let row = (attempt, *arguments as u64, *result as u64);
        tasks.entry(Arc::clone(task)).or_default().push(row);
    }
    let seen = state.task_statistics(None);
    assert_eq!(seen.len(), tasks.len());
    for seen in seen {
        compare_task(&seen, &tasks[&seen.task]);
    }
}

fn compare_task(seen: &TaskStatistics, rows: &[Row<'_>]) {
    let attempts = || rows.iter().map(|row| row.0);
    let sum = |of: fn(&Measures) -> Option<u64>| attempts().filter_map(|it| of(&it.measures)).sum::<u64>();
    let mut outcomes = [0; 8];
    attempts().for_each(|attempt| outcomes[attempt.outcome as usize] += 1);
    let expected = TaskStatistics {
        task: Arc::clone(&seen.task),
        since: attempts().next().map_or(0, |first| first.finished_ms),
        until: attempts().map(|attempt| attempt.finished_ms).max().unwrap_or(0),
        outcomes,
        ran: seen.ran,
        waited: seen.waited,
        cpu: seen.cpu,
        children_cpu_us: sum(|it| it.children_cpu_us),
        collected_us: sum(|it| it.collected_us),
        peak_growth_bytes_max: attempts().filter_map(|it| it.measures.peak_growth_bytes).max(),
        cache_hits: sum(|it| it.cache_hits),
        gil_us: sum(|it| it.gil_us),
        gil_ran_us: sum(|it| it.gil_us.and(it.ran_us)),
        bytes_in: rows.iter().map(|row| row.1).sum(),
        bytes_out: rows.iter().map(|row| row.0.output.bytes.len() as u64 + row.2).sum(),
        calls: 0,
        repeated: 0,
    };
    assert_eq!(*seen, expected);
    compare_spread(seen.ran, attempts().filter_map(|it| it.measures.ran_us).collect());
    compare_spread(seen.cpu, attempts().filter_map(|it| it.measures.cpu_us).collect());
    compare_spread(seen.waited, attempts().map(|it| it.waited_ms * 1_000).collect());
}

fn compare_spread(seen: Spread, mut exact: Vec<u64>) {
    exact.sort_unstable();
    let (count, total, max) = (exact.len(), exact.iter().sum::<u64>(), exact.last().copied().unwrap_or(0));
    assert_eq!((seen.count, seen.total_us, seen.max_us), (count as u64, total, max));
    for (seen, percent) in [(seen.p50_us, 50), (seen.p90_us, 90), (seen.p99_us, 99)] {
        let exact = exact.get((count * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(0);
        assert!(seen.abs_diff(exact) as f64 <= 0.032 * exact as f64, "{percent} %: {seen} for {exact}");
    }
}
