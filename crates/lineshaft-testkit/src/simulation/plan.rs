//! What a run is made of. Everything follows from the seed; a smaller plan of the same seed leaves parts out.

use super::{MILLISECOND, SECOND, Time};

/// What a run is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Decides everything that the other fields leave open.
    pub seed: u64,
    /// Producers.
    pub producers: u32,
    /// Workers, each with its children.
    pub workers: u32,
    /// Requests of each producer.
    pub requests: u32,
    /// Which of the seed's faults happen, by number, ascending.
    pub faults: Vec<u32>,
    /// The machine dies at this operation of its disk, from 1, beside the other faults.
    pub power_cut: Option<u64>,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server's process is killed; what it wrote is there.
    Kill { down: Time },
    /// The same again and again, and a supervisor with its children the first time: nobody says what became of those.
    KeepsDying { every: Time, times: u32, worker: Option<u64> },
    /// As soon as there is a lease all workers die with nobody left to tell of it, nobody asks for anything, and servers
    /// are killed again and again, so many times: that of its own is all that a server does.
    Deserted { every: Time, times: u32, looks: u32 },
    /// Its machine dies at the so many-th operation of the disk from here, or while it starts again.
    PowerCut { operations: u64, down: Time },
    /// The server's process gets no processor for so long.
    Stall { time: Time },
    /// A connection breaks; each end notices later.
    Cut { victim: u64, noticed: Time },
    /// Nothing gets through a connection for so long; who is impatient opens another one meanwhile.
    Hang { victim: u64, time: Time },
    /// The same to the connection of a producer, while the disk has no room until `early` before that is over: what was
    /// refused over another connection meanwhile comes in late, and there is room for it.
    HangOnFullDisk { victim: u64, time: Time, early: Time },
    /// A child of a worker dies.
    ChildDies { victim: u64 },
    /// A supervisor and its children die.
    WorkerDies { victim: u64 },
    /// A child is stopped for so long, and goes on.
    ChildStalls { victim: u64, time: Time },
    /// The wall clock is set.
    ClockStep { by_ms: i64 },
    /// The wall clock stands still for so long.
    ClockStands { time: Time },
    /// The machine is suspended: nothing goes on but the wall clock.
    Suspend { ms: u64 },
    /// A bit of what was written changes.
    FlippedBit { place: u64 },
    /// Something that was written is found at another place too, where something else should be.
    Misdirected { place: u64 },
    /// The so many-th sync of a file from here fails.
    SyncError { syncs: u64 },
    /// An operation of the disk fails, the so many-th from here.
    DiskError { operations: u64 },
    /// The disk takes so many bytes more, until it was looked at so many times.
    DiskFull { bytes: u64, looks: u32 },
}

/// How often a lease is looked for before what needs one does not happen.
const LOOKS_FOR_A_LEASE: u32 = 600;

/// Faults fall into this part of a run; it may last longer.
const FAULTY: Time = 150 * SECOND;

impl Plan {
    /// The whole run of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x9e37_79b9_7f4a_7c15);
        let (producers, workers) = (rng.u32(1..=3), rng.u32(1..=3));
        let requests = rng.u32(5..=30);
        let faults = 0..faults(seed).len() as u32;
        Self { seed, producers, workers, requests, faults: faults.collect(), power_cut: None }
    }

    /// A short run without the seed's faults, for those that are added.
    pub fn short(seed: u64) -> Self {
        Self { producers: 1, workers: 1, requests: 4, faults: Vec::new(), ..Self::of(seed) }
    }

    /// The arguments of `simulate` that carry it out.
    pub fn arguments(&self) -> String {
        let whole = Self::of(self.seed);
        let mut words = vec![format!("--seed {}", self.seed)];
        let counts = [
            ("producers", self.producers, whole.producers),
            ("workers", self.workers, whole.workers),
            ("requests", self.requests, whole.requests),
        ];
        let differing = counts.into_iter().filter(|(_, count, usual)| count != usual);
        words.extend(differing.map(|(name, count, _)| format!("--{name} {count}")));
        if self.faults.is_empty() && !whole.faults.is_empty() {
            words.push("--faults none".to_owned());
        } else if self.faults != whole.faults {
            let numbers: Vec<String> = self.faults.iter().map(u32::to_string).collect();
            words.push(format!("--faults {}", numbers.join(",")));
        }
        words.extend(self.power_cut.map(|operation| format!("--power-cut {operation}")));
        words.join(" ")
    }

    /// Its faults and when they happen, the first one first.
    pub(super) fn schedule(&self) -> Vec<(Time, Fault)> {
        let all = faults(self.seed);
        let mut schedule: Vec<_> =
            self.faults.iter().filter_map(|number| all.get(*number as usize).copied()).collect();
        schedule.sort_by_key(|(at, _)| *at);
        schedule
    }
}

