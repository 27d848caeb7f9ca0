//! What is in force: one pipeline of the process, and what those who log ask before.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lineshaft_log::{Level, Pipeline, Pushed, Record, Verdict};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::helpers;
use super::plan::Plan;
use super::reading;
use super::record::LogRecord;
use super::work;

/// Grows whenever something else is in force, so that loggers ask anew.
static GENERATION: AtomicU64 = AtomicU64::new(1);
static STATE: Mutex<Option<Arc<State>>> = Mutex::new(None);
/// Whether the interpreter ends: whoever logs waits until it is written then, since nobody will later.
static IS_LATE: AtomicBool = AtomicBool::new(false);

/// How long it is waited for handlers before a fork and, of each record, while the interpreter ends; once for one that
/// hangs.
const SHORT: Duration = Duration::from_secs(1);

pub(super) struct State {
    pub(super) plan: Plan,
    /// Made when the first record comes, in a process that was forked too.
    pipeline: OnceLock<Arc<Running>>,
    /// Whether it was said that records are lost, since no handler could be opened or no thread started.
    has_told: AtomicBool,
}

struct Running {
    pipeline: Pipeline,
    taps: Vec<lineshaft_log::Tap>,
    is_started: AtomicBool,
}

/// The number of what is in force.
pub(super) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Loggers ask anew.
pub(super) fn changed() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// What is in force; what is there without a configuration, if there was none.
pub(super) fn current() -> Arc<State> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.get_or_insert_with(|| Arc::new(State::new(Plan::default()))).clone()
}

impl State {
    fn new(plan: Plan) -> Self {
        Self { plan, pipeline: OnceLock::new(), has_told: AtomicBool::new(false) }
    }

    /// Who logs is not told what is wrong with handlers: standard error is.
    fn tell_once(&self, py: Python<'_>, error: &PyErr) {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            let said = format!("log records are lost: {}", error.value(py));
            let told = py
                .import("lineshaft.logging._serving")
                .and_then(|serving| serving.call_method1("tell", (said,)));
            if let Err(error) = told {
                error.write_unraisable(py, None);
            }
        }
    }

    /// What is asked of a logger: its verdict, in which the levels of the handlers are.
    pub(super) fn verdict(&self, logger: &str) -> Verdict {
        let verdict = self.plan.gate().verdict(logger);
        let least = verdict.least.max(self.plan.floor());
        Verdict { least, ..verdict }
    }

    fn running(&self, py: Python<'_>) -> PyResult<Arc<Running>> {
        if let Some(running) = self.pipeline.get() {
            return Ok(running.clone());
        }
        helpers::look_up(py)?;
        helpers::BEGIN.get(py)?.call0()?;
        let (pipeline, taps) = self.plan.open(py)?;
        super::signals::watch(&self.plan.signals)?;
        let running = Arc::new(Running { pipeline, taps, is_started: AtomicBool::new(false) });
        Ok(self.pipeline.get_or_init(|| running).clone())
    }
}

impl Running {
    fn start(&self, py: Python<'_>, plan: &Plan) -> PyResult<()> {
        if self.is_started.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.pipeline.start()?;
        for (tap, call) in self.taps.iter().zip(plan.calls()) {
            let tap = super::tap::LogTap::new(tap.clone(), plan.levels.clone());
            helpers::SERVE.get(py)?.call1((tap, call.bind(py)))?;
        }
        Ok(())
    }
}

