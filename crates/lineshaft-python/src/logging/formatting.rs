//! Functions of Python that are the form of a handler.
//!
//! They are called on the handler's own thread, which takes the interpreter for the records that it writes together, since
//! to get it takes milliseconds where other threads have it, and has it at no other time. When the interpreter ends, and
//! while a crash is waited for, nobody asks for it any more: what comes then has the text form.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lineshaft_log::{Format, LevelNames, Record};
use pyo3::prelude::*;

use super::making;
use super::record::LogRecord;
use super::state;
use super::visit::{self, Visit};

/// Whether a crash is waited for: the thread that crashed may have the interpreter.
static IS_CRASHING: AtomicBool = AtomicBool::new(false);

/// The form that `call` gives records.
pub(super) fn format_by(call: Py<PyAny>, levels: &Arc<LevelNames>) -> Format {
    let levels = levels.clone();
    Format::function_of_many(move |records| {
        let visit = Visit::begin();
        if visit.is_none() || is_over() {
            return records.iter().map(|_| Ok(None)).collect();
        }
        Python::attach(|py| {
            let call = call.bind(py);
            let made = |record: &&Record| {
                if is_over() { Ok(None) } else { formatted(call, record, &levels).map(Some) }
            };
            records.iter().map(made).collect()
        })
    })
}

/// Whether nobody may take long any more.
fn is_over() -> bool {
    visit::is_ending() || IS_CRASHING.load(Ordering::Relaxed)
}

fn formatted(call: &Bound<'_, PyAny>, record: &Record, levels: &Arc<LevelNames>) -> Result<String, String> {
    // What it logs itself would come back to it for ever.
    making::mute();
    let record = LogRecord::alone(Arc::new(record.clone()), levels.clone());
    let told = |error: &PyErr| String::from(state::current().plan.text_without_secrets(&error.to_string()));
    let made = call.call1((record,)).map_err(|error| told(&error))?;
    made.extract::<String>().map_err(|error| {
        let is_text = made.is_instance_of::<pyo3::types::PyString>();
        let of = made.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        if is_text { error.to_string() } else { format!("it gave {of} and no str") }
    })
}

/// Does so while no function is asked.
pub(super) fn without(act: impl FnOnce()) {
    IS_CRASHING.store(true, Ordering::Relaxed);
    act();
    IS_CRASHING.store(false, Ordering::Relaxed);
}
