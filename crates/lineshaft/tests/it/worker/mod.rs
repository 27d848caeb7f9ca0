//! Workers with real children, real signals and a real server, each a process of its own.

mod cable;
mod cut;
mod death;
mod drain;
mod faults;
mod memory;
mod outage;
mod programs;
mod recycling;
mod slots;
mod stages;
mod support;
