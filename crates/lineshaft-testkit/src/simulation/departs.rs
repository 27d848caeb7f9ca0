//! A message on its way out, with the payloads that it refers to: what a server makes of one that does not read.

use bytes::Bytes;
use lineshaft_engine::{Error, Outgoing, Payload, Unread};
use lineshaft_wire::Fence;
use lineshaft_wire::message::{Leases, Message, RESULT_EXPIRED};

use super::network::Frame;

/// What becomes of a message.
pub(super) enum Departure {
    /// It goes as it is.
    Whole(Frame),
    /// It says of what does not read that it is gone, or goes without it.
    Without(Frame, Vec<Unread>),
    /// It cannot be sent: its connection is closed.
    Nothing,
}

/// A payload, or why it does not read.
type Read = Result<Bytes, (Payload, Error)>;

/// The message with its payloads.
pub(super) fn depart(outgoing: Outgoing, read: impl Fn(&Payload) -> Result<Bytes, Error>) -> Departure {
    let Outgoing { request_id, message, payloads } = outgoing;
    let parts: Vec<Read> =
        payloads.into_iter().map(|payload| read(&payload).map_err(|error| (payload, error))).collect();
    if parts.iter().all(Result::is_ok) {
        return Departure::Whole(Frame { request_id, message, payload: joined(parts) });
    }
    let frame = |message, payload| Frame { request_id, message, payload };
    match message {
        Message::Leases(leases) => {
            let (leases, payload, unread) = without_unread(leases, parts);
            Departure::Without(frame(leases.into(), payload), unread)
        }
        Message::Ended(mut ended) => {
            let with_result = ended.completed.iter_mut().filter(|(_, length)| *length != RESULT_EXPIRED);
            for ((_, length), _) in with_result.zip(&parts).filter(|(_, read)| read.is_err()) {
                *length = RESULT_EXPIRED;
            }
            Departure::Without(frame(ended.into(), joined(parts)), Vec::new())
        }
        _ => Departure::Nothing,
    }
}

/// What reads, one after the other.
fn joined(parts: Vec<Read>) -> Bytes {
    let mut parts: Vec<Bytes> = parts.into_iter().flatten().collect();
    match parts.len() {
        1 => parts.remove(0),
        _ => parts.concat().into(),
    }
}

/// Leases whose arguments and checkpoint read, and the others.
fn without_unread(leases: Leases, mut parts: Vec<Read>) -> (Leases, Bytes, Vec<Unread>) {
    let mut checkpoints = parts.split_off(leases.jobs.len()).into_iter();
    let mut left = Leases { jobs: Vec::new(), checkpoints: Vec::new(), ..leases.clone() };
    let (mut arguments, mut values, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    for ((place, lease), argument) in (0..).zip(leases.jobs).zip(parts) {
        let length = leases.checkpoints.iter().find(|(at, _)| *at == place).map(|(_, length)| *length);
        let value = length.and_then(|_| checkpoints.next()).transpose();
        match argument.and_then(|argument| Ok((argument, value?))) {
            Ok((argument, value)) => {
                left.checkpoints.extend(length.map(|length| (left.jobs.len() as u32, length)));
                left.jobs.push(lease);
                arguments.push(argument);
                values.extend(value);
            }
            Err((Payload::Stored(payload), error)) => {
                let fence = Fence { epoch: leases.epoch, counter: lease.counter };
                unread.push(Unread { job: lease.job, fence, payload, error });
            }
            Err((Payload::Bytes(_), error)) => unreachable!("bytes read: {error}"),
        }
    }
    arguments.append(&mut values);
    (left, arguments.concat().into(), unread)
}
