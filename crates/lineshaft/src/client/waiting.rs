//! Following jobs until they end: the caller's side.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::EndedJob;

use super::actor::Command;
use super::commands::Commands;
use super::io_thread::Io;
use crate::Error;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Results that wait in memory to be taken; beyond it the server is asked to hold the rest back.
pub(crate) const UNTAKEN_BYTES_MAX: usize = 64 << 20;
/// Where a timeout is longer than clocks count: ten years.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);
/// What an end without a result counts.
const END_BYTES: usize = 256;

type Callback = Box<dyn FnOnce() + Send>;

/// How a job that was waited for ended.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEnd {
    /// It completed.
    Completed {
        /// The job.
        id: JobId,
        /// Its encoded result; `None` if it is not kept, or was not asked for.
        result: Option<Bytes>,
    },
    /// It was cancelled or discarded.
    Failed(Box<EndedJob>),
    /// Nobody knows it.
    Missing {
        /// The job.
        id: JobId,
    },
}

impl JobEnd {
    /// The job.
    pub fn id(&self) -> JobId {
        match self {
            Self::Completed { id, .. } | Self::Missing { id } => *id,
            Self::Failed(ended) => ended.id,
        }
    }

    fn bytes(&self) -> usize {
        END_BYTES
            + match self {
                Self::Completed { result, .. } => result.as_ref().map_or(0, Bytes::len),
                Self::Failed(ended) => ended.output.len(),
                Self::Missing { .. } => 0,
            }
    }
}

/// Jobs being followed; gives each once, in the order in which they end, whoever asks first.
///
/// At most about 64 MiB of results are held here: if they are not taken, the rest stays with the server until they are.
pub struct Waiting {
    inbox: Arc<Inbox>,
    commands: Option<Commands>,
}

impl Waiting {
    pub(crate) fn start(commands: Commands, ids: &[JobId], results: bool) -> Self {
        let inbox = Arc::new(Inbox::default());
        if ids.is_empty() {
            inbox.end(None);
        }
        let command = Command::Wait { ids: ids.to_vec(), results, inbox: Arc::clone(&inbox) };
        if commands.send(command).is_err() {
            inbox.end(Some(Error::Closed));
        }
        Self { inbox, commands: Some(commands) }
    }

    pub(crate) fn failed(error: Error) -> Self {
        let inbox = Arc::new(Inbox::default());
        inbox.end(Some(error));
        Self { inbox, commands: None }
    }

    /// Blocks until some have ended, at most `timeout`. `Pending` is the timeout; `Ready(None)` says that all have been
    /// given; after an error only `Ready(None)`.
    pub fn next_timeout(&mut self, timeout: Duration) -> Poll<Option<Result<Vec<JobEnd>, Error>>> {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + FOREVER);
        let mut state = self.inbox.lock();
        let mut may_drive = !timeout.is_zero();
        loop {
            if let Poll::Ready(taken) = state.take() {
                drop(state);
                return Poll::Ready(self.taken(taken));
            }
            if std::mem::take(&mut may_drive)
                && let Some(seat) = self.io().and_then(Io::take_seat)
            {
                drop(state);
                let next = seat.drive(deadline, poll_fn(|context| self.inbox.poll(context)));
                return next.map_or(Poll::Pending, |taken| Poll::Ready(self.taken(taken)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Poll::Pending;
            }
            state.blocked += 1;
            state = self.inbox.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.blocked -= 1;
        }
    }

    /// Awaits some that have ended; `None` says that all have been given.
    pub async fn next(&mut self) -> Option<Result<Vec<JobEnd>, Error>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// [`Waiting::next`] for hand-written futures.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Vec<JobEnd>, Error>>> {
        let next = self.inbox.poll(context).map(|taken| self.taken(taken));
        if next.is_pending() {
            self.call();
        }
        next
    }

    /// Calls `callback` once there is something to take: from the I/O thread or that of a caller that waits, or at once.
    /// It must not block. A second callback replaces the first.
    pub fn on_ready(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.inbox.lock();
        if state.is_ready() {
            drop(state);
            return callback();
        }
        state.callback = Some(Box::new(callback));
        drop(state);
        self.call();
    }

