//! Large answers in several frames.
//!
//! The engine answers a commit at a time and names what it has to say; how much of it goes into a frame is decided
//! here, so that a slow reader holds one frame's payloads in memory and not a commit's.

use std::sync::Arc;

use lineshaft_engine::{Outgoing, Payload};
use lineshaft_wire::Looks;
use lineshaft_wire::message::{Ended, EndedJob, Lease, Leases, Message, RESULT_EXPIRED};

use super::footprint::{error_footprint, payload_bytes};

/// Bytes of payloads, and of errors, after which a frame is closed where the message allows it.
const FRAME_BYTES: usize = 1 << 20;

/// Whether [`split`] may give more than one message.
pub(crate) fn is_large(outgoing: &Outgoing) -> bool {
    match &outgoing.message {
        Message::Leases(_) => outgoing.payloads.iter().map(payload_bytes).sum::<usize>() > FRAME_BYTES,
        Message::Ended(ended) => {
            let failed = ended.failed.iter().map(failed_bytes).sum::<usize>();
            failed + outgoing.payloads.iter().map(payload_bytes).sum::<usize>() > FRAME_BYTES
        }
        _ => false,
    }
}

/// The same in messages of about [`FRAME_BYTES`].
pub(crate) fn split(outgoing: Outgoing) -> Vec<Outgoing> {
    let Outgoing { request_id, message, payloads } = outgoing;
    let parts = match message {
        Message::Leases(leases) if leases.jobs.len() + leases.checkpoints.len() == payloads.len() => {
            let epoch = leases.epoch;
            let parts = cut(lease_rows(leases, payloads), LeaseRow::bytes).into_iter();
            parts
                .map(|rows| join_leases(epoch, rows))
                .map(|(leases, payloads)| (leases.into(), payloads))
                .collect()
        }
        Message::Ended(ended) if payloads.is_empty() || results(&ended) == payloads.len() => {
            split_ended(ended, payloads)
        }
        other => vec![(other, payloads)],
    };
    parts.into_iter().map(|(message, payloads)| Outgoing { request_id, message, payloads }).collect()
}

type Part = (Message, Vec<Payload>);

/// The leases of a message, each with what follows of it.
pub(crate) fn lease_rows<P>(leases: Leases, payloads: Vec<P>) -> impl Iterator<Item = LeaseRow<P>> {
    let Leases { jobs, checkpoints, retried, profiled, looks, contexts, .. } = leases;
    let mut profiled = profiled.into_iter().peekable();
    let mut closer = looks.into_iter().peekable();
    let mut contexts = contexts.into_iter().peekable();
    let says_retries = retried.is_some();
    let mut retried = retried.unwrap_or_default().into_iter().peekable();
    let mut arguments = payloads;
    let mut checkpoints = checkpoints.into_iter().zip(arguments.split_off(jobs.len())).peekable();
    (0..).zip(jobs.into_iter().zip(arguments)).map(move |(at, (lease, arguments))| {
        let checkpoint = checkpoints.next_if(|((position, _), _)| *position == at);
        let checkpoint = checkpoint.map(|((_, length), payload)| (length, payload));
        let is_retried = says_retries.then(|| retried.next_if_eq(&at).is_some());
        let plain = profiled.next_if_eq(&at).map(|_| Looks::PLAIN);
        let closer = closer.next_if(|(position, _)| *position == at).map(|(_, looks)| looks);
        let looks = plain.unwrap_or_default() | closer.unwrap_or_default();
        let context = contexts.next_if(|(position, _)| *position == at).map(|(_, context)| context);
        LeaseRow { lease, arguments, checkpoint, is_retried, looks, context }
    })
}

/// A lease with its payloads.
pub(crate) struct LeaseRow<P> {
    pub(crate) lease: Lease,
    pub(crate) arguments: P,
    /// Its length, too.
    pub(crate) checkpoint: Option<(u32, P)>,
    pub(crate) is_retried: Option<bool>,
    pub(crate) looks: Looks,
    pub(crate) context: Option<Arc<str>>,
}

