//! What left the engine and what attempts did, noted outside of it, and whether that keeps what is promised. `left.rs`
//! judges what leaves the engine, `kept.rs` what it holds, `queues.rs` knows which queues are paused, `purges.rs` what was
//! purged, `leases.rs` how long leases stand, `locks.rs` who holds which lock, `cache.rs` what is true of the cache.

mod cache;
mod kept;
mod leases;
mod left;
mod locks;
mod purges;
mod queues;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lineshaft_jobs::State;
use lineshaft_wire::message::{Enqueue, Filter, Message};
use lineshaft_wire::{Fence, JobId, JobState};

use super::network::{Frame, Peer};
use super::{MILLISECOND, Time};
use purges::Purges;
use queues::Pauses;

/// Results above this many bytes are blobs.
const BLOB_BYTES: usize = 1 << 20;

/// Tells a job by its arguments, whatever id it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    pub(super) producer: u16,
    pub(super) call: u32,
    pub(super) place: u16,
}

impl Tag {
    pub(super) const BYTES: usize = 8;

    /// Arguments that say whose they are, so long.
    pub(super) fn payload(self, length: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(length.max(Self::BYTES));
        bytes.extend_from_slice(&self.producer.to_le_bytes());
        bytes.extend_from_slice(&self.call.to_le_bytes());
        bytes.extend_from_slice(&self.place.to_le_bytes());
        let fill = self.producer as u8 ^ self.call as u8 ^ self.place as u8;
        bytes.extend((Self::BYTES..length).map(|at| fill.wrapping_add(at as u8)));
        bytes.into()
    }

    fn of(payload: &[u8]) -> Option<Self> {
        let (producer, rest) = payload.split_first_chunk::<2>()?;
        let (call, rest) = rest.split_first_chunk::<4>()?;
        let place = rest.first_chunk::<2>()?;
        Some(Self {
            producer: u16::from_le_bytes(*producer),
            call: u32::from_le_bytes(*call),
            place: u16::from_le_bytes(*place),
        })
    }
}

/// The jobs that a request asks for.
fn tags_of(call: &Frame) -> Vec<Tag> {
    let Message::Enqueue(Enqueue { groups, .. }) = &call.message else { return Vec::new() };
    let mut rest = &call.payload[..];
    let lengths = groups.iter().flat_map(|group| &group.lengths);
    let arguments = lengths.map(|length| rest.split_off(..*length as usize).unwrap_or_default());
    arguments.filter_map(Tag::of).collect()
}

/// What an attempt returns: mostly little, now and then a blob.
pub(super) fn result_of(job: JobId, fence: Fence) -> Bytes {
    let mut bytes = own_bytes(job, fence);
    if (fence.counter ^ fence.epoch).is_multiple_of(199) {
        bytes.resize(BLOB_BYTES + fence.counter as usize % 99 + 1, fence.counter as u8);
    }
    bytes.into()
}

/// What an attempt leaves for the next one of its job.
pub(super) fn checkpoint_of(job: JobId, fence: Fence) -> Bytes {
    let mut bytes = own_bytes(job, fence);
    bytes.resize(40 + fence.counter as usize * 37 % 900, fence.counter as u8);
    bytes.into()
}

fn own_bytes(job: JobId, fence: Fence) -> Vec<u8> {
    let mut bytes = job.to_bytes().to_vec();
    bytes.extend_from_slice(&fence.epoch.to_le_bytes());
    bytes.extend_from_slice(&fence.counter.to_le_bytes());
    bytes
}

/// What somebody asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) bytes: usize,
    pub(super) queue: &'static str,
    pub(super) at_most_once: bool,
    pub(super) is_unique: bool,
    /// A job that was there already may have been found in the cache: asked once more it may be another one, or be made.
    pub(super) is_cached: bool,
    /// There is no other one with this key until it has ended.
    pub(super) sole_of: Option<&'static str>,
    pub(super) has_handler: bool,
    /// It does not begin before the clock shows this.
    pub(super) not_before_ms: Option<u64>,
}

