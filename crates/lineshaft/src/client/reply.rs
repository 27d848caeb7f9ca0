//! The answer to one request, on its way: a future, and for threads without a runtime a thing to wait on.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_wire::message::{Enqueued, Message};

use super::io_thread::Io;
use super::ledger::Part;
use crate::Error;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// What a request came to.
pub(crate) type Answer = Result<(Message, Bytes), Error>;

type Callback = Box<dyn FnOnce() + Send>;

/// The answer to a request: await it, wait for it, or be called when it is there.
///
/// Dropping it forgets the answer. A request that still waits for room in the window is then not sent at all, unless it
/// was joined with others that are wanted; so the memory of waiting requests belongs to whoever holds their replies.
pub struct Reply<T = (Message, Bytes)> {
    hold: Hold,
    convert: fn(Message, Bytes) -> Result<T, Error>,
}

impl Reply {
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { hold: Hold(slot), convert: |message, payload| Ok((message, payload)) }
    }

    /// A reply that is there already.
    pub(crate) fn ready(answer: Answer) -> Self {
        let slot = Arc::new(Slot::default());
        slot.fill(answer);
        Self::new(slot)
    }

    /// The same reply, read by `convert` when it comes.
    pub fn map<T>(self, convert: fn(Message, Bytes) -> Result<T, Error>) -> Reply<T> {
        Reply { hold: self.hold, convert }
    }
}

impl<T> Reply<T> {
    /// Blocks until the answer is there, at most `timeout`; `None` if it is not. An answer is given once.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, Error>> {
        self.hold.0.wait(timeout).map(|answer| self.read(answer))
    }

    /// Blocks until the answer is there; the request's own deadline bounds it.
    pub fn wait(mut self) -> Result<T, Error> {
        loop {
            if let Some(answer) = self.wait_timeout(Duration::from_secs(60)) {
                return answer;
            }
        }
    }

    /// Whether the answer is there.
    pub fn is_ready(&self) -> bool {
        self.hold.0.lock().answer.is_some()
    }

    /// Calls `callback` once the answer is there: from the I/O thread or that of a caller that waits, or at once if it is
    /// there already. It must not block. A second callback replaces the first.
    pub fn on_ready(&self, callback: impl FnOnce() + Send + 'static) {
        self.hold.0.on_filled(Box::new(callback));
        self.hold.0.call();
    }

    fn read(&self, answer: Answer) -> Result<T, Error> {
        answer.and_then(|(message, payload)| (self.convert)(message, payload))
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.hold.0.poll(context);
        if answer.is_pending() {
            self.hold.0.call();
        }
        answer.map(|answer| self.read(answer))
    }
}

