//! (opening)

pub mod conformance;
pub mod disk;
pub mod model;
