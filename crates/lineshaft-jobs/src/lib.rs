//! The state machine of jobs: every rule about them lives here, once.
//!
//! It is pure. [`State::decide`] looks at a [`Command`] and says which [`Change`]s it makes, [`State::apply`] makes
//! them, and neither does I/O, reads a clock or draws a random number: those come in as [`Now`]. A replay of the
//! journal needs `apply` alone, so whatever `apply` does follows from the change and the state, and what it does for
//! a released change stays as it is.
//!
//! Read [`change`] for what can happen to a job, then `decide/` for when it does, then `apply.rs`.
//!
//! Beside the durable state there is who is connected and with what credit ([`State::attach`] and friends): it ends
//! with the process, so it changes without a [`Change`].
//!
//! The crate deliberately does not know files, sockets, threads, processes or what the payloads mean.

mod account;
mod apply;
mod cache;
mod census;
pub mod change;
mod cold;
mod command;
mod decide;
mod dispatch;
mod extra;
mod interned;
mod job;
mod kept;
mod lanes;
mod limiters;
mod line;
mod list;
mod locks;
mod notes;
mod places;
mod rules;
mod slot;
mod slot_page;
mod slots;
mod snapshot;
mod state;
mod statistics;
mod view;

pub use account::Account;
pub use change::{CachedValue, Change, NewHolder, Next, Place, Stored};
pub use cold::{ColdPage, PageBytes, RestingPage};
pub use command::{ArchivedCall, Command, Decision, Entry, Event, Now, Payloads, Refusal, Reply};
pub use decide::{CacheView, Copied, Movable, PayloadOwner, Wanted};
pub use dispatch::Attach;
pub use kept::Live;
pub use locks::Deadlock;
pub use notes::Notes;
pub use rules::{decode_rules, encode_rules};
pub use slot_page::Vacated;
pub use snapshot::{ChangedPage, LoadedPage, Snapshot, SnapshotDraft, SnapshotError};
pub use state::{Answer, Limits, State};
pub use statistics::TASKS_MAX;
pub use view::{AttemptView, ChildView, EndView, JobView, LeaseView, PageView, TasksAndQueues, decode_error};
