//! What the attempts of each task came to and took, all of them since they are counted.
//!
//! It follows from the changes alone, in integers, and stands in the snapshots: a start loses nothing of it. A task has
//! its own in each of its versions.

use std::sync::Arc;

use lineshaft_structures::Sketch;
use lineshaft_wire::message::{Spread, TaskStatistics};
use lineshaft_wire::{Measures, Outcome, task};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// Tasks and versions that are counted; beyond them the one whose last attempt is longest ago is forgotten.
pub const TASKS_MAX: usize = 1_000;

/// By task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics(FxHashMap<Arc<str>, Counts>);

/// An attempt that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) finished_ms: u64,
    pub(crate) waited_ms: u64,
    pub(crate) measures: Measures,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Of one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    since_ms: u64,
    until_ms: u64,
    outcomes: [u64; 8],
    #[serde(with = "parts")]
    ran: Sketch,
    #[serde(with = "parts")]
    waited: Sketch,
    #[serde(with = "parts")]
    cpu: Sketch,
    children_cpu_us: u64,
    collected_us: u64,
    peak_growth_bytes_max: Option<u64>,
    cache_hits: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// Of those attempts of which it is known: for how long they had their interpreter's lock, and how long they ran,
    /// microseconds. In snapshots they stand behind all [rows](Statistics::gil_rows), since earlier layouts do not have them.
    #[serde(skip)]
    gil: [u64; 2],
}

impl Statistics {
    /// An attempt of `task` ended.
    pub(crate) fn count(&mut self, task: &Arc<str>, ended: &Ended) {
        if !self.0.contains_key(task) {
            self.make_room();
            self.0.insert(Arc::clone(task), Counts { since_ms: ended.finished_ms, ..Counts::default() });
        }
        if let Some(counts) = self.0.get_mut(task) {
            counts.count(ended);
        }
    }

    fn make_room(&mut self) {
        if self.0.len() < TASKS_MAX {
            return;
        }
        let oldest = self.0.iter().min_by_key(|(task, counts)| (counts.until_ms, *task));
        if let Some(task) = oldest.map(|(task, _)| Arc::clone(task)) {
            self.0.remove(&task);
        }
    }

    /// What is counted of each, in the order of their names.
    pub(crate) fn rows(&self) -> Vec<(Arc<str>, Counts)> {
        let mut rows: Vec<_> =
            self.0.iter().map(|(task, counts)| (Arc::clone(task), counts.clone())).collect();
        rows.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        rows
    }

    /// With these [rows](Self::rows); `None` if there are too many.
    pub(crate) fn of_rows(rows: Vec<(Arc<str>, Counts)>) -> Option<Self> {
        (rows.len() <= TASKS_MAX).then(|| Self(rows.into_iter().collect()))
    }

    /// What rows that were counted before do not hold, in their order.
    pub(crate) fn gil_rows(rows: &[(Arc<str>, Counts)]) -> Vec<[u64; 2]> {
        rows.iter().map(|(_, counts)| counts.gil).collect()
    }

    /// Puts that back.
    pub(crate) fn put_gil_back(rows: &mut [(Arc<str>, Counts)], gil: Vec<[u64; 2]>) {
        rows.iter_mut().zip(gil).for_each(|((_, counts), gil)| counts.gil = gil);
    }

    /// Of `wanted`, in each of its versions or in the one that it names, or of all tasks.
    pub(crate) fn reports(&self, wanted: Option<&str>) -> Vec<TaskStatistics> {
        let is_wanted = |name: &Arc<str>| wanted.is_none_or(|wanted| task::is_of(name, wanted));
        let found = self.0.iter().filter(|(name, _)| is_wanted(name));
        let mut reports: Vec<_> = found.map(|(name, counts)| counts.report(name)).collect();
        reports.sort_unstable_by(|one, other| task::split(&one.task).cmp(&task::split(&other.task)));
        reports
    }
}

