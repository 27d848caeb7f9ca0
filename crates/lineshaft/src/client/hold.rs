//! A lock that is asked for or held: the caller's side.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_wire::message::{Acquired, LockKind, LocksLost, Message};

use super::actor::Command;
use super::commands::Commands;
use super::connection::unexpected;
use super::{Reply, Slot};
use crate::Error;

/// A lock to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRequest {
    /// What kind.
    pub kind: LockKind,
    /// Its name: 1 to 255 bytes without control characters.
    pub key: Arc<str>,
    /// How many may hold it with the asker, itself included: 1 to [`LockKind::permits_max`].
    pub permits: u32,
    /// Which thread or coroutine of this client asks, so that the server notices when some of them wait for each other. 0: it
    /// holds nothing else.
    pub party: u64,
    /// How long it is held when this program is not heard of: 2 s to a day. The client renews it every fifth of that.
    pub ttl: Duration,
    /// Whether to wait for it.
    pub wait: bool,
    /// This program, for people; at most 255 bytes.
    pub program: Arc<str>,
}

/// Why a lock is not held any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockLost {
    /// The server was not heard of for as long as the lock is held without renewal.
    #[error("it was not renewed in time")]
    Expired,
    /// The server gave it to others, or an operator broke it.
    #[error("it was taken away: it was not renewed in time, or somebody broke it")]
    Taken,
    /// It belongs to the process that this one was forked from.
    #[error("it is held by the process that this one was forked from")]
    Forked,
}

/// What client and I/O thread know of a holder. Without a lock, so that a fork never finds one held.
#[derive(Debug)]
pub(crate) struct Holding {
    made: Instant,
    ttl: Duration,
    /// 0 until it is held; no fence is.
    fence: AtomicU64,
    place: AtomicU32,
    /// Nanoseconds after `made` until which it is held for certain.
    until: AtomicU64,
    lost: AtomicU8,
}

const HELD: u8 = 0;
const EXPIRED: u8 = 1;
const TAKEN: u8 = 2;

impl Holding {
    pub(crate) fn new(ttl: Duration) -> Self {
        let (fence, until, lost) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU8::new(HELD));
        Self { made: Instant::now(), ttl, fence, place: AtomicU32::new(0), until, lost }
    }

    /// The server heard at `sent` or later that it is held.
    pub(crate) fn confirm(&self, sent: Instant) {
        let until = (sent + self.ttl).saturating_duration_since(self.made);
        self.until.fetch_max(until.as_nanos() as u64, Ordering::Relaxed);
    }

    /// It has the fence that this says; to be told after [`Holding::confirm`].
    pub(crate) fn hold(&self, acquired: Acquired) {
        self.place.store(acquired.place.unwrap_or(0), Ordering::Relaxed);
        self.fence.store(acquired.fence.unwrap_or(0), Ordering::Release);
    }

    pub(crate) fn lose(&self) {
        // Its time may have been over before.
        let _ = self.check();
        let _ = self.lost.compare_exchange(HELD, TAKEN, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn fence(&self) -> u64 {
        self.fence.load(Ordering::Acquire)
    }

    /// A loss that was noticed stays one, although the server may say later that nobody else had it.
    fn check(&self) -> Result<(), LockLost> {
        let is_over = self.made.elapsed().as_nanos() as u64 >= self.until.load(Ordering::Relaxed);
        if is_over {
            let _ = self.lost.compare_exchange(HELD, EXPIRED, Ordering::Relaxed, Ordering::Relaxed);
        }
        match self.lost.load(Ordering::Relaxed) {
            HELD => Ok(()),
            EXPIRED => Err(LockLost::Expired),
            _ => Err(LockLost::Taken),
        }
    }
}

/// A lock on its way: a future, and for threads without a runtime a thing to wait on. Dropping it gives it up.
pub struct Acquiring {
    reply: Reply,
    hold: Option<Hold>,
}

impl Acquiring {
    pub(crate) fn start(commands: Commands, token: u64, request: LockRequest) -> Self {
        let slot = Arc::new(Slot::of(commands.io()));
        let holding = Arc::new(Holding::new(request.ttl));
        let hold = Hold { holding: Arc::clone(&holding), token, commands: commands.clone(), is_over: false };
        let asked = Asked { request, token, holding, slot: Arc::clone(&slot) };
        match commands.send(Command::Acquire(Box::new(asked))) {
            Ok(()) => Self { reply: Reply::new(slot), hold: Some(hold) },
            Err(error) => Self::failed(error),
        }
    }

    pub(crate) fn failed(error: Error) -> Self {
        Self { reply: Reply::ready(Err(error)), hold: None }
    }

    /// Blocks until the lock is held, at most `timeout`. `None` is the timeout, after which it is still asked for;
    /// `Ok(None)` says that others hold it, and that nobody waits; once.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Option<Hold>, Error>> {
        self.reply.wait_timeout(timeout).map(|answer| self.read(answer))
    }

    fn read(&mut self, answer: Result<(Message, Bytes), Error>) -> Result<Option<Hold>, Error> {
        let mut hold = self.hold.take();
        let held = match answer {
            Ok((Message::Acquired(acquired), _)) => Ok(acquired.fence.is_some()),
            Ok((other, _)) => Err(unexpected(&other, "Acquired")),
            Err(error) => Err(error),
        };
        if !matches!(held, Ok(true))
            && let Some(hold) = &mut hold
        {
            // The I/O thread knows it no more.
            hold.is_over = true;
        }
        held.map(|is_held| hold.filter(|_| is_held))
    }

    /// [`Acquiring::wait_timeout`] without one: blocks for as long as it takes.
    pub fn wait(mut self) -> Result<Option<Hold>, Error> {
        const LONG: Duration = Duration::from_secs(3_600);
        loop {
            if let Some(answer) = self.wait_timeout(LONG) {
                return answer;
            }
        }
    }

    /// Calls `callback` when [`Acquiring::wait_timeout`] has something to give, as [`Reply::on_ready`] does.
    pub fn on_ready(&self, callback: impl FnOnce() + Send + 'static) {
        self.reply.on_ready(callback);
    }
}

