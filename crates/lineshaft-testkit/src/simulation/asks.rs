//! What producers ask for: jobs of every kind, and every verb.

use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{
    Cancel, ChangeQueue, Delete, Enqueue, Fetch, Filter, Invalidate, JobGroup, List, Message, OnFailure,
    PayloadKind, QueueVerb, Retry, Rules, RunAfter, Sequence, Show, Unique, UniqueWhile, Wait,
};

use super::ledger::{Ledger, Tag, Wanted};
use super::world::Step;

/// Tasks that there are; every worker runs them all.
pub(super) const TASKS: [&str; 2] = ["shop.send", "shop.bill"];
pub(super) const QUEUES: [&str; 2] = ["default", "mail"];
/// Keys of jobs that keep their equals out.
const KEYS: [&str; 2] = ["one", "other"];
/// Keys of jobs whose results are cached.
const CACHED: [&str; 2] = ["cached one", "cached other"];
/// For how long they are.
const CACHED_MS: u64 = 5_000;
/// Jobs of one request.
const JOBS_MAX: u16 = 4;
/// Arguments above this many bytes are blobs.
const BLOB_BYTES: usize = 1 << 20;

/// A request without its place in a session, and what follows it.
pub(super) struct Ask {
    pub(super) message: Message,
    pub(super) payload: Bytes,
}

impl From<Message> for Ask {
    fn from(message: Message) -> Self {
        Self { message, payload: Bytes::new() }
    }
}

const NOWHERE: Sequence = Sequence { number: 0, lowest: 0 };

/// Something to ask: of a job that is known, or for new ones, the `call`-th of this producer.
pub(super) fn any(producer: u16, call: u32, known: &[JobId], step: &mut Step<'_>) -> Ask {
    let job = step.rng.choice(known).copied();
    let sequence = NOWHERE;
    let message: Message = match (step.rng.u32(..24), job) {
        (0..=1, Some(job)) => {
            step.ledger.cancelling(job);
            Cancel { sequence, job }.into()
        }
        (2..=3, Some(job)) => Wait { ids: job.to_bytes().to_vec().into(), results: true }.into(),
        (4, Some(job)) if step.ledger.asked_again(job) => Retry { sequence, job }.into(),
        (5, Some(job)) => {
            step.ledger.deleting(job);
            Delete { sequence, job }.into()
        }
        (6, Some(job)) => Show { job }.into(),
        (7, Some(job)) => {
            let payload = if step.rng.bool() { PayloadKind::Arguments } else { PayloadKind::Result };
            Fetch { job, payload }.into()
        }
        (8, _) if step.rng.bool() => {
            let keys = vec![CACHED[step.rng.usize(..CACHED.len())].into()];
            Invalidate { sequence, keys, prefix: step.rng.bool().then(|| "cached".into()) }.into()
        }
        (8, _) => List { filter: Filter::default(), cursor: None, limit: 100 }.into(),
        (9, _) => {
            let verb = if step.rng.u32(..3) == 0 { QueueVerb::Purge } else { QueueVerb::Pause };
            change(queue(step.rng), verb)
        }
        _ => return enqueue(producer, call, step),
    };
    message.into()
}

/// A change of a queue.
pub(super) fn change(queue: Arc<str>, verb: QueueVerb) -> Message {
    ChangeQueue { sequence: NOWHERE, queue, verb }.into()
}

/// The request with its place in the session.
pub(super) fn place(message: &mut Message, sequence: Sequence) -> bool {
    let Some(place) = message.sequence_mut() else { return false };
    *place = sequence;
    true
}

fn enqueue(producer: u16, call: u32, step: &mut Step<'_>) -> Ask {
    let rng = &mut *step.rng;
    let unique = (rng.u32(..6) == 0).then(|| unique(rng));
    let count = if unique.is_some() { 1 } else { rng.u16(1..=JOBS_MAX) };
    let (rules, queue, run_after) = (rules(rng), queue_name(rng), run_after(step.wall_ms, rng));
    let wanted = Wanted {
        bytes: 0,
        queue,
        at_most_once: rules.at_most_once,
        is_unique: unique.is_some(),
        is_cached: matches!(unique, Some((_, UniqueWhile::Cached))),
        sole_of: unique
            .as_ref()
            .and_then(|(key, while_)| (*while_ == UniqueWhile::Unfinished).then_some(*key)),
        has_handler: rules.on_failure.is_some(),
        not_before_ms: if let Some(RunAfter::At(at)) = run_after { Some(at) } else { None },
    };
    let lengths: Vec<usize> = (0..count).map(|_| length(rng)).collect();
    let group = JobGroup {
        task: task(rng),
        queue: queue.into(),
        priority: rng.u8(1..=9),
        run_after,
        expires: None,
        deadline: None,
        anew: matches!(unique, Some((_, UniqueWhile::Cached))) && rng.u32(..8) == 0,
        unique: unique.map(|(key, while_)| Unique {
            key: key.into(),
            while_,
            period_ms: (while_ == UniqueWhile::Cached).then_some(CACHED_MS),
        }),
        idempotency_key: None,
        tags: Vec::new(),
        metadata: None,
        context: None,
        rules: Arc::new(rules),
        lengths: Vec::new(),
    };
    enqueue_group(producer, call, group, &lengths, wanted, step.ledger)
}

