//! Computing what is missing once, however many threads ask for it.
//!
//! The first to ask computes, the others wait. A thread that would wait for itself, alone or by way of others, computes
//! on its own: it does what it would do without a cache.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use pyo3::prelude::*;
use rustc_hash::FxHashMap;

use super::memory::same;

/// Signals are looked for as often while a thread waits.
const PATIENCE: Duration = Duration::from_millis(50);

/// How often this process was forked from one that had threads: those of before are not here.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Which flight each thread waits for.
static WAITS: Mutex<Option<HashMap<ThreadId, Arc<Flight>>>> = Mutex::new(None);

/// Called in a child that was forked.
#[pyfunction]
pub(crate) fn cache_forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    *WAITS.lock().expect("nobody panics with it") = None;
}

/// Beyond as many, those that are over are looked for.
const WATCHED_MAX: usize = 1_024;

/// What is being computed, by hash: by threads that others wait for, and by coroutines, who wait in their own way.
#[derive(Default)]
pub(crate) struct Flights(Mutex<FxHashMap<u32, Vec<Arc<Flight>>>>, Mutex<FxHashMap<u32, Vec<Weak<Flight>>>>);

/// One computing of one key.
pub(crate) struct Flight {
    key: Py<PyAny>,
    hash: u32,
    thread: ThreadId,
    forks: u64,
    /// Its key was invalidated after it began: what it gives is for who waits, and not stored.
    is_doomed: AtomicBool,
    /// Something was invalidated after it began that it may be made of: it is for who waits already.
    is_closed: AtomicBool,
    end: Mutex<Option<End>>,
    ended: Condvar,
}

/// How a flight ended.
pub(crate) enum End {
    /// With a value.
    Value(Py<PyAny>),
    /// With an exception, for all who waited.
    Error(Py<PyAny>),
    /// With one that is the computing thread's own, such as `KeyboardInterrupt`: somebody else computes.
    Left,
}

/// What a thread is to do that misses something.
pub(crate) enum Turn {
    /// Compute it, and [`Flights::land`].
    Mine(Arc<Flight>),
    /// Compute it without a word.
    Alone,
    /// Wait for who computes it.
    Wait(Arc<Flight>),
}

impl Flights {
    /// What to do for `key`.
    pub(crate) fn join(&self, key: &Bound<'_, PyAny>, hash: u32) -> PyResult<Turn> {
        let mut looked_at = 0;
        loop {
            // Keys are compared without the lock, after which there may be more flights.
            let flight = {
                let mut flights = self.lock();
                let of_hash = flights.entry(hash).or_default();
                of_hash.retain(|flight| flight.is_here());
                match of_hash.get(looked_at) {
                    Some(flight) => Arc::clone(flight),
                    None => {
                        let flight = Arc::new(Flight::new(key, hash));
                        of_hash.push(Arc::clone(&flight));
                        return Ok(Turn::Mine(flight));
                    }
                }
            };
            if same(key, flight.key.bind(key.py()))? {
                if flight.thread == std::thread::current().id() || comes_back(&flight) {
                    return Ok(Turn::Alone);
                }
                if flight.is_open() {
                    return Ok(Turn::Wait(flight));
                }
            }
            looked_at += 1;
        }
    }

    /// The flight of this thread is over.
    pub(crate) fn land(&self, flight: &Arc<Flight>, end: End) {
        let mut flights = self.lock();
        if let Some(of_hash) = flights.get_mut(&flight.hash) {
            of_hash.retain(|other| !Arc::ptr_eq(other, flight));
            if of_hash.is_empty() {
                flights.remove(&flight.hash);
            }
        }
        drop(flights);
        // After a fork its lock may be one of a thread that is not here; nor is anybody who waits.
        if flight.is_here() {
            *flight.end.lock().expect("nobody panics with it") = Some(end);
            flight.ended.notify_all();
        }
    }

    /// A computing that nobody waits for here, but that is to know when its key is invalidated.
    pub(crate) fn watch(&self, key: &Bound<'_, PyAny>, hash: u32) -> Arc<Flight> {
        let flight = Arc::new(Flight::new(key, hash));
        let mut watched = self.1.lock().expect("nobody panics with it");
        let of_hash = watched.entry(hash).or_default();
        of_hash.retain(|flight| flight.strong_count() > 0);
        of_hash.push(Arc::downgrade(&flight));
        if watched.len() > WATCHED_MAX {
            watched.retain(|_, of_hash| of_hash.iter().any(|flight| flight.strong_count() > 0));
        }
        flight
    }