impl Counts {
    fn count(&mut self, ended: &Ended) {
        self.until_ms = self.until_ms.max(ended.finished_ms);
        self.outcomes[ended.outcome as usize] += 1;
        self.waited.add(ended.waited_ms.saturating_mul(1_000));
        let Measures { ran_us, cpu_us, children_cpu_us, collected_us, peak_growth_bytes, cache_hits, gil_us } =
            ended.measures;
        ran_us.into_iter().for_each(|ran| self.ran.add(ran));
        cpu_us.into_iter().for_each(|cpu| self.cpu.add(cpu));
        let [gil, gil_ran] = &mut self.gil;
        let sums = [
            (gil, gil_us.unwrap_or(0)),
            (gil_ran, gil_us.and(ran_us).unwrap_or(0)),
            (&mut self.children_cpu_us, children_cpu_us.unwrap_or(0)),
            (&mut self.collected_us, collected_us.unwrap_or(0)),
            (&mut self.cache_hits, cache_hits.unwrap_or(0)),
            (&mut self.bytes_in, ended.bytes_in),
            (&mut self.bytes_out, ended.bytes_out),
        ];
        for (sum, more) in sums {
            *sum = sum.saturating_add(more);
        }
        self.peak_growth_bytes_max = self.peak_growth_bytes_max.max(peak_growth_bytes);
    }

    fn report(&self, task: &Arc<str>) -> TaskStatistics {
        TaskStatistics {
            task: Arc::clone(task),
            since: self.since_ms,
            until: self.until_ms,
            outcomes: self.outcomes,
            ran: spread(&self.ran),
            waited: spread(&self.waited),
            cpu: spread(&self.cpu),
            children_cpu_us: self.children_cpu_us,
            collected_us: self.collected_us,
            peak_growth_bytes_max: self.peak_growth_bytes_max,
            cache_hits: self.cache_hits,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            gil_us: self.gil[0],
            gil_ran_us: self.gil[1],
            calls: 0,
            repeated: 0,
        }
    }
}

fn spread(sketch: &Sketch) -> Spread {
    Spread {
        count: sketch.count(),
        total_us: sketch.sum(),
        p50_us: sketch.quantile(50, 100),
        p90_us: sketch.quantile(90, 100),
        p99_us: sketch.quantile(99, 100),
        max_us: sketch.max(),
    }
}

/// A sketch as its parts.
mod parts {
    use lineshaft_structures::Sketch;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(sketch: &Sketch, serializer: S) -> Result<S::Ok, S::Error> {
        sketch.parts().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sketch, D::Error> {
        let (sum, max, first, bins) = Deserialize::deserialize(deserializer)?;
        Sketch::from_parts(sum, max, first, bins).ok_or_else(|| D::Error::custom("no such sketch"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(finished_ms: u64) -> Ended {
        let measures = Measures { ran_us: Some(10), ..Measures::default() };
        Ended { outcome: Outcome::Errored, finished_ms, waited_ms: 1, measures, bytes_in: 3, bytes_out: 4 }
    }

    #[test]
    fn the_task_that_ran_longest_ago_is_forgotten_for_another() {
        let mut statistics = Statistics::default();
        let name = |number: usize| Arc::from(format!("shop.task{number}"));
        (0..TASKS_MAX).for_each(|number| statistics.count(&name(number), &ended(number as u64)));
        statistics.count(&name(0), &ended(5_000));
        statistics.count(&name(TASKS_MAX), &ended(6_000));
        let of = |task: &str| statistics.reports(Some(task)).len();
        assert_eq!(
            (statistics.0.len(), of("shop.task0"), of("shop.task1"), of("shop.task2")),
            (TASKS_MAX, 1, 0, 1)
        );
    }

    #[test]
    fn versions_are_counted_apart_and_found_together() {
        let mut statistics = Statistics::default();
        for task in ["shop.send v10", "shop.send", "shop.send v2", "shop.sender"] {
            statistics.count(&task.into(), &ended(1));
        }
        let found = |wanted| {
            let reports = statistics.reports(wanted).into_iter();
            reports.map(|report| report.task.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(Some("shop.send")), ["shop.send", "shop.send v2", "shop.send v10"]);
        assert_eq!(found(Some("shop.send v2")), ["shop.send v2"]);
        assert_eq!(found(None), ["shop.send", "shop.send v2", "shop.send v10", "shop.sender"]);
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut statistics = Statistics::default();
        (0..100).for_each(|at| statistics.count(&"shop.send".into(), &ended(at)));
        let rows = statistics.rows();
        let bytes = postcard::to_allocvec(&rows).unwrap();
        let read = Statistics::of_rows(postcard::from_bytes(&bytes).unwrap()).unwrap();
        assert_eq!(read.rows(), rows);
        assert_eq!(read.reports(None), statistics.reports(None));
        let report = &read.reports(None)[0];
        assert_eq!((report.outcomes[1], report.ran.total_us, report.bytes_in), (100, 1_000, 300));
        assert_eq!(
            (report.since, report.until, report.cpu, report.peak_growth_bytes_max),
            (0, 99, Spread::default(), None)
        );
    }
}
