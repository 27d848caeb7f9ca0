//! Results that all processes of a host share: a table in shared memory, and what one function has in it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::once::intern;
use lineshaft::around::clock::now_ms;
use lineshaft::tally::tally_cache_hit;
use lineshaft_ipc::table::{Computing, Source, Stamp, Stored, TAGS_MAX, Table, TableFile, Tag, Terms};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

use crate::values::{self, Registry};

/// Before a payload: what it is.
const VALUE: u8 = 0;
const ERROR: u8 = 1;

const HINT: &str = "an argument must be a value of docs/values.md; key= computes a key from the arguments";

/// A table in a file that processes of one user find by its name.
#[pyclass(frozen, weakref, module = "lineshaft._native")]
pub(crate) struct HostTable {
    /// `None` once it is closed. Locked by who holds the interpreter, and only to be copied.
    file: Mutex<Option<Arc<TableFile>>>,
}

impl HostTable {
    fn file(&self) -> PyResult<Arc<TableFile>> {
        let file = self.lock().as_ref().map(Arc::clone);
        file.ok_or_else(|| PyValueError::new_err("the cache of this host is closed: the interpreter ends"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<TableFile>>> {
        self.file.lock().expect("nobody panics with it")
    }
}

fn refused(error: lineshaft_ipc::Error) -> PyErr {
    PyOSError::new_err(error.to_string())
}

#[pymethods]
impl HostTable {
    /// The table at `path`, made with room for so many bytes if there is none.
    #[new]
    fn new(path: &str, room_bytes: usize) -> PyResult<Self> {
        let file = TableFile::open(Path::new(path), room_bytes).map_err(refused)?;
        Ok(Self { file: Mutex::new(Some(Arc::new(file))) })
    }

    /// In a forked child: from now on it is the child's own.
    fn forked(&self) -> PyResult<()> {
        let mut file = self.lock();
        if let Some(before) = file.as_ref()
            && !before.is_own()
        {
            *file = Some(Arc::new(before.reopen().map_err(refused)?));
        }
        Ok(())
    }

    /// Whether this process has left it.
    #[getter]
    fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    /// Leaves it; the last process removes it.
    fn close(&self) {
        let file = self.lock().take();
        drop(file);
    }

    /// Hits, misses, inserts, entries, bytes, bytes there is room for, evictions, expirations, invalidations: of all
    /// processes and functions.
    fn statistics(&self) -> PyResult<[u64; 9]> {
        let of = self.file()?.table().statistics();
        let went = (of.evictions, of.expirations, of.invalidations);
        Ok([of.hits, of.misses, of.inserts, of.entries, of.bytes, of.bytes_max, went.0, went.1, went.2])
    }
}

/// The results of one function in a table.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct HostMemory {
    table: Py<HostTable>,
    /// What all keys and tags of the function begin with.
    function: Vec<u8>,
    registry: Py<Registry>,
    /// Gives what stands for an argument that is more than a number or a text, the same in all processes.
    canonical: Py<PyAny>,
    ttl_ms: Option<u64>,
    idle_ms: Option<u64>,
    stale_ms: u64,
    negative_ms: Option<u64>,
    hits: AtomicU64,
    misses: AtomicU64,
    stale_hits: AtomicU64,
}

/// Milliseconds as the table has them: 49 days at most.
fn short(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds).unwrap_or(u32::MAX)
}

impl HostMemory {
    fn key(&self, key: &Bound<'_, PyTuple>) -> PyResult<Vec<u8>> {
        let py = key.py();
        let key = if key.iter().all(|item| is_plain(&item)) {
            key.clone().into_any()
        } else {
            self.canonical.bind(py).call1((key,))?
        };
        let mut bytes = self.function.clone();
        match values::encode(self.registry.bind(py), &key, "key") {
            Ok(encoded) => bytes.extend(encoded),
            Err(error) => {
                error.value(py).setattr(intern!(py, "hint"), HINT)?;
                return Err(error);
            }
        }
        Ok(bytes)
    }

