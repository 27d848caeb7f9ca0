//! The engine from outside: on a real disk with its threads, and without them on a disk that dies.

mod absent;
mod backup;
mod cache;
mod cold;
mod crashes;
mod doctor;
mod errors;
mod faults;
mod full;
mod golden;
mod kills;
mod live;
mod locks;
mod logs;
mod moves;
mod profiles;
mod progress;
mod repeats;
mod retention;
mod sessions;
mod spill;
mod stats;
mod turns;
mod world;
