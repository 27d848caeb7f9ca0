//! The simulation, as far as every run of the tests can afford it.

mod mutants;
mod seeds;
