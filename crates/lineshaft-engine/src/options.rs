//! How an engine is run.

use std::time::Duration;

use lineshaft_jobs::Limits;
use lineshaft_store::Durability;

use crate::clock::Clock;
use crate::spill::Memory;

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
    /// Bytes of all blocks; the oldest files of them go first, the newest stays. Default 10 GiB.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(7 * 86_400), bytes: 10 << 30 }
    }
}

/// How much room a home takes beyond what is needed.
#[derive(Clone, Copy, Debug)]
pub struct Upkeep {
    /// How long a finished job may wait for a block of the archive to fill. Default 60 s.
    pub block_age: Duration,
    /// Journal bytes after which a snapshot is worth taking, if what it would write is at most a quarter of that. Default
    /// 64 MiB.
    pub snapshot_every_bytes: u64,
    /// Segments that are kept for payloads alone may take four times what is needed of them, and this. Default 256 MiB.
    pub journal_slack_bytes: u64,
    /// Cold files may take twice what is needed of them, and this. Default 64 MiB.
    pub cold_slack_bytes: u64,
    /// Payload bytes of one cold file. Default 64 MiB.
    pub cold_file_bytes: u64,
    /// Payload bytes copied in a second, at most. Default 32 MiB.
    pub copy_bytes_per_second: u64,
    /// How often it is asked whether copying is worth it. Default 5 s.
    pub look_every: Duration,
    /// How often blobs are looked through for those that nobody needs. Default 10 min.
    pub sweep_every: Duration,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            block_age: Duration::from_secs(60),
            snapshot_every_bytes: 64 << 20,
            journal_slack_bytes: 256 << 20,
            cold_slack_bytes: 64 << 20,
            cold_file_bytes: 64 << 20,
            copy_bytes_per_second: 32 << 20,
            look_every: Duration::from_secs(5),
            sweep_every: Duration::from_secs(600),
        }
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
    /// When finished jobs and payloads move, and blobs are swept.
    pub upkeep: Upkeep,
    /// What jobs may take of memory.
    pub memory: Memory,
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
            upkeep: Upkeep::default(),
            memory: Memory::default(),
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
