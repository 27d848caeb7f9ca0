//! A queue that is filled while it stands still and then purged, with more jobs than one commit cancels: snapshots are taken
//! in the middle of that, and starts go on from them.

use lineshaft_wire::message::QueueVerb;

use super::asks::{self, Ask, QUEUES};
use super::plan::generator_of;
use super::world::Step;

/// Jobs that the engine cancels in one step of a purge in such a run, and journal bytes after which it takes a snapshot.
pub(super) const STEP: usize = 1;
pub(super) const SNAPSHOT_EVERY_BYTES: u64 = 1_000;

/// What a producer asks for beside its requests.
pub(super) struct Flood {
    queue: &'static str,
    jobs: usize,
    /// Requests that are left when it begins; the purge comes with the next one.
    left: u32,
}

impl Flood {
    /// In one run of ten.
    pub(super) fn of(seed: u64) -> Option<Self> {
        let mut rng = generator_of(seed, "flood");
        let (queue, jobs, left) = (QUEUES[rng.usize(..QUEUES.len())], rng.usize(20..50), rng.u32(1..4));
        (rng.u32(..10) == 0).then_some(Self { queue, jobs, left })
    }

    /// What is asked for when so many requests are left; `call` counts what asks for jobs.
    pub(super) fn asks(&self, left: u32, producer: u16, call: &mut u32, step: &mut Step<'_>) -> Vec<Ask> {
        let mut jobs = |queue, lengths: Vec<usize>| {
            *call += 1;
            asks::jobs(producer, *call, queue, &lengths, step)
        };
        if left == self.left {
            let small = jobs(self.queue, (0..self.jobs).map(|place| 20 + place).collect());
            vec![asks::change(self.queue.into(), QueueVerb::Pause).into(), small]
        } else if left + 1 == self.left {
            // Enough to be worth a snapshot, while little is cancelled yet.
            let large = QUEUES.map(|queue| jobs(queue, vec![2_000; 2]));
            let purge = asks::change(self.queue.into(), QueueVerb::Purge).into();
            std::iter::once(purge).chain(large).collect()
        } else {
            Vec::new()
        }
    }
}
