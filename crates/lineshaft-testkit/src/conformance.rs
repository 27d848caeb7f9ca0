//! What every implementation of a trait must do, as one suite per trait.
//!
//! A suite gets a function that makes a new home, which gives a function that opens it: again and again, as restarts
//! do. It panics at the first thing that is wrong.

pub mod archive;
pub mod journal;