/// Plain jobs with arguments of these lengths.
pub(super) fn jobs(
    producer: u16,
    call: u32,
    queue: &'static str,
    lengths: &[usize],
    step: &mut Step<'_>,
) -> Ask {
    let group = JobGroup { queue: queue.into(), ..JobGroup::new(TASKS[0], Vec::new()) };
    let wanted = Wanted {
        bytes: 0,
        queue,
        at_most_once: false,
        is_unique: false,
        is_cached: false,
        sole_of: None,
        has_handler: false,
        not_before_ms: None,
    };
    enqueue_group(producer, call, group, lengths, wanted, step.ledger)
}

fn enqueue_group(
    producer: u16,
    call: u32,
    mut group: JobGroup,
    lengths: &[usize],
    wanted: Wanted,
    ledger: &mut Ledger,
) -> Ask {
    let mut payload = Vec::new();
    for (place, length) in (0..).zip(lengths) {
        let tag = Tag { producer, call, place };
        payload.extend_from_slice(&tag.payload(*length));
        ledger.asked_for(tag, Wanted { bytes: *length, ..wanted });
    }
    group.lengths = lengths.iter().map(|length| *length as u32).collect();
    let request = Enqueue { sequence: NOWHERE, groups: vec![group] };
    Ask { message: request.into(), payload: payload.into() }
}

fn rules(rng: &mut fastrand::Rng) -> Rules {
    let on_failure = (rng.u32(..4) == 0).then(|| Arc::new(handler(rng)));
    Rules {
        max_attempts: rng.u32(1..=4),
        backoff_first_ms: rng.u64(..3_000),
        timeout_ms: None,
        at_most_once: rng.u32(..5) == 0,
        on_failure,
        ..Rules::default()
    }
}

fn handler(rng: &mut fastrand::Rng) -> OnFailure {
    OnFailure {
        task: task(rng),
        queue: queue(rng),
        priority: rng.u8(1..=9),
        expires_ms: None,
        deadline_ms: None,
        tags: Vec::new(),
        rules: Arc::new(Rules { max_attempts: 3, timeout_ms: None, ..Rules::default() }),
        version: 1,
    }
}

fn unique(rng: &mut fastrand::Rng) -> (&'static str, UniqueWhile) {
    let while_ = [UniqueWhile::Unfinished, UniqueWhile::Queued, UniqueWhile::Cached][rng.usize(..3)];
    let keys = if while_ == UniqueWhile::Cached { CACHED } else { KEYS };
    (keys[rng.usize(..keys.len())], while_)
}

/// Now and then a job waits, half of these for a time that the clock shows.
fn run_after(wall_ms: u64, rng: &mut fastrand::Rng) -> Option<RunAfter> {
    let after_ms = rng.u64(..20_000);
    match rng.u32(..16) {
        0 => Some(RunAfter::In(after_ms)),
        1 => Some(RunAfter::At(wall_ms + after_ms)),
        _ => None,
    }
}

/// Mostly a few bytes, now and then a blob.
fn length(rng: &mut fastrand::Rng) -> usize {
    match rng.u32(..800) {
        0 => BLOB_BYTES + rng.usize(1..5_000),
        1..100 => rng.usize(1_000..3_000),
        _ => rng.usize(Tag::BYTES..200),
    }
}

fn task(rng: &mut fastrand::Rng) -> Arc<str> {
    TASKS[rng.usize(..TASKS.len())].into()
}

fn queue(rng: &mut fastrand::Rng) -> Arc<str> {
    queue_name(rng).into()
}

fn queue_name(rng: &mut fastrand::Rng) -> &'static str {
    QUEUES[rng.usize(..QUEUES.len())]
}
