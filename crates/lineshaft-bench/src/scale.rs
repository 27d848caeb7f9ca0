//! How large a run is.

use std::time::Duration;

/// Numbers of a run. Each figure's page names those of a full one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    /// Whether it is a quick run.
    pub(crate) is_quick: bool,
    /// Rounds of what takes seconds.
    pub(crate) rounds: usize,
    /// How long a rate is measured in one round.
    pub(crate) span: Duration,
    /// How long it is run before it is measured.
    pub(crate) warm_up: Duration,
    /// Jobs that are enqueued from Python in one round.
    pub(crate) python_jobs: usize,
    /// Turns of one second each in a round of the latencies.
    pub(crate) turns: usize,
    /// Rounds of what takes longer.
    pub(crate) long_rounds: usize,
    /// Jobs that are drained in one round, in whole blocks of the archive.
    pub(crate) drain_jobs: usize,
    /// Jobs in the history.
    pub(crate) history_jobs: usize,
    /// Pages of it that are asked for in one round.
    pub(crate) pages: usize,
    /// How long the full load is kept up.
    pub(crate) full_load: Duration,
    /// How long each of the two rates of the growth is measured in one round.
    pub(crate) growth_span: Duration,
    /// Jobs of the soak, where nobody says how many.
    pub(crate) soak_jobs: u64,
    /// How late its jobs for later are at most: short enough to wait for at the end, long enough for the journal to have
    /// moved on by many segments.
    pub(crate) soak_late: Duration,
    /// How often the soak says how it is.
    pub(crate) soak_window: Duration,
}

impl Scale {
    /// The figures as they are meant.
    pub(crate) const FULL: Self = Self {
        is_quick: false,
        rounds: 5,
        span: Duration::from_secs(2),
        warm_up: Duration::from_millis(500),
        python_jobs: 500_000,
        turns: 5,
        long_rounds: 3,
        drain_jobs: 600_000,
        history_jobs: 5_000_000,
        pages: 1_000,
        full_load: Duration::from_secs(120),
        growth_span: Duration::from_secs(20),
        soak_jobs: 200_000_000,
        soak_late: Duration::from_secs(120),
        soak_window: Duration::from_secs(30),
    };

    /// Small enough to be run while one works.
    pub(crate) const QUICK: Self = Self {
        is_quick: true,
        rounds: 2,
        span: Duration::from_millis(500),
        warm_up: Duration::from_millis(200),
        python_jobs: 100_000,
        turns: 1,
        long_rounds: 1,
        drain_jobs: 100_000,
        history_jobs: 200_000,
        pages: 400,
        full_load: Duration::from_secs(10),
        growth_span: Duration::from_secs(3),
        soak_jobs: 500_000,
        soak_late: Duration::from_secs(2),
        soak_window: Duration::from_millis(500),
    };
}
