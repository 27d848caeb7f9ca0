//! What run times teach: pure arithmetic over durations, which come in as values.
//!
//! - [`Choice`]: several implementations of one function, of which the fastest is found while they work. [`choice::shared`] is how
//!   processes learn from each other, [`choice::text`] what people are shown.
//! - [`Habits`]: what the figures of a task say about what would help.
//! - [`RunTimes`]: which runs take longer than nearly all.
//! - [`profile`]: where time went, by stacks that were seen now and then.
//!
//! The crate deliberately does not know what is run, and has no clock, no chance and no threads of its own: the caller
//! passes the time and random numbers in, so that the same calls give the same answers.

#![forbid(unsafe_code)]

pub mod choice;
mod habits;
pub mod profile;
mod run_times;

pub use choice::{Choice, Event, Outline, Pick, Purpose, Standing, Unreadable};
pub use habits::Habits;
pub use run_times::{LONG_MIN, RUNS_MIN, RunTimes};
