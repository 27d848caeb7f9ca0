//! Payloads in which one object stands in several places, for readers that own what they read.
//!
//! Python writes an object that it met before as a reference. A Rust type holds a copy in each place, so the payload is
//! written again with copies, under the same limits: bytes that would unfold into gigabytes are refused, as is an
//! object inside itself.

use std::borrow::Cow;

use crate::payload;
use crate::value::codec::write::Encoder;
use crate::value::{Dtype, Value, ValueError, decode};

/// The same payload without references. One that does not open is left to whoever opens it.
#[inline]
pub(super) fn unshare(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ValueError> {
    if !payload::has_references(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    unfolded(bytes).map(Cow::Owned)
}

#[cold]
fn unfolded(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let root = decode(bytes)?;
    let mut numbered = Vec::new();
    number(&root, &mut numbered);
    let mut encoder = Encoder::copying(&numbered);
    encoder.value(&root)?;
    encoder.finish()
}

/// Collects what references name, in the order in which it begins.
fn number<'v>(value: &'v Value, numbered: &mut Vec<&'v Value>) {
    match value {
        Value::ByteArray(_) | Value::Table(_) => numbered.push(value),
        Value::List(parts) | Value::Set(parts) => {
            numbered.push(value);
            number_all(parts, numbered);
        }
        Value::Tuple(parts) | Value::FrozenSet(parts) => number_all(parts, numbered),
        Value::Dict(entries) => {
            numbered.push(value);
            number_all(entries.iter().flat_map(|(key, value)| [key, value]), numbered);
        }
        Value::Record(record) => {
            numbered.push(value);
            number_all(record.fields.iter().chain(&record.state).map(|(_, value)| value), numbered);
        }
        Value::Exception(exception) => {
            numbered.push(value);
            let attributes = exception.attributes.iter().map(|(_, value)| value);
            number_all(exception.arguments.iter().chain(attributes), numbered);
        }
        Value::Array(array) => {
            numbered.push(value);
            number_dtype(&array.dtype, numbered);
        }
        Value::ArrayScalar(scalar) => number_dtype(&scalar.0, numbered),
        _ => {}
    }
}

fn number_all<'v>(values: impl IntoIterator<Item = &'v Value>, numbered: &mut Vec<&'v Value>) {
    values.into_iter().for_each(|value| number(value, numbered));
}

fn number_dtype<'v>(dtype: &'v Dtype, numbered: &mut Vec<&'v Value>) {
    if let Dtype::Structured(fields) = dtype {
        number(fields, numbered);
    }
}
