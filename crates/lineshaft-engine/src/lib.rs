//! Drives the state machine over a journal.
//!
//! Requests come in through a [`Handle`], are decided and applied in memory by one thread at a time, and are written to the
//! journal together: whatever arrived while one commit was being written is the next. Nothing leaves before its commit
//! is durable, whether or not it changed anything, because what it says may rest on a change that is not.
//!
//! Read `core.rs` for what happens to a request, `requests.rs` and `workers.rs` for each kind of one, `open.rs` and
//! `driver.rs` for the start and the turns around them, `turns.rs` for the threads that take those (`stepped.rs` for none),
//! `query.rs` for what is read from disk, `archiver.rs` for where finished jobs go, `compaction.rs` for where payloads go
//! that wait for long, `spill.rs` for where jobs go that memory is too small for, `snapshots.rs` for what a restart begins
//! with.
//!
//! The crate deliberately does not know sockets, frames, users or the meaning of payloads.

mod archiver;
pub mod backup;
mod blobs;
mod cache;
mod clock;
mod compaction;
mod core;
mod declarations;
mod driver;
mod error;
mod handle;
mod holds;
mod inbox;
pub mod inspect;
mod kept_snapshots;
mod lag;
mod list;
mod locks;
mod logs;
mod next_profiles;
mod open;
mod options;
mod pulse;
mod query;
mod recovery;
mod relief;
mod repeats;
mod requests;
mod room;
mod snapshots;
mod spill;
mod stepped;
mod sweep;
mod sync;
mod turns;
mod unread;
mod waits;
mod workers;

pub use crate::core::{Committed, Core, Output};
pub use clock::{Clock, SimulatedClock};
pub use error::Error;
pub use handle::{ConnectionId, Handle, Outbox, Outgoing, Payload, Payloads};
pub use open::{Opened, open, open_on, open_with};
pub use options::{Options, Retention, ServerFacts, Upkeep};
pub use recovery::{Recovered, recover};
pub use room::Room;
pub use snapshots::put_snapshot;
pub use spill::{Memory, Scratch};
pub use stepped::{Aside, Stepped};
pub use unread::Unread;
