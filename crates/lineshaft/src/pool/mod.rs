//! Functions in processes beside this one: [`Pool`], to whose programs [`init`] belongs.
//!
//! A pool has one thread (`crew.rs`, and `state.rs` with what its lock is for), which hires and replaces workers (`staff.rs`, `hand.rs`), gives them shares of what is
//! to be done (`agenda.rs`) and passes on what they report (`sink.rs`) to whoever waits for it (`results.rs`,
//! `submitted.rs`). A worker is this program, started again (`start.rs`), which knows its tasks by the same numbers
//! (`registry.rs`) and works off what it is given (`labour.rs`). `message.rs` has what they say to each other.
//!
//! Who does which items of a call, and when, says a [`Plan`], here as in the pool of Python. It is pure: no processes, clock,
//! threads or memory that is shared. `call.rs` has the items of a call, `pace.rs` learns how long they take, and `worker.rs`
//! has the shares of a worker. A [`Foreman`] knows what time it is and takes back what was given; whoever drives it sends what
//! [`Foreman::next_order`] says, and reports what was done or lost.

mod agenda;
mod builder;
mod call;
mod crew;
mod error;
mod face;
mod feed;
mod foreman;
mod hand;
mod labour;
mod message;
mod pace;
mod plan;
mod registry;
mod results;
mod sink;
mod staff;
mod start;
mod state;
mod submitted;
#[cfg(test)]
mod tests;
mod worker;

pub use builder::Builder;
pub use error::Error;
pub use face::Pool;
pub use results::{Results, Unordered};
pub use start::init;
pub use submitted::Submitted;

#[doc(hidden)]
pub use call::CallOptions;
#[doc(hidden)]
pub use foreman::Foreman;
#[doc(hidden)]
pub use plan::{Done, Order, Plan};
#[doc(hidden)]
pub use registry::Registered;
#[doc(hidden)]
pub use worker::{SLOTS, Theft};
