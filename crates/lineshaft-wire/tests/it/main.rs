//! Integration tests of the wire crate.

mod code;
mod frame;
mod messages;
mod payload;
mod record;
mod schema;
mod schema_kinds;
mod schema_results;
mod shared;
mod typed;
mod typed_odd;
mod value;
mod vectors;