impl LeaseRow<Payload> {
    fn bytes(&self) -> usize {
        let checkpoint = self.checkpoint.as_ref().map_or(0, |(_, payload)| payload_bytes(payload));
        payload_bytes(&self.arguments) + checkpoint + self.context.as_ref().map_or(0, |text| text.len())
    }
}

/// One message of leases, and what follows it.
pub(crate) fn join_leases<P>(epoch: u64, rows: Vec<LeaseRow<P>>) -> (Leases, Vec<P>) {
    let mut leases = Leases { epoch, ..Leases::default() };
    let (mut arguments, mut values) = (Vec::with_capacity(rows.len()), Vec::new());
    for (at, row) in (0..).zip(rows) {
        leases.jobs.push(row.lease);
        arguments.push(row.arguments);
        if let Some((length, value)) = row.checkpoint {
            leases.checkpoints.push((at, length));
            values.push(value);
        }
        if let Some(is_retried) = row.is_retried {
            leases.retried.get_or_insert_default().extend(is_retried.then_some(at));
        }
        leases.profiled.extend(row.looks.is_profiled().then_some(at));
        leases.looks.extend(row.looks.is_closer().then_some((at, row.looks)));
        leases.contexts.extend(row.context.map(|context| (at, context)));
    }
    arguments.append(&mut values);
    (leases, arguments)
}

/// Results first, then failures; the last part says what the whole said of missing jobs and of its end.
fn split_ended(ended: Ended, payloads: Vec<Payload>) -> Vec<Part> {
    let Ended { completed, failed, missing, last } = ended;
    let mut payloads = payloads.into_iter();
    let completed = completed.into_iter().map(|entry| {
        let payload = if entry.1 == RESULT_EXPIRED { None } else { payloads.next() };
        (entry, payload)
    });
    let mut parts: Vec<(Ended, Vec<Payload>)> = Vec::new();
    for part in cut(completed, |(_, payload)| payload.as_ref().map_or(0, payload_bytes)) {
        let (completed, payloads): (_, Vec<Option<Payload>>) = part.into_iter().unzip();
        parts.push((Ended { completed, ..Ended::default() }, payloads.into_iter().flatten().collect()));
    }
    for failed in cut(failed.into_iter(), failed_bytes) {
        parts.push((Ended { failed, ..Ended::default() }, Vec::new()));
    }
    if let Some((end, _)) = parts.last_mut() {
        (end.missing, end.last) = (missing, last);
    }
    parts.into_iter().map(|(ended, payloads)| (ended.into(), payloads)).collect()
}

/// Groups of about [`FRAME_BYTES`], with at least one item each.
fn cut<T>(items: impl Iterator<Item = T>, bytes_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items {
        let bytes = bytes_of(&item);
        match groups.last_mut() {
            Some(group) if bytes <= room => group.push(item),
            _ => {
                room = FRAME_BYTES;
                groups.push(vec![item]);
            }
        }
        room = room.saturating_sub(bytes);
    }
    groups
}

fn results(ended: &Ended) -> usize {
    ended.completed.iter().filter(|(_, length)| *length != RESULT_EXPIRED).count()
}

