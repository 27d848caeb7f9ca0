//! The real engine in a world of its own: a clock that only moves when told to, a disk that dies, fails and forgets,
//! connections that delay and break, producers and workers that keep the rules of theirs, and an outside ledger of what
//! they were told. One thread, one seed, always the same run.
//!
//! [`run`] gives a [`Violation`] if a promise was broken: a job that was acknowledged is gone or there twice, a finished
//! one begins again, two attempts of one run at once, a fence comes twice, two hold one lock, what left the engine is not on the disk, the
//! state that is recovered is not the one that was, or something is stuck when all faults are over. [`shrink()`] makes
//! the run that shows it smaller.
//!
//! Read `plan.rs` for what a seed decides, `world.rs` for how time passes, `ledger.rs` for the promises, `producer.rs` (with `asks.rs`),
//! `worker.rs`, `child.rs`, `locker.rs` and `cacher.rs` for the rules that both sides rely on, `server.rs` for the engine's life, `put_back.rs` for a home
//! of before beside its later history.

mod asks;
mod attempt;
mod cacher;
mod child;
mod departs;
mod flood;
mod ledger;
mod locker;
mod network;
mod plan;
mod producer;
mod put_back;
mod server;
mod service;
mod shrink;
mod worker;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use plan::Plan;
pub use shrink::shrink;
use world::World;

/// Microseconds of the simulated clock since the run began.
pub(crate) type Time = u64;

const MILLISECOND: Time = 1_000;
const SECOND: Time = 1_000 * MILLISECOND;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one, and by what.
    pub what: String,
    /// What had happened before, the newest last.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        write!(f, "{}", self.what)
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Jobs that were acknowledged; all of them ended.
    pub acknowledged: u64,
    /// Locks that were held.
    pub locks: u64,
    /// Values of the cache that were found.
    pub cached: u64,
    /// Attempts whose body began.
    pub begun: u64,
    /// Times that the engine was opened.
    pub starts: u64,
    /// Operations of the disk.
    pub operations: u64,
    /// Turns that it took.
    pub turns: u64,
    /// Recoveries that were compared with the state that was.
    pub recoveries: u64,
    /// Parts of pages of jobs that were put elsewhere than into memory.
    pub spilled: u64,
    /// Seconds that passed in it.
    pub seconds: u64,
    /// A digest of who did what and when: two builds that give the same one ran the same history.
    pub history: u64,
}

/// Carries out a plan.
///
/// Errors with the promise that was broken; a panic of the engine is one too.
pub fn run(plan: &Plan) -> Result<Report, Violation> {
    carry_out(World::new(plan))
}

/// The same, with a trace in the violation.
pub fn run_traced(plan: &Plan) -> Result<Report, Violation> {
    carry_out(World::new(plan).traced())
}

fn carry_out(mut world: World) -> Result<Report, Violation> {
    let ran = catch_unwind(AssertUnwindSafe(|| world.live()));
    let ran = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(format!("it panicked: {text}"))
    });
    match ran {
        Ok(()) => Ok(world.report()),
        Err(what) => Err(Violation { what, trace: world.into_trace() }),
    }
}
