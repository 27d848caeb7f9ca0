//! Values from and to Rust's own types, by way of serde.
//!
//! [`to_payload`] and [`from_payload`] convert whole values, [`CallWriter`] and [`Arguments`] calls; both drive the
//! [`Writer`](super::Writer) and [`Reader`] directly, without a tree in between. The table of
//! `docs/values.md` says what becomes what. Serde knows fewer kinds of values than the format has, so the others have
//! types of their own: those of the model ([`Value`], [`Date`](super::Date) and so on, see [`handover`]), and
//! [`Set`], [`FrozenSet`], [`ByteArray`], [`Uuid`], [`Decimal`] and [`Complex`].
//!
//! Reading is generous where nothing is lost (a tuple for a `Vec`, a record for a map, an integer for an `f64`) and
//! writing is exact. An error says where in the whole it happened: `order.items[3]: …`.

mod arguments;
mod call;
mod de;
mod error;
mod handover;
mod record;
mod sequences;
mod ser;
mod shared;
mod times;
mod wrappers;

pub use arguments::{Arguments, Bound, missing_version};
pub use call::CallWriter;
pub use error::Error;
pub use record::{ENUM_PREFIX, RECORD_PREFIX};
pub use wrappers::{ByteArray, Complex, Decimal, FrozenSet, Set, Uuid};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::write::Encoder;
use super::{Reader, Value, decode, encode};
use crate::payload::{PAYLOAD_BYTES_MAX, Payload};

/// The payload that holds `value`.
pub fn to_payload<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut encoder = Encoder::default();
    value.serialize(ser::Serializer::new(&mut encoder))?;
    Ok(encoder.finish()?)
}

/// The same, never compressed: for a reader on the same host, whom that would only cost time.
pub fn to_plain_payload<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    to_plain_payload_in(Vec::new(), value)
}

/// As [`to_plain_payload`], in the room of a buffer, whose content is lost.
pub fn to_plain_payload_in<T: Serialize + ?Sized>(buffer: Vec<u8>, value: &T) -> Result<Vec<u8>, Error> {
    let mut encoder = Encoder::in_buffer(buffer);
    value.serialize(ser::Serializer::new(&mut encoder))?;
    Ok(std::mem::take(encoder.plain()?))
}

/// The value in a payload.
pub fn from_payload<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let plain = shared::unshare(bytes)?;
    let payload = Payload::open(&plain, PAYLOAD_BYTES_MAX)?;
    let mut source = de::Source { reader: Reader::new(payload.value()), payload: &payload };
    let value = T::deserialize(source.value())?;
    source.reader.finish()?;
    Ok(value)
}

/// `value` as a tree.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Error> {
    Ok(decode(&to_payload(value)?)?)
}

/// What a tree stands for.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    from_payload(&encode(value)?)
}
