//! Payloads, from where they lie to bytes that can be sent.

use bytes::Bytes;
use lineshaft_engine::{Payload, Payloads};
use lineshaft_wire::message::{Ended, Message, RESULT_EXPIRED, RefusalCode, Refused};

use super::goodbye::Goodbye;

/// Stored bytes up to which they are read at once, being in the page cache nearly always; more than that is read by
/// another thread, so that the other connections do not wait for it.
const READ_AT_ONCE_BYTES: u64 = 1 << 20;

/// The message with its payloads. Those that cannot be read any more are said to be so in the message.
pub(crate) async fn resolve(
    message: Message,
    payloads: Vec<Payload>,
    reader: &Payloads,
) -> Result<(Message, Vec<Bytes>), Goodbye> {
    let read = if stored_bytes(&payloads) <= READ_AT_ONCE_BYTES {
        read_all(payloads, reader)
    } else {
        let reader = reader.clone();
        let reading = tokio::task::spawn_blocking(move || read_all(payloads, &reader));
        reading.await.map_err(|error| Goodbye::tell(RefusalCode::Internal, error.to_string()))?
    };
    if read.iter().all(Option::is_some) {
        return Ok((message, read.into_iter().flatten().collect()));
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

fn read_all(payloads: Vec<Payload>, reader: &Payloads) -> Vec<Option<Bytes>> {
    payloads.into_iter().map(|payload| read(payload, reader)).collect()
}

fn read(payload: Payload, reader: &Payloads) -> Option<Bytes> {
    let stored = match payload {
        Payload::Bytes(bytes) => return Some(bytes),
        Payload::Stored(stored) => stored,
    };
    match reader.read(&stored) {
        Ok(bytes) if bytes.len() == stored.length() as usize => Some(bytes),
        Ok(bytes) => {
            tracing::error!(
                ?stored,
                bytes = bytes.len(),
                "a payload has another length than its reference says"
            );
            None
        }
        Err(error) => {
            tracing::warn!(?stored, %error, "a payload cannot be read");
            None
        }
    }
}

/// A result may expire between the commit that named it and the moment its reader has room for it.
fn without_lost(message: Message, read: Vec<Option<Bytes>>) -> Result<(Message, Vec<Bytes>), Goodbye> {
    let name = message.name();
    let told = match message {
        Message::Ended(ended) => mark_expired(ended, &read).map(Message::from),
        Message::Fetched(_) => return Ok((expired().into(), Vec::new())),
        _ => None,
    };
    let Some(message) = told else {
        return Err(Goodbye::tell(RefusalCode::Internal, format!("a payload of {name} cannot be read")));
    };
    Ok((message, read.into_iter().flatten().collect()))
}

fn mark_expired(mut ended: Ended, read: &[Option<Bytes>]) -> Option<Ended> {
    let with_result = ended.completed.iter_mut().filter(|(_, length)| *length != RESULT_EXPIRED);
    let mut marked = 0;
    for ((_, length), bytes) in with_result.zip(read) {
        marked += 1;
        if bytes.is_none() {
            *length = RESULT_EXPIRED;
        }
    }
    (marked == read.len()).then_some(ended)
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
    use lineshaft_wire::JobId;

    use super::*;

    fn job(slot: u32) -> JobId {
        JobId::direct(1, 0, slot, 0)
    }

    #[test]
    fn a_result_that_is_gone_is_marked_and_the_others_are_sent() {
        let completed = vec![(job(1), 3), (job(2), RESULT_EXPIRED), (job(3), 5), (job(4), 0)];
        let ended = Ended { completed, ..Ended::default() };
        let read = vec![Some(Bytes::from_static(b"abc")), None, Some(Bytes::new())];
        let (message, parts) = without_lost(ended.into(), read).unwrap();
        let Message::Ended(ended) = message else { panic!("{message:?}") };
        let lengths: Vec<u64> = ended.completed.iter().map(|(_, length)| *length).collect();
        assert_eq!(lengths, [3, RESULT_EXPIRED, RESULT_EXPIRED, 0]);
        assert_eq!(parts, [&b"abc"[..], b""]);
    }

    #[test]
    fn a_fetched_payload_that_is_gone_is_refused_as_expired() {
        let fetched = lineshaft_wire::message::Fetched { length: 3 };
        let (message, parts) = without_lost(fetched.into(), vec![None]).unwrap();
        assert!(matches!(message, Message::Refused(Refused { code: RefusalCode::ResultExpired, .. })));
        assert!(parts.is_empty());
    }

    #[test]
    fn arguments_that_are_gone_end_the_connection() {
        let leases = lineshaft_wire::message::Leases::default();
        let goodbye = without_lost(leases.into(), vec![None]).unwrap_err();
        assert_eq!(goodbye.to_string(), "a payload of Leases cannot be read");
    }
}
