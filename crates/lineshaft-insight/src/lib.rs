//! What run times teach: pure arithmetic over durations, which come in as seconds.
//!
//! - [`Choice`]: several implementations of one function, of which the fastest is found while they work.
//!
//! The crate deliberately does not know what is run, and has no clock, no chance and no threads of its own: the caller
//! passes the time and random numbers in, so that the same calls give the same answers.

#![forbid(unsafe_code)]

mod choice;

pub use choice::{Choice, Event, Outline, Pick, Purpose, Standing, Unreadable};
