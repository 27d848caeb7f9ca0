//! How an engine is run.

use std::time::Duration;

use lineshaft_jobs::Limits;
use lineshaft_store::Durability;

use crate::clock::Clock;

/// What the engine tells others about the process around it.
#[derive(Clone, Debug, Default)]
pub struct ServerFacts {
    /// Product version.
    pub version: String,
    /// Path of the executable.
    pub executable: String,
    /// Its process id.
    pub pid: u32,
    /// The home, absolute.
    pub home: String,
    /// Started by a client's first call.
    pub on_demand: bool,
}

/// How long the archive keeps finished jobs.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Since they finished; whole UTC days are dropped. Default 7 days.
    pub age: Duration,
    /// Bytes of all blocks; oldest days go first, the newest stays. Default 10 GiB.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(7 * 86_400), bytes: 10 << 30 }
    }
}

/// How an engine is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// When a commit counts as written. Default: after fdatasync.
    pub durability: Durability,
    /// What others are told of this process.
    pub facts: ServerFacts,
    /// Sizes of tables and lengths of leases.
    pub limits: Limits,
    /// How long finished jobs are kept.
    pub retention: Retention,
    /// Finished jobs that may wait for the archive; beyond it jobs start at the archive's speed. Default 100,000.
    pub unarchived_max: u32,
    /// What time it is. Default: the machine's.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            facts: ServerFacts::default(),
            limits: Limits::default(),
            retention: Retention::default(),
            unarchived_max: 100_000,
            clock: Clock::default(),
        }
    }
}

impl Options {
    /// The defaults, for a process of which `facts` are known.
    pub fn new(facts: ServerFacts) -> Self {
        Self { facts, ..Self::default() }
    }
}
