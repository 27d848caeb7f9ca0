//! The engine from outside: on a real disk with its threads, and without them on a disk that dies.

mod backup;
mod cold;
mod crashes;
mod doctor;
mod faults;
mod full;
mod golden;
mod kills;
mod live;
mod moves;
mod spill;
mod stats;
mod turns;
mod world;
