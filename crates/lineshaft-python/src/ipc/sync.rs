//! Locks, semaphores, events and conditions between processes.
//!
//! The words of each lie in a [`Heap`]. A lock belongs to a process there; which of its threads has it is known here.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};

use lineshaft_ipc::Error;
use lineshaft_ipc::sync;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::heap::Heap;
use super::patience::{Until, patiently, to_python, waiting};

/// Most who wait on a condition at a time.
const SEATS: usize = 500;
/// What a semaphore of the standard library has at most.
const VALUE_MAX: u32 = i32::MAX as u32;

/// The time that `block` and `timeout` give, as `multiprocessing` has them.
fn until(block: bool, timeout: Option<f64>) -> Until {
    if block { Until::after(timeout) } else { Until::Now }
}

/// Whether `attempt` succeeds in time, which says so itself within what it is given.
fn succeeds(
    py: Python<'_>,
    until: Until,
    attempt: impl Fn(Option<std::time::Duration>) -> bool + Send,
) -> PyResult<bool> {
    let attempt = move |left| attempt(left).then_some(()).ok_or(Error::TimedOut);
    Ok(patiently(py, until, attempt)?.is_some())
}

fn at<T>(py: Python<'_>, place: lineshaft_ipc::Result<T>) -> PyResult<T> {
    place.map_err(|error| to_python(py, &error))
}

/// What tells the living threads of this process apart; never 0.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

/// A lock between processes; one that is `recursive` may be acquired again by the thread that has it.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct SharedLock {
    lock: sync::Lock,
    is_recursive: bool,
    /// How often this process has it.
    count: AtomicU32,
    /// The thread that acquired it last.
    thread: AtomicUsize,
    is_abandoned: AtomicBool,
}

#[pymethods]
impl SharedLock {
    #[classattr]
    const SIZE_BYTES: usize = sync::Lock::SIZE_BYTES;

    #[new]
    fn new(py: Python<'_>, heap: &Heap, offset: usize, recursive: bool) -> PyResult<Self> {
        Ok(Self {
            lock: at(py, sync::Lock::at(heap.segment(), offset))?,
            is_recursive: recursive,
            count: AtomicU32::new(0),
            thread: AtomicUsize::new(0),
            is_abandoned: AtomicBool::new(false),
        })
    }

    /// Whether it was acquired in time.
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<bool> {
        if self.is_recursive && self.is_mine() {
            self.count.fetch_add(1, Relaxed);
            return Ok(true);
        }
        let until = until(block, timeout);
        let lock = |left| self.lock.lock(left)?.ok_or(Error::TimedOut);
        // To take no time costs a look at the one who has it: a free lock is acquired without, and a wait looks anyway.
        let acquired = if at(py, self.lock.try_lock())? {
            Some(sync::Acquired::Free)
        } else if matches!(until, Until::Now) {
            patiently(py, until, lock)?
        } else {
            waiting(py, until, lock)?
        };
        let Some(acquired) = acquired else { return Ok(false) };
        self.thread.store(this_thread(), Relaxed);
        self.count.store(1, Relaxed);
        self.is_abandoned.store(acquired != sync::Acquired::Free, Relaxed);
        Ok(true)
    }

    /// Gives it back, once. A recursive one is its thread's alone to give.
    fn release(&self) -> PyResult<()> {
        if self.is_recursive {
            if !self.is_mine() {
                return Err(PyAssertionError::new_err(
                    "attempt to release recursive lock not owned by thread",
                ));
            }
            if self.count.load(Relaxed) > 1 {
                self.count.fetch_sub(1, Relaxed);
                return Ok(());
            }
        } else if self.lock.owner().is_none() {
            return Err(PyValueError::new_err("semaphore or lock released too many times"));
        }
        self.count.store(0, Relaxed);
        self.lock.unlock();
        Ok(())
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.acquire(py, true, None)
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.release()
    }

    /// How often the calling process has it.
    #[pyo3(name = "_count")]
    fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// Whether the calling thread has it.
    #[pyo3(name = "_is_mine")]
    fn is_mine(&self) -> bool {
        self.count.load(Relaxed) > 0 && self.thread.load(Relaxed) == this_thread()
    }

