//! What the crew wants of a child, passed on to it.

use std::time::{Duration, Instant};

use lineshaft_ipc::shared::{Begun, StopReason};
use lineshaft_wire::Fence;
use rustix::process::Signal;

use super::{Drain, LAST_ENDS, Retired, Watch};
use crate::worker::child::DRAIN;
use crate::worker::supervisor::messages::Command;
use crate::worker::supervisor::wear::Why;

/// What a child that makes no progress gets to hand back what it has, once there is another one.
const STUCK: Duration = Duration::from_secs(2);

impl Watch {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Stop(fence, reason) => self.stop(fence, reason),
            Command::Retire(why) => self.retire(why),
            Command::Server(is_there) => self.server = is_there.then(Instant::now),
            Command::Drain { ask_after, kill_after } => self.drain(ask_after, kill_after),
            Command::Kill => self.kill(StopReason::Shutdown),
            Command::Lease(lease) => self.lease = Some(lease),
        }
    }

    /// The child hears of it too and asks the body, or hands back what has not begun; this makes sure where it cannot.
    fn stop(&self, fence: Fence, reason: StopReason) {
        let fence = lineshaft_ipc::shared::Fence { epoch: fence.epoch, counter: fence.counter };
        if let Some(begun) = self.process.page.begun().find(|begun| begun.fence == fence) {
            self.request(&begun, reason);
        }
    }

    fn drain(&mut self, ask_after: Duration, kill_after: Duration) {
        let now = Instant::now();
        self.drain = Some(Drain { ask_at: now + ask_after, kill_at: now + kill_after });
        self.ask_to_drain();
    }

    /// It takes nothing new. What it does not even do then is to end.
    fn retire(&mut self, why: Why) {
        let patience = if why.is_stuck() { STUCK } else { LAST_ENDS + self.options.grace };
        self.retired = Some(Retired { idle_since: None, patience });
        self.ask_to_drain();
    }

    fn ask_to_drain(&self) {
        // Not by the runtime, which would refuse until it has seen that the socket takes something.
        if let Err(error) = rustix::io::write(&self.process.lifeline, &[DRAIN]) {
            tracing::debug!(%error, "a child cannot be told to drain");
        }
    }

    pub(super) fn kill(&self, reason: StopReason) {
        self.process.page.begun().for_each(|begun| self.request(&begun, reason));
        self.end_group(Signal::KILL);
    }

    pub(super) fn request(&self, begun: &Begun, reason: StopReason) {
        if self.stop_of(begun).is_none() {
            self.process.page.request_stop(begun.place, begun.fence, reason);
        }
    }

    pub(super) fn stop_of(&self, begun: &Begun) -> Option<StopReason> {
        self.process.page.stop_requested(begun.place, begun.fence)
    }

    /// Signals the group so that the child ends, and says in its page that this is why.
    pub(super) fn end_group(&self, signal: Signal) {
        self.process.note_strays();
        self.process.page.set_ending();
        self.process.signal_group(signal);
    }
}