    /// What is being computed for `key` is not to be stored.
    pub(crate) fn doom(&self, key: &Bound<'_, PyAny>, hash: u32) -> PyResult<()> {
        let mut of_hash = self.lock().get(&hash).cloned().unwrap_or_default();
        let watched = self.1.lock().expect("nobody panics with it").get(&hash).cloned().unwrap_or_default();
        of_hash.extend(watched.iter().filter_map(Weak::upgrade));
        for flight in of_hash {
            if same(key, flight.key.bind(key.py()))? {
                flight.doom();
            }
        }
        Ok(())
    }

    /// What is being computed for keys that `is_it` is not to be stored. It runs nothing of Python.
    pub(crate) fn doom_all(&self, py: Python<'_>, is_it: impl Fn(&Bound<'_, PyAny>) -> bool) {
        for flight in self.all().iter().filter(|flight| is_it(flight.key.bind(py))) {
            flight.doom();
        }
    }

    /// Who asks from now on waits for nothing that is being computed, whether it is stored or not.
    pub(crate) fn close_all(&self) {
        self.all().iter().for_each(|flight| flight.is_closed.store(true, Ordering::Relaxed));
    }

    fn all(&self) -> Vec<Arc<Flight>> {
        let mut flights: Vec<Arc<Flight>> = self.lock().values().flatten().cloned().collect();
        let watched = self.1.lock().expect("nobody panics with it");
        flights.extend(watched.values().flatten().filter_map(Weak::upgrade));
        flights
    }

    /// Whether somebody computes something of this hash.
    pub(crate) fn is_busy(&self, hash: u32) -> bool {
        self.lock().get(&hash).is_some_and(|of_hash| of_hash.iter().any(|flight| flight.is_here()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, FxHashMap<u32, Vec<Arc<Flight>>>> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Flight {
    fn new(key: &Bound<'_, PyAny>, hash: u32) -> Self {
        Self {
            key: key.clone().unbind(),
            hash,
            thread: std::thread::current().id(),
            forks: FORKS.load(Ordering::Relaxed),
            is_doomed: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            end: Mutex::new(None),
            ended: Condvar::new(),
        }
    }

    fn is_here(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    fn doom(&self) {
        self.is_doomed.store(true, Ordering::Relaxed);
        self.is_closed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_doomed(&self) -> bool {
        self.is_doomed.load(Ordering::Relaxed)
    }

    /// Whether it is for those, too, who ask now.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Relaxed)
    }

    /// Waits until it is over; raises what a signal's handler raises.
    pub(crate) fn wait(self: &Arc<Self>, py: Python<'_>) -> PyResult<End> {
        set_wait(Some(self));
        let waited = self.wait_on(py);
        set_wait(None);
        waited?;
        Ok(self
            .end
            .lock()
            .expect("nobody panics with it")
            .as_ref()
            .map_or(End::Left, |end| end.clone_ref(py)))
    }

    fn wait_on(&self, py: Python<'_>) -> PyResult<()> {
        while !py.detach(|| self.is_over_soon()) {
            py.check_signals()?;
        }
        Ok(())
    }

    fn is_over_soon(&self) -> bool {
        let end = self.end.lock().expect("nobody panics with it");
        let waited = self.ended.wait_timeout_while(end, PATIENCE, |end| end.is_none());
        let (end, _) = waited.expect("nobody panics with it");
        end.is_some()
    }
}

impl End {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.clone_ref(py)),
            Self::Error(error) => Self::Error(error.clone_ref(py)),
            Self::Left => Self::Left,
        }
    }
}

fn set_wait(flight: Option<&Arc<Flight>>) {
    let thread = std::thread::current().id();
    let mut waits = WAITS.lock().expect("nobody panics with it");
    let waits = waits.get_or_insert_default();
    match flight {
        Some(flight) => waits.insert(thread, Arc::clone(flight)),
        None => waits.remove(&thread),
    };
}

/// Whether `flight` waits for something of this thread, by whatever way.
fn comes_back(flight: &Arc<Flight>) -> bool {
    let here = std::thread::current().id();
    let waits = WAITS.lock().expect("nobody panics with it");
    let mut at = waits.as_ref().and_then(|waits| waits.get(&flight.thread));
    // Each thread waits for one flight at most, so that the way ends.
    while let Some(next) = at {
        if next.thread == here {
            return true;
        }
        at = waits
            .as_ref()
            .and_then(|waits| waits.get(&next.thread))
            .filter(|after| !Arc::ptr_eq(after, next));
    }
    false
}