/// Every fault of a seed. Each has its own generator, so that leaving one out changes no other.
fn faults(seed: u64) -> Vec<(Time, Fault)> {
    let mut rng = fastrand::Rng::with_seed(seed);
    // Some runs are quiet, so that long ones without a restart happen too.
    let count = [0, 2, 4, 8, 12][rng.usize(..5)];
    // A damaged disk ends what can be said of a run, so it is one of few.
    let is_damaged = rng.u32(..12) == 0;
    let generator = |number: u64| fastrand::Rng::with_seed(seed.wrapping_mul(31).wrapping_add(number));
    let mut faults: Vec<_> = (0..count).map(|number| fault(&mut generator(number))).collect();
    if is_damaged {
        let (at, place) = (rng.u64(..FAULTY), rng.u64(..));
        let is_bit = rng.u32(..3) > 0;
        faults.push((at, if is_bit { Fault::FlippedBit { place } } else { Fault::Misdirected { place } }));
    }
    faults.extend(desertion(&mut generator_of(seed, "desertion")));
    faults
}

/// A generator for one matter alone, so that what is added to runs leaves the others as they were.
pub(super) fn generator_of(seed: u64, matter: &str) -> fastrand::Rng {
    // FNV-1a.
    let mixed = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    fastrand::Rng::with_seed(matter.bytes().fold(seed, mixed))
}

/// In one run of ten.
fn desertion(rng: &mut fastrand::Rng) -> Option<(Time, Fault)> {
    let (at, every) = (rng.u64(..FAULTY), rng.u64(700 * MILLISECOND..1_900 * MILLISECOND));
    let times = rng.u32(30..90);
    (rng.u32(..10) == 0).then_some((at, Fault::Deserted { every, times, looks: LOOKS_FOR_A_LEASE }))
}

fn fault(rng: &mut fastrand::Rng) -> (Time, Fault) {
    let at = rng.u64(..FAULTY);
    let down = [50 * MILLISECOND, SECOND, 10 * SECOND, 40 * SECOND][rng.usize(..4)];
    let victim = rng.u64(..);
    let fault = match rng.u32(..24) {
        0..=2 => Fault::Kill { down },
        3..=7 => Fault::PowerCut { operations: rng.u64(1..=60), down },
        8 => Fault::Stall { time: rng.u64(..30 * SECOND) },
        9..=10 => Fault::Cut { victim, noticed: rng.u64(..20 * SECOND) },
        11 if rng.bool() => Fault::Hang { victim, time: rng.u64(..60 * SECOND) },
        11 => {
            let (time, early) = (rng.u64(20 * SECOND..60 * SECOND), rng.u64(..2 * SECOND));
            Fault::HangOnFullDisk { victim, time, early }
        }
        12..=13 => Fault::ChildDies { victim },
        14 => Fault::WorkerDies { victim },
        15 => Fault::ChildStalls { victim, time: rng.u64(..40 * SECOND) },
        16 if rng.bool() => Fault::ClockStands { time: rng.u64(30 * SECOND..150 * SECOND) },
        16 => Fault::ClockStep { by_ms: rng.i64(-3_600_000..=3_600_000) },
        17 => Fault::Suspend { ms: rng.u64(..12 * 3_600_000) },
        18..=19 => Fault::SyncError { syncs: rng.u64(1..=20) },
        20..=21 => Fault::DiskError { operations: rng.u64(1..=60) },
        22 => {
            let (every, times) = (rng.u64(300 * MILLISECOND..2 * SECOND), rng.u32(4..80));
            Fault::KeepsDying { every, times, worker: Some(victim) }
        }
        _ => Fault::DiskFull { bytes: rng.u64(..32_768), looks: rng.u32(1..200) },
    };
    (at, fault)
}
