//! Who drives a child's connection: a thread made for it, or the only slot's own thread while it waits for a job.
//!
//! Where one thread reads a job and another runs it, each job and each end costs a wake-up more, and on a machine that
//! has nothing else to do that is 10 to 50 us. So a slot that is idle drives: it reads its job itself, and sends the
//! end when it comes back for the next one. Meanwhile nobody drives, for [`BODY`] at most: then the thread takes over,
//! and leases are renewed while the body computes. It takes over at once where more jobs wait, and keeps on until the
//! slot has been without a job for [`LINGER`], so that a busy child hands nothing over.

use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::guard;
use super::job::Next;
use super::queue::Shared;
use crate::worker::Error;

/// How long a body may run before the thread takes over. Longer than a tick of the kernel, 4 ms: on a virtual machine a
/// timer that is due before the next tick takes 10 us to set and 8 us to stop, any other 3 us together.
const BODY: Duration = Duration::from_millis(5);
/// How long the slot waits for a job before it takes over.
const LINGER: Duration = Duration::from_millis(5);
const NOW: Duration = Duration::from_nanos(1);

/// Who drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    Nobody,
    Thread,
    Slot,
}

/// The runtime of the connection, and who drives it. Whenever nobody does, the alarm is set.
#[derive(Debug)]
pub(super) struct Helm {
    runtime: Runtime,
    driver: Mutex<Driver>,
    /// The slot takes over from the thread; told once each time.
    give_way: Notify,
    /// Calls the thread. A timer, since setting it wakes nobody.
    alarm: OwnedFd,
}

impl Helm {
    /// The thread is to drive first.
    pub(super) fn new() -> Result<Self, Error> {
        let action = "start the connection's thread";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io(action))?;
        let alarm = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC);
        let alarm = alarm.map_err(Error::io(action))?;
        Ok(Self { runtime, driver: Mutex::new(Driver::Thread), give_way: Notify::new(), alarm })
    }

    /// Runs `task` whoever drives. The process dies if it panics: nobody would ever hear of its attempts.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(async {
            let _end = DieOfPanic;
            task.await;
        });
    }

    /// The life of the thread.
    pub(super) fn stand_by(&self, wake: &Notify) {
        loop {
            self.runtime.block_on(async {
                wake.notify_one();
                self.give_way.notified().await;
            });
            // The slot has it now, or has had it meanwhile.
            loop {
                self.await_alarm();
                if self.take_over() {
                    break;
                }
            }
        }
    }

    /// The next job for the only slot, on whose thread this is called, waiting up to `timeout`.
    pub(super) fn next(&self, shared: &Shared, timeout: Duration) -> Next {
        let until = Instant::now() + timeout;
        if self.driver() == Driver::Thread {
            match shared.wait(timeout.min(LINGER)) {
                Next::TimedOut => {}
                next => return next,
            }
        }
        self.take();
        let next = self.runtime.block_on(async {
            // What was left for the connection while nobody drove.
            shared.wake.notify_one();
            match tokio::time::timeout_at(until.into(), shared.recv()).await {
                Ok(Some(job)) => Next::Job(job),
                Ok(None) => Next::Drained,
                Err(_) => Next::TimedOut,
            }
        });
        *self.lock() = Driver::Nobody;
        let is_alone = shared.state().waiting.is_empty();
        self.set_alarm(if is_alone { BODY } else { NOW });
        next
    }

    /// The slot's thread drives from here on.
    fn take(&self) {
        let before = mem::replace(&mut *self.lock(), Driver::Slot);
        match before {
            Driver::Thread => self.give_way.notify_one(),
            _ => self.set_alarm(Duration::ZERO),
        }
    }

    /// The thread drives from here on; false if the slot does.
    fn take_over(&self) -> bool {
        let mut driver = self.lock();
        let is_free = *driver == Driver::Nobody;
        if is_free {
            *driver = Driver::Thread;
        }
        is_free
    }

    /// Who drives now. Where nobody does, the slot or the alarm ends that soon.
    pub(super) fn driver(&self) -> Driver {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Driver> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that somebody drives now.
    pub(super) fn call(&self) {
        if self.driver() == Driver::Nobody {
            self.set_alarm(NOW);
        }
    }

    /// Zero is never.
    fn set_alarm(&self, after: Duration) {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec { tv_sec: 0, tv_nsec: after.subsec_nanos().into() };
        let alarm = Itimerspec { it_interval: never, it_value };
        if let Err(error) = timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &alarm) {
            tracing::error!(%error, "a child's timer is gone");
            guard::die();
        }
    }

    fn await_alarm(&self) {
        while let Err(error) = rustix::io::read(&self.alarm, &mut [0; 8]) {
            if error != rustix::io::Errno::INTR {
                tracing::error!(%error, "a child's timer is gone");
                guard::die();
            }
        }
    }
}

struct DieOfPanic;

impl Drop for DieOfPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            guard::die();
        }
    }
}
