//! Leases whose arguments do not read when they are about to be sent: what is damaged must cost its own job, and not hold
//! up a worker.

use std::sync::Arc;

use lineshaft_jobs::{Command, Now, Payloads};
use lineshaft_store::{Error as StoreError, PayloadRef};
use lineshaft_wire::message::{End, Finish, OtherEnd};
use lineshaft_wire::{ErrorRecord, Fence, JobId, Measures};

use crate::Error;
use crate::core::{Core, reference};
use crate::handle::ConnectionId;

/// Why a job ended whose arguments or checkpoint are lost.
pub(crate) const PAYLOAD_LOST: &str = "payload_lost";
/// How long a job waits when the system could not read for reasons that may pass.
const PAUSE_MS: u64 = 5_000;

/// Arguments or checkpoint of a lease that did not read; its child never heard of it.
#[derive(Debug)]
pub struct Unread {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub fence: Fence,
    /// What did not read.
    pub payload: PayloadRef,
    /// Why.
    pub error: Error,
}

impl Core {
    /// The child of `connection` was to be told of a lease that does not read.
    ///
    /// What was moved meanwhile is leased again, what may read later waits a little, and a job that cannot be run any
    /// more is discarded.
    pub(crate) fn unread(&mut self, connection: ConnectionId, unread: &Unread, now: Now) {
        let Unread { job, fence, .. } = *unread;
        let child = self.connections.get(&connection).and_then(|connection| connection.child);
        let Some(child) = child.filter(|child| self.children.get(child) == Some(&connection)) else { return };
        let Some(slot) = self.state.leased_slot(child, job, fence) else { return };
        let view = self.state.view(slot);
        let is_there = [view.arguments, view.checkpoint].map(reference).contains(&unread.payload);
        let command = if is_there {
            let finish = Finish { others: vec![end(unread, now)], ..Finish::default() };
            Command::Finish { child, finish, payloads: Payloads::default() }
        } else {
            Command::Release { child, leases: vec![(job, fence)] }
        };
        if let Err(refusal) = self.run(command, now) {
            tracing::error!(%job, error = refusal.message, "a lease that does not read stays until it ends by time");
        }
        self.state.grant(child, 1, false);
    }
}

fn end(Unread { job, fence, error, .. }: &Unread, now: Now) -> OtherEnd {
    let message = format!("the arguments or the checkpoint of the job do not read: {error}");
    let end = if may_pass(error) {
        tracing::warn!(%job, %error, "a job's arguments do not read: it is tried again in a moment");
        End::PutOff { delay_ms: PAUSE_MS, reason: message.into() }
    } else {
        let code = error.code().map(|code| code.to_string());
        tracing::error!(code, %job, %error, "a job's arguments are lost: it is discarded");
        let error = ErrorRecord { message, ..ErrorRecord::default() };
        End::Rejected { reason: Arc::from(PAYLOAD_LOST), error }
    };
    let (started_at, finished_at) = (now.wall_ms, now.wall_ms);
    OtherEnd {
        job: *job,
        fence: *fence,
        started_at,
        finished_at,
        end,
        output_length: 0,
        measures: Measures::default(),
    }
}

/// Whether the system refused to read, which is no proof that anything is lost.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Store(StoreError::Io { .. }) | Error::Ended)
}
