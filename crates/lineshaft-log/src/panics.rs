//! Panics as records.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write;
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::time::Duration;

use crate::level::Level;
use crate::pipeline::{Pipeline, is_own_thread};
use crate::record::{Place, Record};
use crate::ring::Pushed;

/// So long a panic waits for what was logged, since the process may end with it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Logs every panic of this process from now on, as critical, by the logger `panic`, with its thread and place and the
/// backtrace that `RUST_BACKTRACE` asks for. It waits up to a second until that is written, and goes on to the hook that was
/// there.
pub fn log_panics(pipeline: Arc<Pipeline>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        log(&pipeline, info);
        before(info);
    }));
}

/// As [`log_panics`], for a pipeline that writes to standard error, where the usual hook would say the same again: the hook
/// that was there is asked only of what was not written in that second.
pub fn log_panics_alone(pipeline: Arc<Pipeline>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !log(&pipeline, info) {
            before(info);
        }
    }));
}

/// Whether it is written.
fn log(pipeline: &Pipeline, info: &PanicHookInfo<'_>) -> bool {
    // A handler that panics is told of by its pipeline.
    if is_own_thread() {
        return false;
    }
    let taken = match pipeline.push(record_of(info)) {
        Pushed::Full(record) => pipeline.push_waiting(*record),
        taken => taken,
    };
    pipeline.flush_healthy(PATIENCE);
    matches!(taken, Pushed::Taken) && pipeline.is_flushed(Duration::ZERO)
}

/// Texts show neither thread nor place of a record, so they stand above the backtrace too.
fn record_of(info: &PanicHookInfo<'_>) -> Record {
    let mut record = Record::here(Level::CRITICAL, "panic", said(info.payload()));
    record.place = info.location().map(|location| Place {
        file: location.file().into(),
        line: location.line(),
        function: "".into(),
    });
    let place = info.location().map_or_else(String::new, |location| format!(" at {location}"));
    let mut exception = format!("thread '{}' panicked{place}", record.thread.name);
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = write!(exception, "\n{backtrace}");
    }
    record.exception = Some(exception.into());
    record
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic with a value that is no text")
}