    fn io(&self) -> Option<&'static Io> {
        self.commands.as_ref().map(Commands::io)
    }

    /// Sees to it that ends come, for those who do not drive.
    fn call(&self) {
        if let Some(io) = self.io() {
            io.call();
        }
    }

    fn taken(&self, taken: Taken) -> Option<Result<Vec<JobEnd>, Error>> {
        match taken {
            Taken::Ends { ends, was_full } => {
                if let (true, Some(commands)) = (was_full, &self.commands) {
                    let _ = commands.send(Command::Unhold { inbox: Arc::clone(&self.inbox) });
                }
                Some(Ok(ends))
            }
            Taken::Failed(error) => Some(Err(error)),
            Taken::Over => None,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // In a forked copy the inbox may be locked for good, by the parent's I/O thread.
        let Some(commands) = self.commands.as_ref().filter(|commands| commands.is_ours()) else { return };
        if !self.inbox.lock().over {
            let _ = commands.send(Command::Unwait { inbox: Arc::clone(&self.inbox) });
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

/// Where the I/O thread puts the ends of jobs and a [`Waiting`] takes them.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ends: VecDeque<JobEnd>,
    bytes: usize,
    error: Option<Error>,
    over: bool,
    was_full: bool,
    /// Threads that wait: to tell nobody costs a system call.
    blocked: u32,
    waker: Option<Waker>,
    callback: Option<Callback>,
}

enum Taken {
    Ends { ends: Vec<JobEnd>, was_full: bool },
    Failed(Error),
    Over,
}

impl Inbox {
    /// Adds ends; true if there are more now than should wait here.
    pub(crate) fn push(&self, ends: Vec<JobEnd>) -> bool {
        let mut state = self.lock();
        state.bytes += ends.iter().map(JobEnd::bytes).sum::<usize>();
        state.ends.extend(ends);
        state.was_full |= state.bytes > UNTAKEN_BYTES_MAX;
        let is_full = state.was_full;
        self.notify(state);
        is_full
    }

    /// Nothing more will come.
    pub(crate) fn end(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.over = true;
        state.error = error;
        self.notify(state);
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Taken> {
        let mut state = self.lock();
        let taken = state.take();
        if taken.is_pending() {
            state.waker = Some(context.waker().clone());
        }
        taken
    }

    fn notify(&self, mut state: MutexGuard<'_, State>) {
        let (waker, callback) = (state.waker.take(), state.callback.take());
        let is_awaited = state.blocked > 0;
        drop(state);
        if is_awaited {
            self.changed.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(callback) = callback {
            callback();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_ready(&self) -> bool {
        !self.ends.is_empty() || self.over
    }

    fn take(&mut self) -> Poll<Taken> {
        if !self.ends.is_empty() {
            let was_full = std::mem::take(&mut self.was_full);
            self.bytes = 0;
            return Poll::Ready(Taken::Ends { ends: std::mem::take(&mut self.ends).into(), was_full });
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Taken::Failed(error));
        }
        if self.over { Poll::Ready(Taken::Over) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(slot: u32) -> JobEnd {
        JobEnd::Missing { id: JobId::direct(1, 0, slot, 0) }
    }

    fn waiting(inbox: &Arc<Inbox>) -> Waiting {
        Waiting { inbox: Arc::clone(inbox), commands: None }
    }

    #[test]
    fn ends_come_before_the_error_and_then_nothing() {
        let inbox = Arc::new(Inbox::default());
        let mut waiting = waiting(&inbox);
        assert_eq!(waiting.next_timeout(Duration::from_millis(1)).map(|_| ()), Poll::Pending);
        inbox.push(vec![missing(1), missing(2)]);
        inbox.end(Some(Error::Closed));
        let Poll::Ready(Some(Ok(ends))) = waiting.next_timeout(Duration::ZERO) else { panic!() };
        assert_eq!(ends, [missing(1), missing(2)]);
        assert!(matches!(waiting.next_timeout(Duration::ZERO), Poll::Ready(Some(Err(Error::Closed)))));
        assert!(matches!(waiting.next_timeout(Duration::ZERO), Poll::Ready(None)));
    }

    #[test]
    fn results_that_are_not_taken_fill_the_inbox() {
        let inbox = Arc::new(Inbox::default());
        let result = Some(Bytes::from(vec![0; 40 << 20]));
        let end = JobEnd::Completed { id: missing(1).id(), result };
        assert!(!inbox.push(vec![end.clone()]));
        assert!(inbox.push(vec![end.clone()]));
        assert!(
            matches!(waiting(&inbox).next_timeout(Duration::ZERO), Poll::Ready(Some(Ok(ends))) if ends.len() == 2)
        );
        assert!(!inbox.push(vec![end]));
    }
}
