//! The input and output of all clients of a process: one runtime, and who drives it.
//!
//! The thread `lineshaft-io`, started by the first client, drives it while anything is under way that no caller drives
//! for. But a caller that waits for its answer, and finds that nobody drives, does so itself: its request and the answer
//! to it then need no hand-over between threads. So there are three states: nobody drives, the thread does, or a caller.
//!
//! - The thread gives way when nothing is unanswered and a caller has had to wait for it. It then *stands by*, out of
//!   the way of the next caller: it sleeps until it is called, a connection ends, or a request has waited for
//!   [`LATE`]. When nobody has driven for [`QUIET`] it drives again, since somebody has to send pings.
//! - A caller drives until it has its answer, or for as long as it would have waited. If something else is unanswered
//!   by then, the thread is called.
//! - Whoever waits in another way, by a future or a callback, calls the thread if nobody drives.
//! - What is sent while nobody drives is held for the one who does next ([`held`]).

mod held;
#[cfg(model)]
mod model;
#[cfg(not(model))]
mod runtime;
#[cfg(not(model))]
mod wakes;

use std::future::Future;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use self::held::Held;
#[cfg(model)]
use self::model::{runtime, wakes};
use self::runtime::{Runtime, Spin};
use self::wakes::Wakes;
use crate::Error;
use crate::per_process::PerProcess;
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, thread};

/// How long nobody drives before the thread does again. A program that enqueues now and then finds nobody driving.
const QUIET: Duration = Duration::from_secs(1);
/// How long a request waits that its caller neither waits for nor awaits. Longer than a tick of the kernel, 4 ms: on a
/// virtual machine a timer that is due before the next tick takes 10 us to set.
const LATE: Duration = Duration::from_millis(5);
const NOW: Duration = Duration::ZERO;

const NOBODY: u8 = 0;
const THREAD: u8 = 1;
const CALLER: u8 = 2;

static THREADS: PerProcess<IoThread> = PerProcess::new();

/// What this process's clients share.
pub(crate) fn get() -> Result<&'static Io, Error> {
    THREADS.get_or_try_make(|| IoThread::start(QUIET)).map(|thread| &*thread.0)
}

/// The thread, which ends when this is dropped.
struct IoThread(Arc<Io>);

impl IoThread {
    /// One that drives again when nobody has for `quiet`.
    fn start(quiet: Duration) -> Result<Self, Error> {
        let runtime = runtime::build().map_err(|error| Error::io("start the I/O runtime", error))?;
        let wakes = Wakes::new().map_err(|error| Error::io("start the I/O thread", error))?;
        let io = Arc::new(Io::new(runtime, wakes, quiet));
        let for_thread = Arc::clone(&io);
        thread::Builder::new()
            .name("lineshaft-io".into())
            .spawn(move || for_thread.live())
            .map_err(|error| Error::io("start the I/O thread", error))?;
        Ok(Self(io))
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        self.0.is_over.store(true, SeqCst);
        self.0.relief.notify_one();
        self.0.call_thread();
    }
}

/// See the module.
pub(crate) struct Io {
    pid: u32,
    /// See [`QUIET`].
    quiet: Duration,
    runtime: Runtime,
    driver: AtomicU8,
    /// Times that somebody began to drive.
    drives: AtomicU32,
    /// Commands on their way, clients that wait for an answer, and ones that end.
    work: AtomicUsize,
    /// A caller waited while the thread drove.
    is_wanted: AtomicBool,
    /// The thread sleeps until it is called.
    is_asleep: AtomicBool,
    /// The thread has to drive, whatever it sees.
    is_called: AtomicBool,
    /// The alarm will go off: it need not be set.
    is_alarmed: AtomicBool,
    is_over: AtomicBool,
    /// Told when the thread may have to give way.
    relief: Notify,
    held: Held,
    /// Of the callers that drive.
    spin: Spin,
    wakes: Wakes,
}

impl Io {
    fn new(runtime: Runtime, wakes: Wakes, quiet: Duration) -> Self {
        Self {
            pid: std::process::id(),
            quiet,
            runtime,
            driver: AtomicU8::new(NOBODY),
            drives: AtomicU32::new(0),
            work: AtomicUsize::new(0),
            is_wanted: AtomicBool::new(false),
            is_asleep: AtomicBool::new(false),
            is_called: AtomicBool::new(false),
            is_alarmed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            relief: Notify::new(),
            held: Held::default(),
            spin: Spin::default(),
            wakes,
        }
    }

    /// Whether this process made it: a forked copy is not to be touched.
    pub(crate) fn is_ours(&self) -> bool {
        self.pid == std::process::id()
    }

    /// Runs `task` beside whatever else there is.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Blocks until `future` is done, driven by others.
    pub(crate) fn complete<T>(&self, future: impl Future<Output = T>) -> T {
        let _unanswered = Work::of_one(self);
        self.call();
        self.runtime.handle().block_on(future)
    }

    /// For callers that wait in another way than by driving: sees to it that somebody drives.
    pub(crate) fn call(&self) {
        if self.driver.load(SeqCst) == NOBODY {
            self.call_thread();
        }
    }