/// A job that somebody asked for.
#[derive(Clone, Debug)]
struct Asked {
    wanted: Wanted,
    /// The job, and those that repeat it.
    ids: BTreeSet<JobId>,
    /// How often it was asked for once more.
    repeats: usize,
    /// What had arrived at the engine before the request for it first did, and how often it did.
    arrived: Option<u64>,
    copies: u32,
    /// What had arrived when it was acknowledged.
    acknowledged: Option<u64>,
    /// Another job that was there already.
    instead: Option<JobId>,
}

/// Why a job is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// Somebody asked for it.
    Asked(Tag),
    /// It handles the failure of another one.
    Failure(JobId),
}

/// A job with an id.
#[derive(Clone, Debug, Default)]
struct Known {
    origin: Option<Origin>,
    newest: Option<Fence>,
    begun: u32,
    ended: Option<(JobState, Option<Bytes>)>,
    /// Somebody asked to forget it.
    may_be_deleted: bool,
    /// Somebody asked to cancel it.
    may_be_cancelled: bool,
    /// How long the engine had been up when it was said to be purged.
    purged: Option<Time>,
    /// The attempts that left word from where to go on, and the newest that was confirmed.
    checkpoints: BTreeSet<Fence>,
    confirmed: Option<Fence>,
    /// The job that it repeats, as far as that was said.
    repeats: Option<JobId>,
}

/// Notes and judges.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    pub(super) locks: locks::Locks,
    pub(super) cache: cache::Cache,
    asked: BTreeMap<Tag, Asked>,
    jobs: BTreeMap<JobId, Known>,
    /// The arguments of the job that handles a failure, and whose.
    failures: BTreeMap<Bytes, JobId>,
    fences: BTreeSet<Fence>,
    /// Leases that left and that nobody gave back.
    standing: BTreeMap<(JobId, Fence), Peer>,
    /// How long the engine had served when those were renewed last.
    renewed: BTreeMap<Fence, Time>,
    /// Attempts whose body runs, and where.
    running: BTreeMap<JobId, (Fence, Peer)>,
    pub(super) begun: u64,
    /// Leases of children that are dead, and how long the engine had been up by then; a little more with every start.
    orphans: BTreeMap<Fence, (JobId, Time)>,
    /// How long the engine was up.
    pub(super) up: Time,
    /// How much of a lease passed in all, and how long one is.
    pub(super) served: Time,
    pub(super) lease: Time,
    /// Whether the commit that what leaves was waiting for had to wait for room on the disk.
    pub(super) waited_for_room: bool,
    /// The latest that the wall clock ever was.
    pub(super) wall_max_ms: u64,
    pauses: Pauses,
    purges: Purges,
    /// Jobs that are the only ones with their key, those that ended left out sooner or later.
    sole: BTreeMap<&'static str, BTreeSet<JobId>>,
    /// The job that was looked at last, in turn.
    looked_at: Option<JobId>,
}

type Verdict = Result<(), String>;

/// How much of its last run a start does not know of, as far as the clock is concerned.
const UNWRITTEN: Time = 300 * MILLISECOND;

impl Ledger {
    // ---- What others do.

    pub(super) fn asked_for(&mut self, tag: Tag, wanted: Wanted) {
        let asked = Asked {
            wanted,
            ids: BTreeSet::new(),
            repeats: 0,
            arrived: None,
            copies: 0,
            acknowledged: None,
            instead: None,
        };
        self.asked.insert(tag, asked);
    }

    /// Somebody asks for a job once more, which makes another one if it has ended. Not if it is not known whose it is.
    pub(super) fn asked_again(&mut self, job: JobId) -> bool {
        let origin = self.jobs.get(&job).and_then(|known| known.origin);
        if let Some(Origin::Asked(tag)) = origin {
            self.asked.entry(tag).and_modify(|asked| asked.repeats += 1);
        }
        origin.is_some()
    }

    /// Somebody asks to forget a job.
    pub(super) fn deleting(&mut self, job: JobId) {
        if let Some(known) = self.jobs.get_mut(&job) {
            known.may_be_deleted = true;
        }
    }

    /// An attempt leaves word from where to go on.
    pub(super) fn leaves(&mut self, job: JobId, fence: Fence) {
        self.jobs.entry(job).or_default().checkpoints.insert(fence);
    }

