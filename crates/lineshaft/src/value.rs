//! Values: what arguments and results become on the wire, and types for those that serde has no word for.
//!
//! Any type that implements `Serialize` and `DeserializeOwned` crosses, to and from Python as well; the table is in
//! `docs/values.md`. `#[lineshaft::value("shop.Order")]` gives a struct or an enum the name under which Python knows it.

pub use bytes::Bytes;
pub use lineshaft_wire::value::typed::{
    ByteArray, Complex, Decimal, Error, FrozenSet, Set, Uuid, from_payload, from_value, to_payload, to_value,
};
pub use lineshaft_wire::value::{
    Array, Call, Date, DateTime, Dtype, EnumMember, Exception, Record, Time, TimeDelta, Value, Zone,
};