impl Future for Acquiring {
    type Output = Result<Option<Hold>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|answer| self.read(answer))
    }
}

impl fmt::Debug for Acquiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquiring").field("hold", &self.hold).finish_non_exhaustive()
    }
}

/// A lock that is held until this is released or dropped, as long as the server hears of this process.
pub struct Hold {
    holding: Arc<Holding>,
    token: u64,
    commands: Commands,
    is_over: bool,
}

impl Hold {
    /// Greater than that of every holder of any lock of this home before.
    pub fn fence(&self) -> u64 {
        self.holding.fence()
    }

    /// Of a barrier: how many of those who were given it together came before.
    pub fn place(&self) -> u32 {
        // The fence is told after it.
        let _ = self.fence();
        self.holding.place.load(Ordering::Relaxed)
    }

    /// Whether the lock is held for certain. Looks at the clock and at what the server said last, and asks nobody; once it
    /// was lost it stays so.
    pub fn check(&self) -> Result<(), LockLost> {
        if self.commands.is_ours() { self.holding.check() } else { Err(LockLost::Forked) }
    }

    /// Gives the lock back. The reply is there when that is durable, and says whether it was held until then.
    pub fn release(self) -> Reply<bool> {
        self.give_back().map(|message, _| match message {
            Message::LocksLost(LocksLost { tokens }) => Ok(tokens.is_empty()),
            other => Err(unexpected(&other, "LocksLost")),
        })
    }

    /// [`Hold::release`] with its answer as it came: no tokens if the lock was held until then.
    pub fn give_back(mut self) -> Reply {
        self.is_over = true;
        let slot = Arc::new(Slot::of(self.commands.io()));
        let command = Command::ReleaseLock { token: self.token, slot: Some(Arc::clone(&slot)) };
        match self.commands.send(command) {
            Ok(()) => Reply::new(slot),
            Err(error) => Reply::ready(Err(error)),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.is_over {
            // In a forked copy nothing is sent: the parent has it.
            let _ = self.commands.send(Command::ReleaseLock { token: self.token, slot: None });
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("fence", &self.fence())
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// A lock that is asked for, on its way to the client's task.
pub(crate) struct Asked {
    pub(crate) request: LockRequest,
    pub(crate) token: u64,
    pub(crate) holding: Arc<Holding>,
    pub(crate) slot: Arc<Slot>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_from_when_its_renewal_was_sent_and_a_loss_stays_one() {
        let holding = Holding::new(Duration::from_secs(60));
        assert_eq!(holding.check(), Err(LockLost::Expired), "nobody has confirmed it");
        let holding = Holding::new(Duration::from_secs(60));
        let sent = Instant::now();
        holding.confirm(sent);
        assert_eq!(holding.check(), Ok(()));
        holding.confirm(sent.checked_sub(Duration::from_secs(50)).unwrap_or(sent));
        assert_eq!(holding.check(), Ok(()), "an older word takes nothing away");
        holding.lose();
        holding.confirm(Instant::now());
        assert_eq!(holding.check(), Err(LockLost::Taken));
    }

    #[test]
    fn a_lock_that_is_not_renewed_is_lost_and_is_not_found_again() {
        let holding = Holding::new(Duration::from_millis(5));
        holding.confirm(Instant::now());
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(holding.check(), Err(LockLost::Expired));
        holding.confirm(Instant::now() + Duration::from_secs(9));
        assert_eq!(holding.check(), Err(LockLost::Expired));
    }
}
