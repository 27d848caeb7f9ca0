//! The groups: figures that are measured together, one file each.

mod backup;
mod cold;
mod drain;
mod enqueue;
mod growth;
mod history;
mod kills;
mod memory;
mod restart;
mod soak;
mod spill;
mod stall;
mod start;

use lineshaft::client::Client;

use crate::bench::Bench;
use crate::error::Result;
use crate::server::Server;

/// Figures that are measured together.
pub trait Group: Sync {
    /// Its name, by which it is chosen.
    fn name(&self) -> &'static str;

    /// The keys of its figures.
    fn keys(&self) -> &'static [&'static str];

    /// Those of them that are of the disk, measured in turns with whichever of the others are wanted.
    fn probes(&self) -> &'static [&'static str] {
        &[]
    }

    /// What it writes at most at a time.
    fn room_bytes(&self, quick: bool) -> u64;

    /// Whether a run measures it only if it is named.
    fn only_when_named(&self) -> bool {
        false
    }

    /// Measures those of its figures that are wanted.
    #[expect(private_interfaces, reason = "only this crate has groups")]
    fn measure(&self, bench: &mut Bench<'_>) -> Result<()>;
}

/// Every group, in the order in which they are measured.
pub const GROUPS: &[&dyn Group] = &[
    &enqueue::Enqueue,
    &start::Start,
    &drain::Drain,
    &memory::Memory,
    &spill::Spill,
    &restart::Restart,
    &cold::Cold,
    &kills::Kills,
    &history::History,
    &stall::Stall,
    &backup::Backup,
    &growth::Growth,
    &soak::Soak,
];

/// Jobs that are ready to be run.
fn queued(client: &Client) -> Result<u64> {
    Ok(Server::status(client)?.queues.iter().map(|queue| queue.available).sum())
}
