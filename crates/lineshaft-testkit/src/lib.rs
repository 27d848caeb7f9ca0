//! (opening)

pub mod conformance;
pub mod disk;
