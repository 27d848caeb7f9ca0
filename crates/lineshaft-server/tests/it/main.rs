//! Integration tests of the server: a real engine in a real home, spoken to over real sockets.

mod bad_input;
mod hand_over;
mod handshake;
mod lifecycle;
mod requests;
mod slow_reader;
mod support;
mod takeover;
mod worker_death;
