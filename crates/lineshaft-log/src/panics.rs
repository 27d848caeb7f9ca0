//! Panics as records.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;
use std::sync::Arc;
use std::time::Duration;

use crate::level::Level;
use crate::pipeline::{Pipeline, is_own_thread};
use crate::record::{Place, Record};
use crate::ring::Pushed;

/// So long a panic waits for what was logged, since the process may end with it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Logs every panic of this process from now on, as critical, by the logger `panic`, with the backtrace that
/// `RUST_BACKTRACE` asks for. It waits up to a second until that is written, and goes on to the hook that was there.
pub fn log_panics(pipeline: Arc<Pipeline>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // A handler that panics is told of by its pipeline.
        if !is_own_thread() {
            let mut record = Record::here(Level::CRITICAL, "panic", said(info.payload()));
            record.place = info.location().map(|location| Place {
                file: location.file().into(),
                line: location.line(),
                function: "".into(),
            });
            let backtrace = Backtrace::capture();
            if backtrace.status() == BacktraceStatus::Captured {
                record.exception = Some(backtrace.to_string().into());
            }
            if let Pushed::Full(record) = pipeline.push(record) {
                let _ = pipeline.push_waiting(*record);
            }
            pipeline.flush_healthy(PATIENCE);
        }
        before(info);
    }));
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic with a value that is no text")
}
