//! Values: what arguments and results are made of, and their bytes.
//!
//! The format is `MessagePack` with the extension types of [`ext`], so that any `MessagePack` library reads the base;
//! `docs/values.md` holds the table of wire, Python and Rust. Three ways lead in and out:
//!
//! - [`Writer`] and [`Reader`] are the low level, one call per element; a language binding drives them with its own
//!   objects.
//! - [`Value`] owns a whole value; [`encode`], [`decode`], [`encode_call`] and [`decode_call`] convert it, and its
//!   `Display` shows it as Python would. The command line uses it to show jobs of types it has never heard of.
//! - [`typed`] converts Rust's own types, by way of serde.
//!
//! Around the bytes of a value stands the envelope of [`crate::payload`].

mod arrow;
mod codec;
mod error;
pub mod ext;
mod integer;
mod memory;
mod model;
mod reader;
mod render;
pub mod typed;
mod writer;

pub use arrow::check_arrow_stream;
pub use codec::{decode, decode_call, encode, encode_call, encode_failure_call};
pub use error::ValueError;
pub use integer::{decimal_text, minimal};
pub use memory::DECODED_BYTES_MAX;
pub use model::{
    Array, Call, Date, DateTime, Dtype, EnumMember, Exception, Record, Table, Time, TimeDelta, Value, Zone,
};
pub use reader::{Enclosing, Reader, Token};
pub use writer::{Open, Writer};

/// How deep values may nest; one list inside another is a depth of 2.
pub const DEPTH_MAX: u32 = 128;