/// A reply's end of a slot.
struct Hold(Arc<Slot>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

/// Where the I/O thread leaves an answer and a caller finds it.
#[derive(Default)]
pub(crate) struct Slot {
    /// Whose driving brings the answer.
    io: Option<&'static Io>,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    answer: Option<Left>,
    taken: bool,
    abandoned: bool,
    /// Threads that wait: to tell nobody costs a system call.
    blocked: u32,
    waker: Option<Waker>,
    callback: Option<Callback>,
}

/// What is left in a slot.
enum Left {
    Whole(Answer),
    Part(Arc<Enqueued>, Part),
}

impl Slot {
    /// One that is filled by a task that `io` drives.
    pub(crate) fn of(io: &'static Io) -> Self {
        Self { io: Some(io), ..Self::default() }
    }

    /// Leaves the answer; the first one counts.
    pub(crate) fn fill(&self, answer: Answer) {
        self.leave(Left::Whole(answer));
    }

    /// Leaves what is the caller's of an answer to many. It is cut out by the caller's thread: memory that one thread
    /// takes and another gives back costs more, and this thread has many to serve.
    pub(crate) fn fill_part(&self, enqueued: &Arc<Enqueued>, part: Part) {
        self.leave(Left::Part(Arc::clone(enqueued), part));
    }

    fn leave(&self, answer: Left) {
        let mut state = self.lock();
        if state.answer.is_some() || state.taken {
            return;
        }
        state.answer = Some(answer);
        let (waker, callback) = (state.waker.take(), state.callback.take());
        let is_awaited = state.blocked > 0;
        drop(state);
        if is_awaited {
            self.filled.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(callback) = callback {
            callback();
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    fn abandon(&self) {
        self.lock().abandoned = true;
    }

    fn wait(&self, timeout: Duration) -> Option<Answer> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        let mut may_drive = true;
        loop {
            if let Some(answer) = state.take() {
                return Some(answer);
            }
            if std::mem::take(&mut may_drive)
                && !timeout.is_zero()
                && let Some(seat) = self.io.and_then(Io::take_seat)
            {
                drop(state);
                return seat.drive(deadline, poll_fn(|context| self.poll(context)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state.blocked += 1;
            state = self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.blocked -= 1;
        }
    }

    /// Sees to it that the answer comes, for those who do not drive.
    fn call(&self) {
        if let Some(io) = self.io {
            io.call();
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Answer> {
        let mut state = self.lock();
        if let Some(answer) = state.take() {
            return Poll::Ready(answer);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn on_filled(&self, callback: Callback) {
        let mut state = self.lock();
        if state.answer.is_none() && !state.taken {
            state.callback = Some(callback);
            return;
        }
        drop(state);
        callback();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Answer> {
        if self.taken {
            return Some(Err(Error::Closed));
        }
        let answer = self.answer.take()?;
        self.taken = true;
        Some(match answer {
            Left::Whole(answer) => answer,
            Left::Part(enqueued, part) => Ok((part.of(&enqueued).into(), Bytes::new())),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use lineshaft_wire::message::Done;

    use super::*;

    fn done() -> (Message, Bytes) {
        (Message::Done(Done {}), Bytes::new())
    }

    #[test]
    fn an_answer_is_given_once_and_then_the_reply_is_closed() {
        let slot = Arc::new(Slot::default());
        let mut reply = Reply::new(Arc::clone(&slot));
        assert!(reply.wait_timeout(Duration::from_millis(1)).is_none());
        slot.fill(Ok(done()));
        assert!(reply.is_ready());
        assert!(reply.wait_timeout(Duration::ZERO).unwrap().is_ok());
        assert!(matches!(reply.wait_timeout(Duration::ZERO), Some(Err(Error::Closed))));
    }

    #[test]
    fn a_callback_is_called_whether_it_comes_before_or_after_the_answer() {
        for before in [true, false] {
            let called = Arc::new(AtomicBool::new(false));
            let slot = Arc::new(Slot::default());
            let reply = Reply::new(Arc::clone(&slot));
            let flag = Arc::clone(&called);
            let callback = move || flag.store(true, Ordering::SeqCst);
            if before {
                reply.on_ready(callback);
                slot.fill(Ok(done()));
            } else {
                slot.fill(Ok(done()));
                reply.on_ready(callback);
            }
            assert!(called.load(Ordering::SeqCst), "before: {before}");
        }
    }

    #[test]
    fn a_waiting_thread_wakes_when_the_answer_comes() {
        let slot = Arc::new(Slot::default());
        let reply = Reply::new(Arc::clone(&slot));
        let waiter = std::thread::spawn(move || reply.wait());
        std::thread::sleep(Duration::from_millis(5));
        slot.fill(Err(Error::Protocol("x".into())));
        assert!(matches!(waiter.join().unwrap(), Err(Error::Protocol(_))));
    }

    #[test]
    fn a_dropped_reply_marks_its_request_abandoned() {
        let slot = Arc::new(Slot::default());
        drop(Reply::new(Arc::clone(&slot)));
        assert!(slot.is_abandoned());
    }
}
