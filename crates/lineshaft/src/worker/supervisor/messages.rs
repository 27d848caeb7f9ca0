//! What the crew and the tasks that watch its children say to each other.

use std::time::Duration;

use bytes::Bytes;
use lineshaft_ipc::shared::StopReason;
use lineshaft_wire::Fence;
use lineshaft_wire::message::{AddLogs, ChildEnded};

use super::wear::{Why, Worn};

/// What a child's task tells the crew.
#[derive(Debug)]
pub(super) enum Event {
    /// It has loaded the app.
    Ready,
    /// It is attached and takes jobs.
    Working,
    /// It is to be replaced.
    Worn(Worn),
    /// It could not, and says why.
    Failed(String),
    /// It is dead; a replacement may start. Its process group may still be on its way out.
    Died,
    /// Its process group is empty.
    Ended(Box<Ended>),
}

/// A child that is gone with all that it started.
#[derive(Debug)]
pub(super) struct Ended {
    /// For the server; `None` if the child never got as far as a lease.
    pub(super) report: Option<ChildEnded>,
    /// What its attempts logged and the server did not confirm.
    pub(super) logs: Vec<AddLogs>,
    /// The outputs of the attempts it left.
    pub(super) output: Bytes,
    /// How it ended, in words.
    pub(super) how: String,
}

/// What the crew tells a child's task.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    /// The attempt must stop.
    Stop(Fence, StopReason),
    /// Finish and hand back, however long that takes: somebody else is in its place.
    Retire(Why),
    /// The server is there, or is not.
    Server(bool),
    /// Finish or hand back: attempts are asked to stop after the first time, and killed after the second.
    Drain { ask_after: Duration, kill_after: Duration },
    /// End it all now.
    Kill,
    /// How long a lease lives without renewal.
    Lease(Duration),
}
