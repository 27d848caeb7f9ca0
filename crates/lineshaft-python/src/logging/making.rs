//! From a call to a record.

use std::cell::{Cell, RefCell};
use std::hash::Hasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::once::intern;
use lineshaft_log::{
    Asked, DistinctFields, Fields, Level, Origin, Passage, Place, Record, Thread, Value, Verdict,
};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyWeakrefMethods, PyWeakrefReference};
use rustc_hash::FxHasher;

use super::call::{Call, exception_text, keywords, message_of, with_stack};
use super::helpers;
use super::logger::Logger;
use super::place;
use super::record::LogRecord;
use super::state::{self, State};
use super::values::{self, Budget, LogFields};
use super::visit::Visit;
use super::work;

/// A call of a logger within another one, of a `__repr__` say, is heard; one within that is not.
const DEPTH_MAX: u32 = 2;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static IS_MUTED: Cell<bool> = const { Cell::new(false) };
    static THREAD: RefCell<Option<KnownThread>> = const { RefCell::new(None) };
}

/// What is known of a thread since it logged first.
struct KnownThread {
    thread: Thread,
    /// The thread as Python has it, if it knows it: not kept alive by this.
    object: Option<Py<PyWeakrefReference>>,
    /// Its name, as the object that it was then.
    name: Py<PyAny>,
}

/// The number of this process, as of its last fork.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Whether this thread serves a handler.
pub(super) fn is_muted() -> bool {
    IS_MUTED.get()
}

/// What this thread logs from now on goes nowhere: it is one that handles records, and would never be done.
#[pyfunction]
pub(super) fn log_mute() {
    mute();
}

pub(super) fn mute() {
    IS_MUTED.set(true);
}

/// In a process that was forked.
pub(super) fn forked() {
    PROCESS.store(0, Ordering::Relaxed);
    THREAD.take();
}

/// Leaves the depth as it was, whatever happens.
struct Within;