    fn tag(&self, table: &Table, tag: &str) -> Tag {
        table.tag(&[&self.function[..], tag.as_bytes()].concat())
    }

    /// The one of all entries of the function, and these.
    fn tags(&self, table: &Table, tags: &[String]) -> Vec<Tag> {
        let all = table.tag(&self.function);
        std::iter::once(all).chain(tags.iter().map(|tag| self.tag(table, tag))).collect()
    }

    fn file(&self) -> PyResult<Arc<TableFile>> {
        self.table.get().file()
    }
}

/// Whether it is the same bytes in each process.
fn is_plain(item: &Bound<'_, PyAny>) -> bool {
    item.is_none()
        || item.is_exact_instance_of::<PyInt>()
        || item.is_exact_instance_of::<PyString>()
        || item.is_exact_instance_of::<PyFloat>()
        || item.is_exact_instance_of::<PyBytes>()
        || item.is_exact_instance_of::<PyBool>()
}

#[pymethods]
impl HostMemory {
    #[new]
    #[pyo3(signature = (table, function, registry, canonical, *, ttl_ms, idle_ms, stale_ms, negative_ms))]
    #[expect(clippy::too_many_arguments, reason = "each has its name where it is called")]
    fn new(
        table: Py<HostTable>,
        function: Vec<u8>,
        registry: Py<Registry>,
        canonical: Py<PyAny>,
        ttl_ms: Option<u64>,
        idle_ms: Option<u64>,
        stale_ms: u64,
        negative_ms: Option<u64>,
    ) -> Self {
        let [hits, misses, stale_hits] = [const { AtomicU64::new(0) }; 3];
        Self {
            table,
            function,
            registry,
            canonical,
            ttl_ms,
            idle_ms,
            stale_ms,
            negative_ms,
            hits,
            misses,
            stale_hits,
        }
    }

    /// (value, whether it is an exception, whether it is due) of a key that was looked up, or None: a copy. What cannot be
    /// read in this process is as good as not there.
    #[pyo3(signature = (key, *, counts=true))]
    fn look<'py>(
        &self,
        key: &Bound<'py, PyTuple>,
        counts: bool,
    ) -> PyResult<Option<(Bound<'py, PyAny>, bool, bool)>> {
        let (file, bytes, mut payload) = (self.file()?, self.key(key)?, Vec::new());
        let table = file.table();
        let key_there = table.key(&bytes);
        let found = if counts {
            table.get(key_there, now_ms(), &mut payload)
        } else {
            table.peek(key_there, now_ms(), &mut payload)
        };
        let decoded = found.map_err(refused)?.and_then(|found| {
            let (&kind, payload) = payload.split_first()?;
            let value = values::decode(self.registry.bind(key.py()), payload).ok()?;
            // An exception is not served beyond its time.
            (kind == VALUE || !found.is_stale).then_some((value, kind == ERROR, found.is_stale))
        });
        if counts {
            let counted = if decoded.is_some() { &self.hits } else { &self.misses };
            counted.fetch_add(1, Relaxed);
            if decoded.is_some() {
                tally_cache_hit();
            }
            if decoded.as_ref().is_some_and(|(_, _, is_stale)| *is_stale) {
                self.stale_hits.fetch_add(1, Relaxed);
            }
        }
        Ok(decoded)
    }

    /// The right to compute the value of a key, or None while another process does.
    fn begin(&self, key: &Bound<'_, PyTuple>) -> PyResult<Option<HostComputing>> {
        let (file, bytes) = (self.file()?, self.key(key)?);
        let table = file.table();
        let computing = table.begin(table.key(&bytes)).map_err(refused)?;
        Ok(computing.map(|computing| HostComputing {
            since: computing.since,
            key: bytes,
            place: Mutex::new(Some(computing)),
        }))
    }

    /// Waits until no other process computes the value of a key any more, at most so many seconds.
    fn wait(&self, key: &Bound<'_, PyTuple>, seconds: f64) -> PyResult<()> {
        let (file, bytes) = (self.file()?, self.key(key)?);
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        key.py().detach(move || file.table().wait(file.table().key(&bytes), timeout));
        Ok(())
    }

