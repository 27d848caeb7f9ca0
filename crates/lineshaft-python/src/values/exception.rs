//! An exception that a task raised, as the record that is kept with its attempt.

use lineshaft_wire::ErrorRecord;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyType};

use super::encode::{Encoded, Encoder};
use super::registry::Known;

/// Bytes of the message that are kept.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Bytes of the traceback that are kept: as much of the beginning as of the end.
const TRACEBACK_BYTES_MAX: usize = 64 << 10;
/// Bytes of encoded arguments that are kept; larger ones are left out.
const ARGUMENTS_BYTES_MAX: usize = 64 << 10;

/// The record of an exception. Never fails: what cannot be shown or encoded is left out.
pub(super) fn record(error: &Bound<'_, PyBaseException>, known: &Known) -> ErrorRecord {
    ErrorRecord {
        types: types(error, known),
        message: head(message(error), MESSAGE_BYTES_MAX),
        traceback: traceback(error).map(|text| head_and_tail(text, TRACEBACK_BYTES_MAX)).ok(),
        signal: None,
        rss_peak_bytes: None,
        arguments: arguments(error, known),
    }
}

/// The names of its classes up to `BaseException`, most derived first.
fn types(error: &Bound<'_, PyBaseException>, known: &Known) -> Vec<String> {
    let ancestors = error.get_type().mro();
    let classes = ancestors.iter().filter_map(|class| class.cast_into::<PyType>().ok());
    let exceptions = classes.filter(|class| class.is_subclass_of::<PyBaseException>().unwrap_or(false));
    exceptions.map(|class| known.name_of(&class)).collect()
}

fn message(error: &Bound<'_, PyBaseException>) -> String {
    match error.str() {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => "(its text cannot be had: __str__ raises)".to_owned(),
    }
}

fn traceback(error: &Bound<'_, PyBaseException>) -> PyResult<String> {
    let py = error.py();
    let text = py.import("lineshaft._tracebacks")?.call_method1("text_of", (error,))?;
    Ok(text.cast::<PyString>()?.to_string_lossy().into_owned())
}

/// The arguments as an encoded list, if they are values.
fn arguments(error: &Bound<'_, PyBaseException>, known: &Known) -> Option<Vec<u8>> {
    let py = error.py();
    let arguments =
        PyList::new(py, error.getattr("args").ok()?.try_iter().ok()?.collect::<PyResult<Vec<_>>>().ok()?);
    let payload =
        Encoder::new(py, known).single(arguments.ok()?.as_any(), "args").and_then(Encoded::into_vec).ok()?;
    (payload.len() <= ARGUMENTS_BYTES_MAX).then_some(payload)
}

fn head(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(boundary(&text, bytes_max - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// The text without its middle, cut at lines where there are any.
fn head_and_tail(text: String, bytes_max: usize) -> String {
    const LEFT_OUT: &str = "\n  … left out …\n";
    // A boundary lies up to three bytes before the place asked for.
    const MORE: usize = 3;
    if text.len() <= bytes_max {
        return text;
    }
    let half = (bytes_max - LEFT_OUT.len()) / 2;
    let head = &text[..boundary(&text, half)];
    let tail = &text[boundary(&text, text.len() - half + MORE)..];
    let head = head.rsplit_once('\n').map_or(head, |(lines, _)| lines);
    let tail = tail.split_once('\n').map_or(tail, |(_, lines)| lines);
    format!("{head}{LEFT_OUT}{tail}")
}

/// The last place at or before `index` where a character begins.
fn boundary(text: &str, index: usize) -> usize {
    (0..=index).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0)
}