fn failed_bytes(job: &EndedJob) -> usize {
    job.output.len() + error_footprint(job.error.as_ref())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lineshaft_wire::JobId;
    use lineshaft_wire::record::{ErrorRecord, JobState};

    use super::*;

    fn job(slot: u32) -> JobId {
        JobId::direct(1, 0, slot, 0)
    }

    fn payload(bytes: usize) -> Payload {
        Payload::Bytes(Bytes::from(vec![0; bytes]))
    }

    fn failed(slot: u32, bytes: usize) -> EndedJob {
        EndedJob {
            id: job(slot),
            task: "t".into(),
            state: JobState::Discarded,
            reason: None,
            attempt: 1,
            outcome: None,
            error: Some(ErrorRecord { message: "x".repeat(bytes), ..ErrorRecord::default() }),
            output: Vec::new(),
        }
    }

    #[test]
    fn results_go_into_frames_of_a_mebibyte_and_only_the_last_says_so() {
        let completed =
            vec![(job(1), 600 << 10), (job(2), RESULT_EXPIRED), (job(3), 400 << 10), (job(4), 3 << 20)];
        let missing = vec![job(9)];
        let ended = Ended { completed, failed: vec![failed(5, 10)], missing: missing.clone(), last: true };
        let payloads = vec![payload(600 << 10), payload(400 << 10), payload(3 << 20)];
        let outgoing = Outgoing { request_id: 7, message: ended.into(), payloads };
        assert!(is_large(&outgoing));
        let parts = split(outgoing);
        let summary: Vec<_> = parts
            .iter()
            .map(|part| {
                let Message::Ended(ended) = &part.message else { panic!("{part:?}") };
                (part.request_id, ended.completed.len(), ended.failed.len(), part.payloads.len(), ended.last)
            })
            .collect();
        assert_eq!(summary, [(7, 3, 0, 2, false), (7, 1, 0, 1, false), (7, 0, 1, 0, true)]);
        let Message::Ended(last) = &parts[2].message else { panic!("{parts:?}") };
        assert_eq!(last.missing, missing);
    }

    #[test]
    fn many_long_errors_are_split_too() {
        let ended =
            Ended { failed: (0..40).map(|slot| failed(slot, 80 << 10)).collect(), ..Ended::default() };
        let outgoing = Outgoing { request_id: 7, message: ended.into(), payloads: Vec::new() };
        assert!(is_large(&outgoing));
        let jobs: usize = split(outgoing)
            .into_iter()
            .map(|part| {
                let Message::Ended(ended) = part.message else { panic!("not ended") };
                assert!(!ended.last && ended.failed.len() <= 13);
                ended.failed.len()
            })
            .sum();
        assert_eq!(jobs, 40);
    }

    #[test]
    fn leases_keep_their_order_epoch_checkpoints_retries_profiles_and_contexts() {
        let lease = |slot| Lease {
            job: job(slot),
            counter: u64::from(slot),
            task: 0,
            attempt: 1,
            timeout_ms: 0,
            keep_result: true,
            length: 700 << 10,
        };
        let jobs = (1..=3).map(lease).collect();
        let checkpoints = vec![(0, 7), (2, 9)];
        let leases = Leases {
            epoch: 3,
            jobs,
            checkpoints,
            retried: Some(vec![1]),
            profiled: vec![0, 2],
            looks: vec![(2, Looks::MEMORY)],
            contexts: vec![(1, "{}".into())],
        };
        let payloads = [700 << 10, 700 << 10, 700 << 10, 7, 9].map(payload).to_vec();
        let parts = split(Outgoing { request_id: 0, message: leases.into(), payloads });
        let counters: Vec<_> = parts
            .iter()
            .map(|part| match &part.message {
                Message::Leases(leases) => {
                    let payloads: Vec<_> = part.payloads.iter().map(payload_bytes).collect();
                    let contexts = leases.contexts.len();
                    let looks = leases.looks.clone();
                    let said = (leases.retried.clone().unwrap(), leases.profiled.clone(), looks, contexts);
                    (leases.epoch, leases.jobs[0].counter, leases.checkpoints.clone(), said, payloads)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let bytes = 700 << 10;
        let expected = [
            (3, 1, vec![(0, 7)], (vec![], vec![0], vec![], 0), vec![bytes, 7]),
            (3, 2, Vec::new(), (vec![0], vec![], vec![], 1), vec![bytes]),
            (3, 3, vec![(0, 9)], (vec![], vec![0], vec![(0, Looks::MEMORY)], 0), vec![bytes, 9]),
        ];
        assert_eq!(counters, expected);
    }

    #[test]
    fn small_answers_and_others_stay_whole() {
        let ended = Ended { completed: vec![(job(1), 10)], last: true, ..Ended::default() };
        assert!(!is_large(&Outgoing { request_id: 1, message: ended.into(), payloads: vec![payload(10)] }));
        let fetched = lineshaft_wire::message::Fetched { length: 2 << 20 };
        let outgoing = Outgoing { request_id: 1, message: fetched.into(), payloads: vec![payload(2 << 20)] };
        assert_eq!(split(outgoing.clone()), [outgoing]);
    }
}
