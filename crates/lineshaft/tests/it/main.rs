//! The client and the worker from outside, against real servers and processes.

mod bench;
mod client;
mod driving;
mod face;
mod pool;
mod pool_contexts;
mod reconnect;
mod worker;
