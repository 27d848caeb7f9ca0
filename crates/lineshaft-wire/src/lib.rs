//! Everything that crosses a process or disk boundary: job ids and records, values and their codec, messages and
//! the frames that carry them.
//!
//! Read [`id`] and [`record`] for the nouns, [`message`] for the verbs, [`frame`] for the bytes around them, and
//! [`value`] for what arguments and results are made of, [`schema`] for what programs say of that. [`mod@code`] lists the errors that operators meet.
//!
//! This crate deliberately does not know sockets, files, clocks, Python or the rules of jobs.

pub mod code;
pub mod frame;
pub mod id;
pub mod log_record;
pub mod looks;
pub mod measures;
pub mod message;
pub mod payload;
pub mod record;
pub mod schema;
pub mod task;
pub mod value;

pub use id::{Fence, JobId, ParseIdError};
pub use log_record::{LogFilter, LogPlace, LogRecord};
pub use looks::Looks;
pub use measures::Measures;
pub use record::{AttemptRecord, ErrorRecord, JobRecord, JobState, Outcome};