/// Puts a record on its way. Waits for room without the interpreter, if it has to wait.
pub(super) fn push(py: Python<'_>, record: Record) -> PyResult<()> {
    work::keep(py, &current(), &record)?;
    let mut record = record;
    // What was in force may be closed just now, for something else.
    for _ in 0..3 {
        let state = current();
        let running =
            match state.running(py).and_then(|running| running.start(py, &state.plan).map(|()| running)) {
                Ok(running) => running,
                Err(error) if error.is_instance_of::<PyException>(py) => {
                    state.tell_once(py, &error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
        let mut pushed = running.pipeline.push(record);
        if let Pushed::Full(back) = pushed {
            pushed = py.detach(|| running.pipeline.push_waiting(*back));
        }
        match pushed {
            Pushed::Closed(back) | Pushed::Full(back) => record = *back,
            Pushed::Taken | Pushed::Dropped => {
                if IS_LATE.load(Ordering::Relaxed) {
                    py.detach(|| running.pipeline.flush_late(SHORT));
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Puts another configuration in force. What was logged before is written first, for as long as a handler takes no longer
/// than `patience` seconds.
#[pyfunction]
pub(super) fn log_configure(py: Python<'_>, options: &Bound<'_, PyDict>, patience: f64) -> PyResult<()> {
    let state = Arc::new(State::new(reading::read(options)?));
    let running = state.running(py)?;
    let before = {
        let mut current = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        current.replace(state.clone())
    };
    GENERATION.fetch_add(1, Ordering::Relaxed);
    if let Some(before) = before.as_ref().and_then(|before| before.pipeline.get()) {
        py.detach(|| before.pipeline.close(Duration::try_from_secs_f64(patience).unwrap_or_default()));
    }
    running.start(py, &state.plan)
}

/// Waits until what was logged so far is written; whether it is. `timeout` in seconds, for ever without. It is not waited
/// for handlers that fail or hang if those that are `healthy` are asked for. The `last` time those that fail are hurried,
/// and standard error is told what was not taken.
#[pyfunction]
#[pyo3(signature = (timeout = None, healthy = false, last = false))]
pub(super) fn log_flush(py: Python<'_>, timeout: Option<f64>, healthy: bool, last: bool) -> PyResult<bool> {
    if super::making::is_muted() {
        return Ok(false); // what it waits for is what it is about to do itself
    }
    let timeout = timeout.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let state = current();
    let Some(running) = state.pipeline.get() else { return Ok(true) };
    running.start(py, &state.plan)?;
    let slice = Duration::from_millis(50);
    let mut rest = timeout;
    loop {
        let wait = rest.map_or(slice, |rest| rest.min(slice));
        let (is_done, is_over) = py.detach(|| of_slice(&running.pipeline, wait, healthy, last));
        rest = rest.map(|rest| rest.saturating_sub(wait));
        let is_over = is_over || rest.is_some_and(|rest| rest.is_zero());
        let signals = if is_done || is_over { Ok(()) } else { py.check_signals() };
        if is_done || is_over || signals.is_err() {
            // Says which handlers are behind, or only notes it where healthy ones are waited for.
            py.detach(|| match (is_done, last, healthy) {
                (true, ..) => {}
                (_, true, _) => running.pipeline.give_up(),
                (.., true) => drop(running.pipeline.flush_healthy(Duration::ZERO)),
                _ => drop(running.pipeline.flush(Some(Duration::ZERO))),
            });
            return signals.map(|()| is_done);
        }
    }
}

/// Whether all is written after a part of the waiting, and whether there is nobody who is worth to be waited for.
fn of_slice(pipeline: &Pipeline, wait: Duration, healthy: bool, last: bool) -> (bool, bool) {
    match (healthy, last) {
        (_, true) => {
            let began = Instant::now();
            let is_done = pipeline.flush_last(wait);
            (is_done, !is_done && began.elapsed() < wait)
        }
        (true, _) => (pipeline.is_flushed_by_healthy(wait), false),
        _ => (pipeline.is_flushed(wait), false),
    }
}

/// Waits until what was logged is written, on a thread of ours that does not have the interpreter. Another one may have the
/// lock, but for moments. Who `says` what was not taken does so on standard error; a crash takes no time for that.
pub(super) fn flush_for_the_end(says: bool) {
    let found = (0..100).find_map(|_| {
        let found = STATE.try_lock().ok().map(|state| state.clone());
        if found.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        found
    });
    if let Some(state) = found.flatten()
        && let Some(running) = state.pipeline.get()
        && !running.pipeline.flush_last(SHORT)
        && says
    {
        running.pipeline.give_up();
    }
}

/// In a process that was forked: the parent writes what it logged, and the threads are there alone.
#[pyfunction]
pub(super) fn log_forked() {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = state.take() {
        *state = Some(Arc::new(State::new(before.plan.forked())));
        // Its locks may be taken for ever, and its threads are nobody's.
        std::mem::forget(before);
    }
    GENERATION.fetch_add(1, Ordering::Relaxed);
    super::making::forked();
    super::visit::forked();
}

/// The interpreter ends: functions of Python are not called any more, and each record is waited for.
#[pyfunction]
pub(super) fn log_late(py: Python<'_>) {
    super::visit::end(py);
    let state = current();
    if let Some(running) = state.pipeline.get() {
        // What others logged until now.
        py.detach(|| running.pipeline.flush_late(SHORT));
    }
    IS_LATE.store(true, Ordering::Relaxed);
    if let Some(running) = state.pipeline.get() {
        running.taps.iter().for_each(lineshaft_log::Tap::close);
    }
}

/// The least level that a logger of any name might be heard with.
#[pyfunction]
pub(super) fn log_least() -> i32 {
    let state = current();
    state.plan.least().0
}

/// What the handlers of kind `memory` keep, the oldest first.
#[pyfunction]
pub(super) fn log_kept() -> Vec<LogRecord> {
    let state = current();
    let records = state.plan.kept().flat_map(|kept| kept.records());
    records.map(|record| LogRecord::alone(record, state.plan.levels.clone())).collect()
}

/// What became of all records, as a dict.
#[pyfunction]
pub(super) fn log_counts(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let (counts, state) = (PyDict::new(py), current());
    let Some(running) = state.pipeline.get() else { return Ok(counts) };
    let found = running.pipeline.counts();
    counts.set_item("taken", found.taken)?;
    counts.set_item("dropped", found.dropped)?;
    counts.set_item("limited", found.limited)?;
    counts.set_item("sampled", found.sampled)?;
    let mut handlers = Vec::new();
    for each in found.handlers {
        let handler = PyDict::new(py);
        handler.set_item("name", PyString::new(py, &each.name))?;
        handler.set_item("handled", each.handled)?;
        handler.set_item("lost", each.lost)?;
        handler.set_item("failed", each.failed)?;
        handler.set_item("unformatted", each.unformatted)?;
        handler.set_item("retries", each.retries)?;
        handler.set_item("is_healthy", each.is_healthy)?;
        handlers.push(handler);
    }
    counts.set_item("handlers", handlers)?;
    Ok(counts)
}

/// The level that a text or a number says.
pub(super) fn level_of(level: &Bound<'_, PyAny>) -> PyResult<Level> {
    if let Ok(number) = level.extract::<i32>() {
        return Ok(Level(number));
    }
    let text = level.str()?.to_string_lossy().into_owned();
    let unknown = || {
        let hint = "a number, or trace, debug, info, warning, error, critical or a name of your own";
        crate::errors::option_error(level.py(), &format!("{text:?} is no level"), hint)
    };
    current().plan.levels.parse(&text).ok_or_else(unknown)
}
