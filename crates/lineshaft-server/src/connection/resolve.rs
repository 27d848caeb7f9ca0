//! Payloads, from where they lie to bytes that can be sent.

use bytes::Bytes;
use lineshaft_engine::{Error, Payload, Payloads, Unread};
use lineshaft_store::PayloadRef;
use lineshaft_wire::Fence;
use lineshaft_wire::message::{
    CacheFound, Ended, Lease, Leases, Message, RESULT_EXPIRED, RefusalCode, Refused,
};

use super::goodbye::Goodbye;
use super::split::{LeaseRow, join_leases, lease_rows};

/// Stored bytes up to which they are read at once, being in the page cache nearly always; more than that is read by
/// another thread, so that the other connections do not wait for it.
const READ_AT_ONCE_BYTES: u64 = 1 << 20;

/// A message as it can be sent.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) message: Message,
    /// What follows it.
    pub(crate) parts: Vec<Bytes>,
    /// Leases that were taken out of it.
    pub(crate) unread: Vec<Unread>,
}

impl Resolved {
    fn whole(message: impl Into<Message>, parts: Vec<Bytes>) -> Self {
        Self { message: message.into(), parts, unread: Vec::new() }
    }
}

/// A payload, or why it does not read.
type Read = Result<Bytes, (PayloadRef, Error)>;

/// The message with its payloads. Those that do not read are said to be so in the message, or are left out of it.
pub(crate) async fn resolve(
    message: Message,
    payloads: Vec<Payload>,
    reader: &Payloads,
) -> Result<Resolved, Goodbye> {
    let read = if stored_bytes(&payloads) <= READ_AT_ONCE_BYTES {
        read_all(payloads, reader)
    } else {
        let reader = reader.clone();
        let reading = tokio::task::spawn_blocking(move || read_all(payloads, &reader));
        reading.await.map_err(|error| Goodbye::tell(RefusalCode::Internal, error.to_string()))?
    };
    if read.iter().all(Result::is_ok) {
        return Ok(Resolved::whole(message, read.into_iter().flatten().collect()));
    }
    without_lost(message, read)
}

fn stored_bytes(payloads: &[Payload]) -> u64 {
    payloads
        .iter()
        .map(|payload| match payload {
            Payload::Stored(stored) => u64::from(stored.length()),
            Payload::Bytes(_) => 0,
        })
        .sum()
}

fn read_all(payloads: Vec<Payload>, reader: &Payloads) -> Vec<Read> {
    let read = |payload| match payload {
        Payload::Bytes(bytes) => Ok(bytes),
        Payload::Stored(stored) => reader.read(&stored).map_err(|error| (stored, error)),
    };
    payloads.into_iter().map(read).collect()
}

/// A result may expire between the commit that named it and the moment its reader has room for it; arguments are lost
/// only with their file.
fn without_lost(message: Message, read: Vec<Read>) -> Result<Resolved, Goodbye> {
    let name = message.name();
    for (stored, error) in read.iter().filter_map(|read| read.as_ref().err()) {
        tracing::warn!(?stored, %error, "a payload of {name} cannot be read");
    }
    let told = match message {
        Message::Leases(leases) => return Ok(without_unread(leases, read)),
        Message::Ended(ended) => mark_expired(ended, &read),
        Message::CacheFound(found) => {
            let found = without_lost_values(found, &read);
            return Ok(Resolved::whole(found, read.into_iter().flatten().collect()));
        }
        Message::Fetched(_) => return Ok(Resolved::whole(expired(), Vec::new())),
        _ => None,
    };
    let Some(ended) = told else {
        return Err(Goodbye::tell(RefusalCode::Internal, format!("a payload of {name} cannot be read")));
    };
    Ok(Resolved::whole(ended, read.into_iter().flatten().collect()))
}

fn without_unread(leases: Leases, read: Vec<Read>) -> Resolved {
    let epoch = leases.epoch;
    let (mut rows, mut unread) = (Vec::new(), Vec::new());
    for row in lease_rows(leases, read) {
        let LeaseRow { lease, arguments, checkpoint, is_retried, looks, context } = row;
        let checkpoint = checkpoint.map(|(length, value)| value.map(|value| (length, value))).transpose();
        match arguments.and_then(|arguments| Ok((arguments, checkpoint?))) {
            Ok((arguments, checkpoint)) => {
                rows.push(LeaseRow { lease, arguments, checkpoint, is_retried, looks, context });
            }
            Err((payload, error)) => unread.push(of_lease(epoch, lease, payload, error)),
        }
    }
    let (leases, parts) = join_leases(epoch, rows);
    Resolved { message: leases.into(), parts, unread }
}

