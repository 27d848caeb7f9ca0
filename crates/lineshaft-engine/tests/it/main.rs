//! The engine from outside: on a real disk with its threads, and without them on a disk that dies.

mod crashes;
mod faults;
mod full;
mod golden;
mod live;
mod turns;
mod world;