    /// That word is kept.
    fn confirmed(&mut self, job: JobId, fence: Fence) {
        let known = self.jobs.entry(job).or_default();
        known.confirmed = known.confirmed.max(Some(fence));
    }

    /// A body begins.
    pub(super) fn begin(&mut self, job: JobId, fence: Fence, peer: Peer) -> Verdict {
        self.go_on(job, fence, peer)?;
        let Some(known) = self.jobs.get_mut(&job) else {
            return Err(format!("{job} begins at {peer:?}, but its lease never left the engine"));
        };
        known.begun += 1;
        self.begun += 1;
        let begun = known.begun;
        let wanted = known.origin.and_then(|origin| self.wanted(origin));
        if begun > 1 && wanted.is_some_and(|wanted| wanted.at_most_once) {
            return Err(format!(
                "{job} must run at most once and begins for the {begun}. time, with {fence}"
            ));
        }
        Ok(())
    }

    fn wanted(&self, origin: Origin) -> Option<Wanted> {
        match origin {
            Origin::Asked(tag) => self.asked.get(&tag).map(|asked| asked.wanted),
            Origin::Failure(_) => None,
        }
    }

    /// A body is able to do something, at the beginning or after it was stopped for a while.
    pub(super) fn go_on(&mut self, job: JobId, fence: Fence, peer: Peer) -> Verdict {
        match self.running.insert(job, (fence, peer)) {
            None => Ok(()),
            Some((other, elsewhere)) => Err(format!(
                "{job} runs twice: with {fence} at {peer:?}, while it runs with {other} at {elsewhere:?}"
            )),
        }
    }

    /// A body does not run any more, or is not able to do anything.
    pub(super) fn stop(&mut self, job: JobId, fence: Fence) {
        if self.running.get(&job).is_some_and(|(running, _)| *running == fence) {
            self.running.remove(&job);
        }
    }

    /// A child gives back what never began, or may have.
    pub(super) fn let_go(&mut self, lease: (JobId, Fence)) {
        self.standing.remove(&lease);
    }

    /// A child has these leases and no others.
    pub(super) fn holds(&mut self, peer: Peer, held: &[(JobId, Fence)]) {
        self.standing.retain(|lease, holder| *holder != peer || held.contains(lease));
        let standing: BTreeSet<Fence> = self.standing.keys().map(|(_, fence)| *fence).collect();
        self.renewed.retain(|fence, _| standing.contains(fence));
    }

    /// Whether somebody has a lease.
    pub(super) fn has_leases(&self) -> bool {
        !self.standing.is_empty()
    }

    /// A child is dead: its leases must end.
    pub(super) fn died(&mut self, peer: Peer) {
        let up = self.up;
        let of_peer = self.standing.iter().filter(|(_, holder)| **holder == peer);
        self.orphans.extend(of_peer.map(|((job, fence), _)| (*fence, (*job, up))));
        self.standing.retain(|_, holder| *holder != peer);
    }

    /// The engine started: what it did not write of the time that it was up before is no time to it. It may hold leases that
    /// never left, since it died as soon as they were durable.
    pub(super) fn started(&mut self, state: &State) {
        let up = self.up;
        self.orphans.values_mut().for_each(|(_, since)| *since = up.min(*since + UNWRITTEN));
        let running = Filter { states: vec![JobState::Running], ..Filter::default() };
        for slot in state.page(&running, 0, usize::MAX).slots {
            let record = state.view(slot).record;
            let known = self.jobs.entry(record.id).or_default();
            known.newest = known.newest.max(record.attempts.last().map(|attempt| attempt.fence));
        }
    }

    /// Every job that has an id.
    pub(super) fn ids(&self) -> impl Iterator<Item = JobId> + '_ {
        self.jobs.keys().copied()
    }

    /// Whether this one has left the engine.
    pub(super) fn knows(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    /// Number of the jobs that were acknowledged.
    pub(super) fn acknowledged_count(&self) -> u64 {
        self.asked.values().filter(|asked| asked.acknowledged.is_some()).count() as u64
    }
}