    /// The right to drive, if nobody does; `None` also where one may not block, among the tasks of a runtime.
    pub(crate) fn take_seat(&self) -> Option<Seat<'_>> {
        if !self.is_ours() || runtime::is_within_one() {
            return None;
        }
        match self.driver.compare_exchange(NOBODY, CALLER, SeqCst, SeqCst) {
            Ok(_) => {
                self.drives.fetch_add(1, SeqCst);
                Some(Seat(self))
            }
            Err(driver) => {
                if driver == THREAD {
                    self.is_wanted.store(true, SeqCst);
                }
                None
            }
        }
    }

    fn call_thread(&self) {
        self.is_called.store(true, SeqCst);
        self.is_alarmed.store(true, SeqCst);
        self.wakes.set_alarm(NOW);
    }

    /// The end of this connection is heard whoever drives.
    pub(crate) fn hear_end_of(&self, connection: impl AsFd) {
        if let Err(error) = self.wakes.add_connection(connection) {
            tracing::warn!(%error, "the end of a connection may be heard late");
        }
    }

    fn has_work(&self) -> bool {
        self.work.load(SeqCst) > 0
    }

    /// A command is on its way, which `send` gives to its task. If nobody drives, its caller is about to; if it is not,
    /// the thread sees to it.
    pub(crate) fn add_command(&self, send: impl FnOnce() + Send + 'static) {
        self.add_work();
        let is_driven = || self.driver.load(SeqCst) != NOBODY;
        let is_held = !self.held.send(is_driven, send);
        if is_held && !is_driven() && !self.is_alarmed.swap(true, SeqCst) {
            self.wakes.set_alarm(LATE);
        }
    }

    /// Something is to be done by the tasks. Who drives, or comes to, does not leave before it is.
    pub(crate) fn add_work(&self) {
        self.work.fetch_add(1, SeqCst);
    }

    /// It was taken.
    pub(crate) fn remove_work(&self) {
        if self.work.fetch_sub(1, SeqCst) == 1 && self.is_wanted.load(SeqCst) {
            self.relief.notify_one();
        }
    }
}

/// The life of the thread.
impl Io {
    fn live(&self) {
        let mut is_called = true;
        while !self.is_over.load(SeqCst) {
            if self.driver.compare_exchange(NOBODY, THREAD, SeqCst, SeqCst).is_ok() {
                // A caller may have done meanwhile what was to be done.
                if is_called || self.has_work() {
                    self.drive();
                }
                self.driver.store(NOBODY, SeqCst);
            }
            // A caller that came while the thread gave way counts on it.
            let is_awaited = self.has_work() && self.driver.load(SeqCst) == NOBODY;
            is_called = !is_awaited && self.stand_by();
        }
    }

    fn drive(&self) {
        self.drives.fetch_add(1, SeqCst);
        self.is_called.store(false, SeqCst);
        // Whoever wanted to drive before does not wait any more.
        self.is_wanted.store(false, SeqCst);
        self.runtime.block_on(async {
            self.held.release();
            self.relieved().await;
        });
    }

    async fn relieved(&self) {
        while !self.is_over.load(SeqCst) {
            if !self.has_work() && self.is_wanted.swap(false, SeqCst) {
                return;
            }
            self.relief.notified().await;
        }
    }

    /// Sleeps until the thread has to drive: true whatever there is to do, false because there is work.
    fn stand_by(&self) -> bool {
        let (mut drives, mut since) = (self.drives.load(SeqCst), Instant::now());
        let mut has_ended = false;
        while !self.is_over.load(SeqCst) {
            // From here on the alarm may be set for what is not seen below.
            self.is_alarmed.store(false, SeqCst);
            let driver = self.driver.load(SeqCst);
            // Who drives when the thread was called sees to it, and calls again for what is left.
            let is_called = self.is_called.swap(false, SeqCst);
            if driver == NOBODY && (is_called || has_ended || self.has_work()) {
                return is_called || has_ended;
            }
            if std::mem::replace(&mut drives, self.drives.load(SeqCst)) != drives {
                since = Instant::now();
            }
            let left = self.quiet.saturating_sub(since.elapsed());
            has_ended |= match driver {
                CALLER if has_ended || left.is_zero() => self.sleep(),
                _ if left.is_zero() => return true,
                _ => self.wakes.wait(Some(left)),
            };
        }
        false
    }

    /// While a caller drives for long, or has to hear what the thread heard. Says whether a connection ended.
    fn sleep(&self) -> bool {
        self.is_asleep.store(true, SeqCst);
        let is_driven = self.driver.load(SeqCst) == CALLER && !self.is_over.load(SeqCst);
        let has_ended = is_driven && self.wakes.wait(None);
        self.is_asleep.store(false, SeqCst);
        has_ended
    }
}

/// A caller's right to drive, until it is dropped.
pub(crate) struct Seat<'a>(&'a Io);

impl Seat<'_> {
    /// Drives until `future` is done; `None` if that is not by `deadline`.
    pub(crate) fn drive<T>(self, deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
        let soon = self.0.spin.until(future);
        let within = async {
            self.0.held.release();
            runtime::by(deadline, soon).await
        };
        self.0.runtime.block_on(within)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let io = self.0;
        io.driver.store(NOBODY, SeqCst);
        if io.has_work() || io.is_asleep.load(SeqCst) {
            io.call_thread();
        }
    }
}

/// A unit of work, counted while there is any.
pub(crate) struct Work<'a> {
    io: &'a Io,
    is_counted: bool,
}

impl<'a> Work<'a> {
    pub(crate) fn none(io: &'a Io) -> Self {
        Self { io, is_counted: false }
    }

    pub(crate) fn of_one(io: &'a Io) -> Self {
        let mut work = Self::none(io);
        work.set(true);
        work
    }

    /// One that was [added](Io::add_work) by somebody else.
    pub(crate) fn taken_over(io: &'a Io) -> Self {
        Self { io, is_counted: true }
    }

    /// Whether there is some.
    pub(crate) fn set(&mut self, is_some: bool) {
        match (self.is_counted, is_some) {
            (false, true) => self.io.add_work(),
            (true, false) => self.io.remove_work(),
            _ => return,
        }
        self.is_counted = is_some;
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(all(test, not(model)))]
mod tests;
