//! Enqueues that wait to be sent at the same moment go as one request: a message, a place in the session and an answer
//! cost more than a job.
//!
//! Nobody is made to wait for company: what is joined waits anyway, because the thread that sends was busy or the
//! window was full. A request with a key stands alone, since it may be refused or answered for itself. Most are joined
//! by the threads that make them, on their way to the client's task ([`Batch`]): the task, which has all callers to serve,
//! then does little more for many requests than for one.

use std::sync::PoisonError;
use std::time::Duration;

use lineshaft_wire::message::{JobGroup, Message};

use super::{Ledger, Request, WINDOW_BYTES, Waiting, payload_bytes};
use crate::sync::{Mutex, MutexGuard};

/// Jobs of a joined request.
const JOBS_MAX: usize = 1024;
/// Payload of a joined request, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// How far the deadlines of joined requests may lie apart: the latest holds for all.
const DEADLINES_APART: Duration = Duration::from_millis(20);

impl Ledger {
    /// Joins to the request, which is about to be sent, those right behind it that ask for jobs of the same kind.
    pub(super) fn join(&mut self, id: u64, waiting: &mut Waiting) {
        if waiting.renewals > 0 || joinable(&waiting.request).is_none() {
            return;
        }
        let own_deadline = waiting.request.deadline;
        let mut bytes = payload_bytes(&waiting.request);
        while let Some(next) = self.mutations_waiting.first_entry() {
            let more = payload_bytes(&next.get().request);
            let fits = bytes + more <= BYTES_MAX.min(WINDOW_BYTES.saturating_sub(self.payload_bytes));
            if !fits || next.get().renewals > 0 || !are_alike(&waiting.request, &next.get().request) {
                break;
            }
            let (next_id, next) = next.remove_entry();
            self.deadlines.remove(&(next.request.deadline, next_id));
            if !next.request.callers.are_gone() {
                bytes += more;
                append(&mut waiting.request, next.request);
            }
        }
        if waiting.request.deadline != own_deadline {
            self.deadlines.remove(&(own_deadline, id));
            self.deadlines.insert((waiting.request.deadline, id));
        }
    }
}

/// A request on its way to the client's task, which others may join until the task takes it.
pub(crate) struct Batch(Mutex<Joined>);

struct Joined {
    request: Option<Request>,
    payload_bytes: usize,
}

impl Batch {
    pub(crate) fn of(request: Request) -> Self {
        let payload_bytes = payload_bytes(&request);
        Self(Mutex::new(Joined { request: Some(request), payload_bytes }))
    }

    /// Joins `next`, or gives it back.
    pub(crate) fn join(&self, next: Request) -> Option<Request> {
        let mut joined = self.lock();
        let more = payload_bytes(&next);
        let fits = joined.payload_bytes + more <= BYTES_MAX;
        match &mut joined.request {
            Some(first) if fits && are_alike(first, &next) => append(first, next),
            _ => return Some(next),
        }
        joined.payload_bytes += more;
        None
    }

    /// The request, once.
    pub(crate) fn take(&self) -> Option<Request> {
        self.lock().request.take()
    }

    fn lock(&self) -> MutexGuard<'_, Joined> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The group of an enqueue that may share a request.
fn joinable(request: &Request) -> Option<&JobGroup> {
    let Message::Enqueue(enqueue) = &request.message else { return None };
    let [group] = &enqueue.groups[..] else { return None };
    let is_keyless = group.unique.is_none() && group.idempotency_key.is_none();
    (is_keyless && group.lengths.len() < JOBS_MAX).then_some(group)
}

/// Whether `next` may go with `first`.
fn are_alike(first: &Request, next: &Request) -> bool {
    let apart = first.deadline.max(next.deadline) - first.deadline.min(next.deadline);
    if apart > DEADLINES_APART || first.patience != next.patience {
        return false;
    }
    let (Some(group), Some(other)) = (joinable(first), joinable(next)) else { return false };
    group.lengths.len() + other.lengths.len() <= JOBS_MAX && is_same_kind(group, other)
}

fn is_same_kind(group: &JobGroup, other: &JobGroup) -> bool {
    let when = |group: &JobGroup| (group.run_after, group.expires, group.deadline);
    group.task == other.task
        && group.queue == other.queue
        && group.priority == other.priority
        && group.rules == other.rules
        && when(group) == when(other)
        && group.tags == other.tags
        && group.metadata == other.metadata
        && group.context == other.context
}

fn append(request: &mut Request, next: Request) {
    let (Message::Enqueue(enqueue), Message::Enqueue(more)) = (&mut request.message, next.message) else {
        unreachable!("both were looked at");
    };
    let (lengths, mut added) = (&mut enqueue.groups[0].lengths, more.groups);
    let added = std::mem::take(&mut added[0].lengths);
    request.callers.join((lengths.len(), added.len()), next.callers);
    lengths.extend(added);
    request.payload.extend(next.payload);
    request.deadline = request.deadline.max(next.deadline);
}
