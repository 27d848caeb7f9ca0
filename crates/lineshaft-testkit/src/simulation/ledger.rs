//! What left the engine and what attempts did, noted outside of it, and whether that keeps what is promised. `left.rs`
//! judges what leaves the engine, `kept.rs` what it holds, `queues.rs` knows which queues are paused.

mod kept;
mod left;
mod queues;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lineshaft_wire::message::{Enqueue, Message};
use lineshaft_wire::{Fence, JobId, JobState};

use super::Time;
use super::network::{Frame, Peer};
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
    /// There is no other one with this key until it has ended.
    pub(super) sole_of: Option<&'static str>,
    pub(super) has_handler: bool,
    /// It does not begin before the clock shows this.
    pub(super) not_before_ms: Option<u64>,
}

/// A job that somebody asked for.
#[derive(Debug)]
struct Asked {
    wanted: Wanted,
    /// The job, and those that repeat it.
    ids: BTreeSet<JobId>,
    /// How often it was asked for once more.
    repeats: usize,
    acknowledged: bool,
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
#[derive(Debug, Default)]
struct Known {
    origin: Option<Origin>,
    newest: Option<Fence>,
    begun: u32,
    ended: Option<(JobState, Option<Bytes>)>,
    /// Somebody asked to forget it.
    may_be_deleted: bool,
    /// The attempts that left word from where to go on, and the newest that was confirmed.
    checkpoints: BTreeSet<Fence>,
    confirmed: Option<Fence>,
    /// The job that it repeats, as far as that was said.
    repeats: Option<JobId>,
}

/// Notes and judges.
#[derive(Default)]
pub(super) struct Ledger {
    asked: BTreeMap<Tag, Asked>,
    jobs: BTreeMap<JobId, Known>,
    /// The arguments of the job that handles a failure, and whose.
    failures: BTreeMap<Bytes, JobId>,
    fences: BTreeSet<Fence>,
    /// Leases that left and that nobody gave back.
    standing: BTreeMap<Fence, (JobId, Peer)>,
    /// Attempts whose body runs, and where.
    running: BTreeMap<JobId, (Fence, Peer)>,
    pub(super) begun: u64,
    /// Leases of children that are dead, and how long the engine had been up by then, or when it started last.
    orphans: BTreeMap<Fence, (JobId, Time)>,
    /// How long the engine was up.
    pub(super) up: Time,
    /// The latest that the wall clock ever was.
    pub(super) wall_max_ms: u64,
    pauses: Pauses,
    /// Jobs that are the only ones with their key, those that ended left out sooner or later.
    sole: BTreeMap<&'static str, BTreeSet<JobId>>,
    /// The job that was looked at last, in turn.
    looked_at: Option<JobId>,
}

type Verdict = Result<(), String>;

impl Ledger {
    // ---- What others do.

    pub(super) fn asked_for(&mut self, tag: Tag, wanted: Wanted) {
        let asked = Asked { wanted, ids: BTreeSet::new(), repeats: 0, acknowledged: false, instead: None };
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
    pub(super) fn let_go(&mut self, fence: Fence) {
        self.standing.remove(&fence);
    }

    /// A child has these leases and no others.
    pub(super) fn holds(&mut self, peer: Peer, held: &[(JobId, Fence)]) {
        self.standing
            .retain(|fence, (_, holder)| *holder != peer || held.iter().any(|(_, other)| other == fence));
    }

    /// A child is dead: its leases must end.
    pub(super) fn died(&mut self, peer: Peer) {
        let up = self.up;
        let of_peer = self.standing.iter().filter(|(_, (_, holder))| *holder == peer);
        self.orphans.extend(of_peer.map(|(fence, (job, _))| (*fence, (*job, up))));
        self.standing.retain(|_, (_, holder)| *holder != peer);
    }

    /// The engine started, which gives every lease its whole time once more.
    pub(super) fn started(&mut self) {
        let up = self.up;
        self.orphans.values_mut().for_each(|(_, since)| *since = up);
    }

    /// Number of the jobs that were acknowledged.
    pub(super) fn acknowledged_count(&self) -> u64 {
        self.asked.values().filter(|asked| asked.acknowledged).count() as u64
    }
}
