//! Integration tests of the wire crate.

mod code;
mod frame;
mod messages;
mod payload;
mod schema;
mod typed;
mod value;
mod vectors;