    /// Whether anybody has it.
    #[pyo3(name = "_is_zero")]
    fn is_taken(&self) -> bool {
        self.lock.owner().is_some()
    }

    /// Whether it was taken from a process that had died when it was acquired here last.
    fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Relaxed)
    }

    /// What the parent had is not a forked child's.
    fn after_fork(&self) {
        self.count.store(0, Relaxed);
    }
}

/// A semaphore between processes, of `value_max` at most.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct SharedSemaphore {
    semaphore: sync::Semaphore,
    value_max: u32,
}

#[pymethods]
impl SharedSemaphore {
    #[classattr]
    const SIZE_BYTES: usize = sync::Semaphore::SIZE_BYTES;
    #[classattr]
    const VALUE_MAX: u32 = VALUE_MAX;

    #[new]
    fn new(py: Python<'_>, heap: &Heap, offset: usize, value_max: u32) -> PyResult<Self> {
        Ok(Self { semaphore: at(py, sync::Semaphore::at(heap.segment(), offset))?, value_max })
    }

    /// Whether it was acquired in time.
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<bool> {
        succeeds(py, until(block, timeout), |left| self.semaphore.acquire(left))
    }

    /// Adds `count`, not beyond the greatest value.
    #[pyo3(signature = (count = 1))]
    fn release(&self, count: u32) -> PyResult<()> {
        if self.semaphore.release(count, self.value_max) {
            return Ok(());
        }
        Err(PyValueError::new_err("semaphore or lock released too many times"))
    }

    #[pyo3(name = "_get_value")]
    fn value(&self) -> u32 {
        self.semaphore.value()
    }
}

/// A flag between processes.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct SharedEvent(sync::Event);

#[pymethods]
impl SharedEvent {
    #[classattr]
    const SIZE_BYTES: usize = sync::Event::SIZE_BYTES;

    #[new]
    fn new(py: Python<'_>, heap: &Heap, offset: usize) -> PyResult<Self> {
        Ok(Self(at(py, sync::Event::at(heap.segment(), offset))?))
    }

    fn is_set(&self) -> bool {
        self.0.is_set()
    }

    fn set(&self) {
        self.0.set();
    }

    fn clear(&self) {
        self.0.clear();
    }

    /// Whether it is set in time.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        succeeds(py, Until::after(timeout), |left| self.0.wait(left))
    }
}

/// Those who wait on a condition. Every method but `wait` is for who has its lock.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct SharedWaiters(sync::Waiters);

#[pymethods]
impl SharedWaiters {
    #[classattr]
    const SIZE_BYTES: usize = sync::Waiters::size_bytes(SEATS);

    #[new]
    fn new(py: Python<'_>, heap: &Heap, offset: usize) -> PyResult<Self> {
        Ok(Self(at(py, sync::Waiters::at(heap.segment(), offset, SEATS))?))
    }

    /// A seat, for the other methods.
    fn sit(&self, py: Python<'_>) -> PyResult<usize> {
        let seat = at(py, self.0.sit())?;
        seat.ok_or_else(|| PyRuntimeError::new_err(format!("{SEATS} wait already, which are the most")))
    }

    /// Whether it was notified in time; without the lock.
    fn wait(&self, py: Python<'_>, seat: usize, timeout: Option<f64>) -> PyResult<bool> {
        check(seat)?;
        succeeds(py, Until::after(timeout), |left| self.0.wait(seat, left))
    }

    /// Gives the seat back: whether it was notified, or `None` if it was dismissed.
    fn stand_up(&self, seat: usize) -> PyResult<Option<bool>> {
        check(seat)?;
        Ok(match self.0.stand_up(seat) {
            sync::Ended::ByItself => Some(false),
            sync::Ended::Notified => Some(true),
            sync::Ended::Dismissed => None,
        })
    }

    /// Notifies up to `count`, who came first; how many.
    fn notify(&self, count: usize) -> usize {
        self.0.notify(count)
    }

    /// Ends all waits, as in vain.
    fn dismiss(&self) {
        self.0.dismiss();
    }

    fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// Whether one of those who wait has died.
    fn have_died(&self) -> bool {
        self.0.have_died()
    }
}

fn check(seat: usize) -> PyResult<()> {
    if seat < SEATS { Ok(()) } else { Err(PyValueError::new_err(format!("there is no seat {seat}"))) }
}
