//! Logging: records, which of them are wanted, what is hidden in them, how they are written and where to.
//!
//! - [`Record`] has a [`Level`], the name of a logger, a message and fields, each with a [`Value`].
//! - [`Filter`] says which ones are wanted; [`Gate`] asks it for those who log, and holds back floods.
//! - [`Pipeline`] takes records from those who log to handlers, over a bounded ring and threads of its own.
//! - [`handler`] has the handlers: console, file, memory, and any function.
//! - `tracing_layer` takes events of the crate `tracing`, with the fields of their spans, and `handler::Tracing` makes such
//!   events of records (feature `tracing`). [`log_panics`] logs panics.
//! - [`carry`] puts fields into a text that goes along with work to another process.
//! - [`Format`] is how a record is written, [`Redaction`] what is hidden before.
//!
//! Those who log never wait for a handler: they wait for room in the ring at most, and only if they shall. The crate
//! deliberately does not know Python, jobs or the engine, has no global logger, and reads no clock for records.

mod carried;
mod distinct;
mod error;
mod filter;
mod format;
mod gate;
pub mod handler;
mod level;
mod panics;
mod pipeline;
mod record;
mod redact;
mod ring;
#[cfg(feature = "tracing")]
mod spans;
mod value;

pub use carried::{carried, carry};
pub use distinct::{DistinctFields, overlaid};
pub use error::Error;
pub use filter::{Filter, Verdict};
pub use format::{Format, Formatter, Function, Made, Zone, is_hidden};
pub use gate::{Asked, Gate, HeldBack, Limit, Passage};
pub use handler::{Failure, Gathering, Handler, Kind, Open, Spec};
pub use level::{Level, LevelNames};
pub use panics::{log_panics, log_panics_alone};
pub use pipeline::{Counts, LaneCounts, Options, Pipeline, Taken, Tap};
pub use record::{Fields, Origin, Place, Record, Thread};
pub use redact::{DEFAULT_KEYS, FACTS, HIDDEN, Redaction};
pub use ring::{Bounds, Pushed, WhenFull};
#[cfg(feature = "tracing")]
pub use spans::{tracing_layer, tracing_layer_to};
pub use value::Value;
