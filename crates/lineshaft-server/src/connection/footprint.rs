//! How much memory messages take, roughly: what bounds the queue of a connection.

use lineshaft_engine::{Outgoing, Payload};
use lineshaft_wire::message::{Ended, LockReport, Message};
use lineshaft_wire::record::{ErrorRecord, JobRecord};

/// Bytes of memory that a message takes while it waits.
pub(crate) fn footprint(outgoing: &Outgoing) -> usize {
    let payloads = outgoing.payloads.iter().map(|payload| match payload {
        Payload::Bytes(bytes) => size_of::<Payload>() + bytes.len(),
        Payload::Stored(_) => size_of::<Payload>(),
    });
    size_of::<Outgoing>() + message_footprint(&outgoing.message) + payloads.sum::<usize>()
}

fn message_footprint(message: &Message) -> usize {
    match message {
        Message::Enqueued(enqueued) => enqueued.ids.len() + size_of_val(enqueued.existing.as_slice()),
        Message::Ended(ended) => ended_footprint(ended),
        Message::Leases(leases) => {
            let retried = leases.retried.as_deref().map_or(0, size_of_val);
            size_of_val(leases.jobs.as_slice()) + size_of_val(leases.checkpoints.as_slice()) + retried
        }
        Message::Finished(finished) => size_of_val(finished.refused.as_slice()),
        Message::Page(page) => page.jobs.iter().map(record_footprint).sum(),
        Message::Shown(shown) => {
            record_footprint(&shown.record) + shown.progress.as_ref().map_or(0, |progress| progress.len())
        }
        Message::LocksLost(lost) => size_of_val(lost.tokens.as_slice()),
        Message::LocksBroken(broken) => size_of_val(broken.fences.as_slice()),
        Message::Locks(page) => page.locks.iter().map(lock_footprint).sum(),
        _ => 0,
    }
}

fn lock_footprint(lock: &LockReport) -> usize {
    size_of_val(lock) + size_of_val(lock.holders.as_slice())
}

fn ended_footprint(ended: &Ended) -> usize {
    let failed = ended
        .failed
        .iter()
        .map(|job| size_of_val(job) + job.output.len() + error_footprint(job.error.as_ref()));
    size_of_val(ended.completed.as_slice()) + size_of_val(ended.missing.as_slice()) + failed.sum::<usize>()
}

fn record_footprint(record: &JobRecord) -> usize {
    let attempts = record
        .attempts
        .iter()
        .map(|attempt| size_of_val(attempt) + attempt.output.len() + error_footprint(attempt.error.as_ref()));
    let texts = [&record.metadata, &record.context].into_iter().flatten();
    size_of::<JobRecord>() + texts.map(|text| text.len()).sum::<usize>() + attempts.sum::<usize>()
}

/// Bytes of what an error says.
pub(crate) fn error_footprint(error: Option<&ErrorRecord>) -> usize {
    error.map_or(0, |error| {
        let traceback = error.traceback.as_ref().map_or(0, String::len);
        let arguments = error.arguments.as_ref().map_or(0, Vec::len);
        error.message.len() + traceback + arguments + error.types.iter().map(String::len).sum::<usize>()
    })
}

/// Bytes that a payload will take when it is sent.
pub(crate) fn payload_bytes(payload: &Payload) -> usize {
    match payload {
        Payload::Bytes(bytes) => bytes.len(),
        Payload::Stored(stored) => stored.length() as usize,
    }
}
