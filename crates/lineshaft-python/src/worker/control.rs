//! How a body says what shall become of its attempt: by returning, by an exception, by a control-flow exception.

use std::sync::Arc;

use crate::once::intern;
use lineshaft::worker::{End, Ending};
use lineshaft_wire::ErrorRecord;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::values::{Registry, encode_exception};

/// Bytes of a reason that are kept, as of every name.
const REASON_BYTES_MAX: usize = 255;
/// Characters of a value that could not be encoded.
const REPR_CHARS_MAX: usize = 1_000;

/// The exceptions that steer an attempt.
pub(super) struct Control {
    retry: Py<PyType>,
    snooze: Py<PyType>,
    not_opened: Py<PyType>,
    cancel: Py<PyType>,
}

impl Control {
    pub(super) fn load(py: Python<'_>) -> PyResult<Self> {
        let errors = py.import("lineshaft._errors")?;
        let class = |name: &str| -> PyResult<Py<PyType>> {
            Ok(errors.getattr(name)?.cast_into::<PyType>()?.unbind())
        };
        let not_opened = class("NotOpened")?;
        Ok(Self { retry: class("Retry")?, snooze: class("Snooze")?, not_opened, cancel: class("Cancel")? })
    }

    /// How an attempt ended whose body raised `error`; `delay` are the seconds that its task wants before the next one,
    /// unless the body said them; it is told whether the body asked for one.
    pub(super) fn ending(
        &self,
        registry: &Bound<'_, Registry>,
        error: PyErr,
        delay: impl FnOnce(&Bound<'_, PyBaseException>, bool) -> Option<f64>,
    ) -> Ending {
        let py = registry.py();
        let value = error.into_value(py).into_bound(py);
        Ending::Other(self.steered(&value).unwrap_or_else(|| {
            let error = encode_exception(registry, &value);
            let asked = value.is_instance(self.retry.bind(py)).unwrap_or(false);
            let said = if asked { milliseconds(&value, "after") } else { None };
            End::Errored {
                error,
                retry_after_ms: said.or_else(|| delay(&value, asked).map(whole_milliseconds)),
            }
        }))
    }

    /// The end that `Snooze` and `Cancel` ask for, and a resource that did not open.
    fn steered(&self, error: &Bound<'_, PyBaseException>) -> Option<End> {
        let py = error.py();
        if error.is_instance(self.not_opened.bind(py)).ok()? {
            let why: String = error.getattr(intern!(py, "why")).ok()?.extract().ok()?;
            return Some(End::PutOff { delay_ms: milliseconds(error, "delay")?, reason: why.into() });
        }
        if error.is_instance(self.snooze.bind(py)).ok()? {
            return Some(End::Snoozed { delay_ms: milliseconds(error, "delay")? });
        }
        if error.is_instance(self.cancel.bind(py)).ok()? {
            let reason = error.getattr(intern!(py, "reason")).and_then(|reason| reason.str());
            let reason = reason.map_or_else(|_| "cancelled by the task".to_owned(), |text| text.to_string());
            return Some(End::CancelledItself { reason: cut(&reason) });
        }
        None
    }
}

/// An attempt that ended before its body, or whose result is no value: never tried again.
pub(super) fn rejected(reason: &'static str, error: ErrorRecord) -> Ending {
    Ending::Other(End::Rejected { reason: reason.into(), error })
}

/// The record of a result that is no value, with the beginning of what it was.
pub(super) fn unencodable(
    registry: &Bound<'_, Registry>,
    result: &Bound<'_, PyAny>,
    error: &PyErr,
) -> ErrorRecord {
    let mut record = encode_exception(registry, error.value(registry.py()));
    let shown = match result.repr() {
        Ok(text) => text.to_string_lossy().chars().take(REPR_CHARS_MAX).collect(),
        Err(_) => "(its repr raises)".to_owned(),
    };
    record.message.push_str("\n  the result was: ");
    record.message.push_str(&shown);
    record
}

/// The seconds in an attribute, as milliseconds.
fn milliseconds(error: &Bound<'_, PyBaseException>, attribute: &str) -> Option<u64> {
    error.getattr(attribute).ok()?.extract().ok().map(whole_milliseconds)
}

fn whole_milliseconds(seconds: f64) -> u64 {
    (seconds * 1e3).clamp(0.0, 1e15) as u64
}

fn cut(text: &str) -> Arc<str> {
    let end = (0..=text.len().min(REASON_BYTES_MAX)).rev().find(|&end| text.is_char_boundary(end));
    text[..end.unwrap_or(0)].into()
}