impl Within {
    fn new() -> Option<Self> {
        if IS_MUTED.get() || DEPTH.get() >= DEPTH_MAX {
            return None;
        }
        DEPTH.set(DEPTH.get() + 1);
        Some(Self)
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Logs what is heard.
pub(super) fn log(py: Python<'_>, logger: &Logger, call: &Call<'_, '_>) -> PyResult<()> {
    let Some(_within) = Within::new() else { return Ok(()) };
    let state = state::current();
    let mut budget = Budget::of(&state.plan);
    let message = message_of(call, &mut budget)?;
    let mut fields = DistinctFields::of(context(py)?);
    logger.fields.iter().for_each(|(key, value)| fields.add(key.clone(), value.clone()));
    let rest = keywords(call, &mut fields, &mut budget)?;
    let exception = match rest.exception {
        Some(exception) => exception_text(py, &exception, &mut budget)?,
        None if call.is_exception => exception_text(py, PyBool::new(py, true).as_any(), &mut budget)?,
        None => None,
    };
    let exception =
        if rest.has_stack { Some(with_stack(py, exception, rest.above, &mut budget)?) } else { exception };
    let draft = Draft {
        level: call.level,
        message,
        fields: fields.into_fields(),
        place: place::caller(py, rest.above)?,
        exception,
    };
    finish(py, &state, &logger.name, logger.verdict(), draft)
}

struct Draft {
    level: Level,
    message: Box<str>,
    fields: Fields,
    place: Option<Place>,
    exception: Option<Box<str>>,
}

fn finish(py: Python<'_>, state: &State, logger: &Arc<str>, verdict: Verdict, draft: Draft) -> PyResult<()> {
    let Draft { level, message, mut fields, place, exception } = draft;
    if !passes(state, level, logger, &verdict, &mut fields, place.as_ref()) {
        return Ok(());
    }
    let record = Record {
        time_ns: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64),
        level,
        logger: logger.clone(),
        message,
        fields,
        thread: thread(py)?,
        process: process(),
        place,
        exception,
        origin: Origin::Own,
    };
    asked(py, state, record)
}

/// Whether the gate lets a record pass. What it held back of that place before is a field of it then.
fn passes(
    state: &State,
    level: Level,
    logger: &str,
    verdict: &Verdict,
    fields: &mut Fields,
    place: Option<&Place>,
) -> bool {
    let gate = state.plan.gate();
    if !gate.is_closer(level, verdict) {
        return true;
    }
    let asked = Asked {
        level,
        logger,
        site: site_of(logger, place),
        place: place.map(|place| (&*place.file, place.line)),
        now_ns: monotonic_ns(),
    };
    match gate.pass(asked, verdict, fields) {
        Passage::Passes { held_back } => {
            if held_back > 0 {
                fields.push(("held_back".into(), Value::from(held_back)));
            }
            true
        }
        Passage::Stays => false,
    }
}

/// Asks the filters that are functions of Python, and pushes what they let through.
fn asked(py: Python<'_>, state: &State, record: Record) -> PyResult<()> {
    if state.plan.filters.is_empty() {
        return state::push(py, record);
    }
    let record = Arc::new(record);
    let shown = Bound::new(py, LogRecord::alone(record.clone(), state.plan.levels.clone()))?;
    let passes = helpers::PASSES.get(py)?;
    for filter in &state.plan.filters {
        if !passes.call1((filter, &shown))?.is_truthy()? {
            return Ok(());
        }
    }
    state::push(py, Arc::unwrap_or_clone(record))
}

/// A record of another logging system.
#[pyfunction]
#[pyo3(signature = (name, level, message, fields, exception, place, thread, time_ns))]
#[expect(clippy::too_many_arguments, reason = "they are those of a record")]
pub(super) fn log_bridged(
    py: Python<'_>,
    name: &str,
    level: i32,
    message: &Bound<'_, PyString>,
    fields: &Bound<'_, PyDict>,
    exception: Option<&Bound<'_, PyString>>,
    place: (String, u32, String),
    thread: (u64, String),
    time_ns: i64,
) -> PyResult<()> {
    let Some(_visit) = Visit::begin() else { return Ok(()) };
    let Some(_within) = Within::new() else { return Ok(()) };
    let state = state::current();
    let verdict = state.verdict(name);
    if Level(level) < verdict.least {
        return Ok(());
    }
    let mut budget = Budget::of(&state.plan);
    let message = budget.text(message)?;
    let mut all = DistinctFields::of(context(py)?);
    values::add_items(&mut all, fields, &mut budget)?;
    let mut all = all.into_fields();
    let place = Place { file: place.0.into(), line: place.1, function: place.2.into() };
    if !passes(&state, Level(level), name, &verdict, &mut all, Some(&place)) {
        return Ok(());
    }
    let record = Record {
        time_ns,
        level: Level(level),
        logger: name.into(),
        message,
        fields: all,
        thread: Thread { id: thread.0, name: thread.1.into() },
        process: process(),
        place: Some(place),
        exception: exception.map(|text| budget.text(text)).transpose()?,
        origin: Origin::Bridge,
    };
    asked(py, &state, record)
}

/// The fields of the context in which it is logged, and of the attempt.
fn context(py: Python<'_>) -> PyResult<Fields> {
    let block = context_of_block(py)?;
    let none = Fields::new();
    let own = block.cast::<LogFields>().map_or(&none, |fields| &fields.get().0);
    work::fields(py, own)
}

/// The [`LogFields`] of the blocks around, or None.
pub(super) fn context_of_block(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    helpers::FIELDS_OF_BLOCK.get(py)?.call0()
}

/// This thread. Its name is asked for each time, since it may be changed.
fn thread(py: Python<'_>) -> PyResult<Thread> {
    let known = THREAD.with_borrow(|known| {
        let known = known.as_ref()?;
        let Some(object) = known.object.as_ref().and_then(|object| object.bind(py).upgrade()) else {
            return Some(known.thread.clone());
        };
        let is_named_so = object.getattr(intern!(py, "_name")).is_ok_and(|name| name.is(&known.name));
        is_named_so.then(|| known.thread.clone())
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let found = helpers::THREAD.get(py)?.call0()?;
    let (id, shown, object, name): (u64, String, Bound<'_, PyAny>, Py<PyAny>) = found.extract()?;
    let thread = Thread { id, name: shown.into() };
    let object = if object.is_none() { None } else { Some(PyWeakrefReference::new(&object)?.unbind()) };
    THREAD.set(Some(KnownThread { thread: thread.clone(), object, name }));
    Ok(thread)
}

fn process() -> u32 {
    match PROCESS.load(Ordering::Relaxed) {
        0 => {
            let found = std::process::id();
            PROCESS.store(found, Ordering::Relaxed);
            found
        }
        known => known,
    }
}

fn site_of(logger: &str, place: Option<&Place>) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(logger.as_bytes());
    if let Some(place) = place {
        hasher.write(place.file.as_bytes());
        hasher.write_u32(place.line);
    }
    hasher.finish()
}

fn monotonic_ns() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
