//! Whole values to payloads and back.

pub(super) mod read;
pub(super) mod write;

use super::{Call, Reader, Token, Value, ValueError, Writer};
use crate::id::JobId;
use crate::payload::{PAYLOAD_BYTES_MAX, Payload};

/// The payload that holds `value`. Fails if it nests too deep or gets too large.
pub fn encode(value: &Value) -> Result<Vec<u8>, ValueError> {
    let mut encoder = write::Encoder::default();
    encoder.value(value)?;
    encoder.finish()
}

/// The value in a payload.
pub fn decode(payload: &[u8]) -> Result<Value, ValueError> {
    let payload = Payload::open(payload, PAYLOAD_BYTES_MAX)?;
    let mut reader = Reader::new(payload.value());
    let value = read::value(&mut reader, &payload)?;
    reader.finish()?;
    Ok(value)
}

/// The payload that holds a call: a list of the positional arguments and a dict of the keyword arguments.
pub fn encode_call(call: &Call) -> Result<Vec<u8>, ValueError> {
    let mut encoder = write::Encoder::default();
    encoder.call(call, 1)?;
    encoder.finish()
}

/// The payload of the call that handles the failure of `job`, of this version of the handling task: the job is its one
/// argument.
pub fn encode_failure_call(job: JobId, version: u32) -> Vec<u8> {
    let call = Call { positional: vec![Value::Job(job)], keywords: Vec::new() };
    let mut encoder = write::Encoder::default();
    let encoded = encoder.call(&call, version).and_then(|()| encoder.finish());
    encoded.expect("a call of one small argument encodes")
}

/// The call in a payload.
pub fn decode_call(payload: &[u8]) -> Result<Call, ValueError> {
    let offset = 0;
    let Value::List(parts) = decode(payload)? else {
        return Err(ValueError::Invalid { offset, what: "call", reason: "it is not a list" });
    };
    let mut parts = parts.into_iter();
    let (Some(Value::List(positional)), Some(Value::Dict(keywords)), None | Some(Value::Int(_)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(ValueError::Invalid { offset, what: "call", reason: "it is not a list and a dict" });
    };
    let named = keywords.into_iter().map(|(key, value)| match key {
        Value::Str(name) => Ok((name, value)),
        _ => Err(ValueError::Invalid { offset, what: "call", reason: "the name of an argument is not text" }),
    });
    Ok(Call { positional, keywords: named.collect::<Result<_, _>>()? })
}