fn of_lease(epoch: u64, Lease { job, counter, .. }: Lease, payload: PayloadRef, error: Error) -> Unread {
    Unread { job, fence: Fence { epoch, counter }, payload, error }
}

fn mark_expired(mut ended: Ended, read: &[Read]) -> Option<Ended> {
    let with_result = ended.completed.iter_mut().filter(|(_, length)| *length != RESULT_EXPIRED);
    let mut marked = 0;
    for ((_, length), bytes) in with_result.zip(read) {
        marked += 1;
        if bytes.is_err() {
            *length = RESULT_EXPIRED;
        }
    }
    (marked == read.len()).then_some(ended)
}

/// Who looked for them computes them.
fn without_lost_values(mut found: CacheFound, read: &[Read]) -> CacheFound {
    let there = found.entries.iter_mut().filter(|entry| entry.is_some());
    for (entry, _) in there.zip(read).filter(|(_, bytes)| bytes.is_err()) {
        *entry = None;
    }
    found
}

fn expired() -> Refused {
    Refused {
        code: RefusalCode::ResultExpired,
        message: "the payload is no longer kept".to_owned(),
        hint: Some(
            "results are kept for a day by default; the task's `result` option keeps them longer".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::{JobId, Looks};

    use super::*;

    fn job(slot: u32) -> JobId {
        JobId::direct(1, 0, slot, 0)
    }

    #[test]
    fn a_result_that_is_gone_is_marked_and_the_others_are_sent() {
        let completed = vec![(job(1), 3), (job(2), RESULT_EXPIRED), (job(3), 5), (job(4), 0)];
        let ended = Ended { completed, ..Ended::default() };
        let read = vec![Ok(Bytes::from_static(b"abc")), lost(), Ok(Bytes::new())];
        let Resolved { message, parts, .. } = without_lost(ended.into(), read).unwrap();
        let Message::Ended(ended) = message else { panic!("{message:?}") };
        let lengths: Vec<u64> = ended.completed.iter().map(|(_, length)| *length).collect();
        assert_eq!(lengths, [3, RESULT_EXPIRED, RESULT_EXPIRED, 0]);
        assert_eq!(parts, [&b"abc"[..], b""]);
    }

    #[test]
    fn a_fetched_payload_that_is_gone_is_refused_as_expired() {
        let fetched = lineshaft_wire::message::Fetched { length: 3 };
        let Resolved { message, parts, .. } = without_lost(fetched.into(), vec![lost()]).unwrap();
        assert!(matches!(message, Message::Refused(Refused { code: RefusalCode::ResultExpired, .. })));
        assert!(parts.is_empty());
    }

    /// It ended the connection, after which the same jobs were leased again, without end.
    #[test]
    fn leases_that_do_not_read_are_left_out_and_the_others_are_sent() {
        let lease = |slot| Lease {
            job: job(slot),
            counter: u64::from(slot),
            task: 0,
            attempt: 1,
            timeout_ms: 0,
            keep_result: true,
            length: 1,
        };
        let leases = Leases {
            epoch: 7,
            jobs: (0..4).map(lease).collect(),
            checkpoints: vec![(0, 1), (1, 1), (3, 1)],
            retried: Some(vec![1, 3]),
            profiled: vec![2, 3],
            looks: vec![(2, Looks::NATIVE), (3, Looks::MEMORY)],
            contexts: Vec::new(),
        };
        let good = |byte: &'static [u8]| Ok(Bytes::from_static(byte));
        // Arguments of all four, checkpoints of three.
        let read = vec![good(b"a"), good(b"b"), lost(), good(b"d"), lost(), good(b"y"), good(b"z")];
        let Resolved { message, parts, unread } = without_lost(leases.into(), read).unwrap();
        let Message::Leases(left) = message else { panic!("{message:?}") };
        assert_eq!((left.epoch, left.jobs), (7, vec![lease(1), lease(3)]));
        assert_eq!((left.checkpoints, left.retried), (vec![(0, 1), (1, 1)], Some(vec![0, 1])));
        assert_eq!((left.profiled, left.looks), (vec![1], vec![(1, Looks::MEMORY)]));
        assert_eq!(parts, [&b"b"[..], b"d", b"y", b"z"]);
        let unread: Vec<_> = unread.iter().map(|unread| (unread.job, unread.fence.counter)).collect();
        assert_eq!(unread, [(job(0), 0), (job(2), 2)]);
    }

    fn lost() -> Read {
        Err((PayloadRef::Empty, Error::Ended))
    }
}
