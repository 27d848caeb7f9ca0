//! What the attempts of each task came to, and took.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{OUTCOMES, Outcome};

/// Asks what the attempts of tasks came to. Answered by [`Tasks`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListTasks {
    /// Of this one alone: of all of its versions, or of one if it names [that](crate::task). Of all tasks without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Arc<str>>,
}

/// Answer to [`ListTasks`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks {
    /// One for each version of each task, in the order of their names.
    pub tasks: Vec<TaskStatistics>,
}

/// What the attempts of a task in one version came to since they are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskStatistics {
    /// The task, with its [version](crate::task).
    pub task: Arc<str>,
    /// When the first attempt that is counted ended, Unix milliseconds.
    pub since: u64,
    /// When the last one did.
    pub until: u64,
    /// Attempts by outcome, in the order of the numbers of [`Outcome`](crate::Outcome).
    pub outcomes: [u64; 8],
    /// How long bodies ran.
    pub ran: Spread,
    /// How long jobs had been ready before their attempts began.
    pub waited: Spread,
    /// CPU time of attempts, where it is known.
    pub cpu: Spread,
    /// CPU time of processes that attempts started, microseconds.
    pub children_cpu_us: u64,
    /// Time in garbage collectors, microseconds.
    pub collected_us: u64,
    /// The greatest growth of the peak of a process's memory in an attempt, bytes; `None` if none is known.
    pub peak_growth_bytes_max: Option<u64>,
    /// Calls that caches in workers answered.
    pub cache_hits: u64,
    /// For how long attempts had the lock of their interpreter, microseconds, of those where that is known, which are those
    /// that ran for some tenths of a second or more.
    pub gil_us: u64,
    /// How long these ran all together, microseconds.
    pub gil_ran_us: u64,
    /// Bytes of the arguments of attempts.
    pub bytes_in: u64,
    /// Bytes of their results and of what they printed.
    pub bytes_out: u64,
    /// Calls that came in the last hour, or since the server started if that is later.
    pub calls: u64,
    /// Those of them whose arguments had come in the hour before them.
    pub repeated: u64,
}

impl TaskStatistics {
    /// Attempts that ended.
    pub fn attempts(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Those of them that [went wrong](Outcome::is_failure).
    pub fn failures(&self) -> u64 {
        let counts = OUTCOMES.into_iter().zip(self.outcomes);
        counts.filter(|(outcome, _)| outcome.is_failure()).map(|(_, count)| count).sum()
    }

    /// The part of these among them and those that succeeded, 0 to 1; 0 without any.
    pub fn failure_rate(&self) -> f64 {
        let failures = self.failures();
        let judged = failures + self.outcomes[Outcome::Succeeded as usize];
        failures as f64 / judged.max(1) as f64
    }
}

/// How long something took, in microseconds: quantiles to 3.2 %, the rest exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// How many there were; without any everything else is 0.
    pub count: u64,
    /// All together.
    pub total_us: u64,
    /// Half of them took at most this.
    pub p50_us: u64,
    /// Nine of ten did.
    pub p90_us: u64,
    /// 99 of a hundred did.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}
