//! Workers: a supervisor, and the children that run attempts.
//!
//! [`Supervisor`] starts children by exec, each the leader of its own process group, watches them, stops what must
//! stop and reports those that died. [`Child`] is the runtime inside such a process: a thread with its own connection
//! fetches jobs, renews leases and sends ends whatever the language on top does; the *slots* (the process itself, or
//! threads or coroutines of it, which run the bodies) only call [`next`](Attempts::next) or [`recv`](Attempts::recv),
//! [`begin`](Attempts::begin) and [`finish`](Attempts::finish). [`local`] is the same without another process.
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
mod farewell;
mod kind;
mod link;
pub mod local;
mod options;
pub mod profiles;
pub mod supervisor;

pub use child::{Attempts, Child, Draft, Ending, Job, Newest, Next, TaskEntry, Ticket};
pub use error::Error;
pub use kind::Kind;
pub use lineshaft_ipc::shared::StopReason;
pub use lineshaft_wire::message::End;
pub use options::{Options, Recycle};
pub use supervisor::{Handle, Supervisor};

pub(crate) use farewell::Farewell;
