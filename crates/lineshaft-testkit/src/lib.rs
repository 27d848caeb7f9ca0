//! What tests of several crates need: a disk that fails on purpose, suites that every implementation of a trait must
//! pass, and a naive model of the job engine to hold the real one against.
//!
//! Read [`disk`] for faults, [`conformance`] for the journal's and the archive's promises, [`model`] for the rules of
//! jobs written down a second time, slowly and plainly, [`simulation`] for the whole engine in a world
//! that fails, [`scratch`] for where its jobs at rest go, [`mutants`] for what it has to notice.
//!
//! Used by integration tests only. It deliberately does not know sockets, processes or Python.

pub mod conformance;
pub mod disk;
pub mod model;
pub mod mutants;
pub mod scratch;
pub mod simulation;
