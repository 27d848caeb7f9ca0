//! What processes wait for each other with, in a [`Segment`](crate::segment::Segment): [`Lock`], [`Event`], [`Semaphore`],
//! [`Permits`] and [`Waiters`].
//!
//! Any process may be killed at any instruction, so three rules hold here and in what is built on this:
//!
//! - *Nothing is held by nobody.* What a process has is marked by one store, with its [`Owner`]: pid and start time, which
//!   are never given twice. Whoever waits long looks whether that owner lives and takes from the dead.
//! - *One store commits.* Before it nothing has happened, after it everything; so there is nothing to repair.
//! - *Nobody sleeps for good.* Who should have woken a sleeper may be dead, so [`EventCount`] wakes by itself now and then.
//!
//! [`crate::ring`] is built on it, and says what that comes to. Time-outs are `Option<Duration>`: `None` waits for ever, zero does not wait.

mod atomics;
mod deadline;
mod event;
mod event_count;
mod lock;
#[cfg(model)]
pub(crate) mod model;
mod owner;
mod permits;
mod semaphore;
mod waiters;

pub(crate) use self::atomics::{AtomicU32, AtomicU64, fence, futex};
pub(crate) use self::deadline::Deadline;
pub use self::event::Event;
pub(crate) use self::event_count::{EventCount, NAP};
pub use self::lock::{Acquired, Lock};
pub(crate) use self::lock::{GRACE, LockWord};
pub use self::owner::Owner;
#[cfg(all(test, model))]
pub(crate) use self::permits::Core as PermitsCore;
pub use self::permits::Permits;
pub use self::semaphore::Semaphore;
#[cfg(all(test, model))]
pub(crate) use self::semaphore::SemaphoreWords;
#[cfg(all(test, model))]
pub(crate) use self::waiters::Core as WaitersCore;
pub use self::waiters::{Ended, Waiters};
