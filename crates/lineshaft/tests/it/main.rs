//! The client and the worker from outside, against real servers and processes.

mod around;
mod bench;
mod client;
mod driving;
mod face;
mod pool;
mod pool_contexts;
mod reconnect;
mod worker;