    /// A key as what others are computed from, with its tags.
    fn source(&self, key: &Bound<'_, PyTuple>, tags: Vec<String>) -> PyResult<HostSource> {
        let (file, bytes) = (self.file()?, self.key(key)?);
        let table = file.table();
        Ok(HostSource { source: table.source(table.key(&bytes)), tags: self.tags(table, &tags) })
    }

    /// Whether nothing of these sources was invalidated since a computing began.
    fn stands(&self, computing: &HostComputing, sources: Vec<PyRef<'_, HostSource>>) -> PyResult<bool> {
        let file = self.file()?;
        let stands = |it: &PyRef<'_, HostSource>| file.table().stands(it.source, &it.tags, computing.since);
        Ok(sources.iter().all(stands))
    }

    /// Stores what the computing gave. Whether it is there: if not, None if it is not true any more, and otherwise why.
    fn put(
        &self,
        computing: &HostComputing,
        value: &Bound<'_, PyAny>,
        is_error: bool,
        tags: Vec<String>,
        sources: Vec<PyRef<'_, HostSource>>,
    ) -> PyResult<Option<&'static str>> {
        let file = self.file()?;
        let table = file.table();
        let mut payload = vec![if is_error { ERROR } else { VALUE }];
        payload.extend(values::encode(self.registry.bind(value.py()), value, "result")?);
        let mut tags = self.tags(table, &tags);
        let mut others: Vec<Tag> = sources.iter().flat_map(|it| it.tags.iter().copied()).collect();
        others.sort_unstable();
        others.dedup();
        if !others.is_empty() && tags.len() + others.len() > TAGS_MAX {
            return Ok(Some("it has too many tags together with what it is computed from"));
        }
        tags.extend(others);
        let sources: Vec<Source> = sources.iter().map(|it| it.source).collect();
        let ttl_ms = if is_error { self.negative_ms } else { self.ttl_ms };
        let terms = Terms {
            ttl_ms: ttl_ms.map(short),
            idle_ms: self.idle_ms.filter(|_| !is_error).map(short),
            stale_ms: short(self.stale_ms),
            tags: &tags,
            sources: &sources,
            since: computing.since,
        };
        let stored = table.put(table.key(&computing.key), &payload, &terms, now_ms()).map_err(refused)?;
        Ok(match stored {
            Stored::Stored | Stored::Untrue => None,
            Stored::TooLarge => Some("it is too large"),
            Stored::NoMemory => Some("the system has no memory for it"),
            Stored::Busy => Some("a process that stands still keeps others from changing the cache"),
        })
    }

    /// Makes what is kept for a key untrue, on the whole host, and what is being computed for it. Whether there was any.
    fn invalidate(&self, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let (file, bytes) = (self.file()?, self.key(key)?);
        let table = file.table();
        table.invalidate(table.key(&bytes), now_ms()).map_err(refused)
    }

    /// The same for all of the function's entries with a tag, or for all.
    #[pyo3(signature = (tag=None))]
    fn invalidate_all(&self, tag: Option<&str>) -> PyResult<()> {
        let file = self.file()?;
        let table = file.table();
        table.invalidate_tag(tag.map_or_else(|| table.tag(&self.function), |tag| self.tag(table, tag)));
        Ok(())
    }

    /// (hits, misses, hits with a value whose time was over), of this function in this process.
    fn counts(&self) -> (u64, u64, u64) {
        (self.hits.load(Relaxed), self.misses.load(Relaxed), self.stale_hits.load(Relaxed))
    }
}

/// What an entry is computed from: a key of a table, with its tags.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct HostSource {
    source: Source,
    tags: Vec<Tag>,
}

/// The computing of one key's value by this process.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct HostComputing {
    key: Vec<u8>,
    since: Stamp,
    place: Mutex<Option<Computing>>,
}

#[pymethods]
impl HostComputing {
    /// Others need not wait any more.
    fn end(&self) {
        let place = self.place.lock().expect("nobody panics with it").take();
        drop(place);
    }
}
