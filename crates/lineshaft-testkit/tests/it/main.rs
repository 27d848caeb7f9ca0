//! The simulation, as far as every run of the tests can afford it.

mod flips;
mod house;
mod mutants;
mod seeds;
