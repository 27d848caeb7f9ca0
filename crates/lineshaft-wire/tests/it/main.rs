//! Integration tests of the wire crate.

mod frame;
mod messages;
mod payload;
mod value;
mod vectors;
