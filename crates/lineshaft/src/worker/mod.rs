//! Workers: a supervisor, and the children that run attempts.
//!
//! [`Supervisor`] starts children by exec, each the leader of its own process group, watches them, stops what must
//! stop and reports those that died. [`Child`] is the runtime inside such a process: a thread with its own connection
//! fetches jobs, renews leases and sends ends whatever the language on top does; the *slot* (the thread that runs the
//! bodies) only calls [`Child::next`], [`Child::begin`] and [`Child::finish`].
//!
//! The two share an [`AttemptPage`](lineshaft_ipc::shared::AttemptPage), which tells after any death what had begun,
//! and a socket pair whose closing tells the child that its supervisor is gone. Read [`child`] for the path of a job,
//! [`supervisor`] for the life and death of a process.
//!
//! Neither knows tasks, values or Python: arguments and results are bytes.

mod assignment;
pub mod child;
mod clock;
mod death;
mod error;
mod link;
mod options;
pub mod supervisor;

pub use child::{Child, Ending, Job, Next, TaskEntry};
pub use error::Error;
pub use lineshaft_ipc::shared::StopReason;
pub use lineshaft_wire::message::End;
pub use options::Options;
pub use supervisor::{Handle, Supervisor};
