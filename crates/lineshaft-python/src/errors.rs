//! From Rust's errors to the tree of `lineshaft._errors`: the one place that knows both.

use lineshaft::Error;
use lineshaft_wire::code::Code;
use lineshaft_wire::message::RefusalCode;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::client::Resend;

/// The Python exception for `error`.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let made = exception(py, class_of(error), &error.to_string(), error.hint().as_deref())
        .and_then(|exception| with_code(exception, error.code()));
    match (made, error) {
        (Ok(exception), Error::OutcomeUnknown(outcome)) => with_token(exception, outcome.clone()),
        (Ok(exception), _) => PyErr::from_value(exception),
        (Err(failure), _) => failure,
    }
}

/// An `OptionError` of `lineshaft._errors`.
pub(crate) fn option_error(py: Python<'_>, message: &str, hint: &str) -> PyErr {
    exception(py, "OptionError", message, Some(hint)).map_or_else(|failure| failure, PyErr::from_value)
}

/// A `DeclarationError` of `lineshaft._errors`.
pub(crate) fn declaration_error(py: Python<'_>, message: &str, hint: &str) -> PyErr {
    exception(py, "DeclarationError", message, Some(hint)).map_or_else(|failure| failure, PyErr::from_value)
}

/// An exception of `lineshaft._errors` by its name.
pub(crate) fn raise(py: Python<'_>, class: &str, message: &str, code: Option<Code>) -> PyErr {
    let made = exception(py, class, message, None).and_then(|exception| with_code(exception, code));
    made.map_or_else(|failure| failure, PyErr::from_value)
}

fn exception<'py>(
    py: Python<'py>,
    class: &str,
    message: &str,
    hint: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = PyDict::new(py);
    keywords.set_item("hint", hint)?;
    py.import("lineshaft._errors")?.getattr(class)?.call((message,), Some(&keywords))
}

fn with_code(exception: Bound<'_, PyAny>, code: Option<Code>) -> PyResult<Bound<'_, PyAny>> {
    if let Some(code) = code {
        exception.setattr("code", code.to_string())?;
    }
    Ok(exception)
}

fn with_token(exception: Bound<'_, PyAny>, outcome: lineshaft::OutcomeUnknown) -> PyErr {
    match exception.setattr("_token", Resend::new(outcome)) {
        Ok(()) => PyErr::from_value(exception),
        Err(failure) => failure,
    }
}

fn class_of(error: &Error) -> &'static str {
    match error {
        Error::NoServer { .. } => "NoServer",
        Error::VersionMismatch { .. } => "VersionMismatch",
        Error::OutcomeUnknown(_) => "OutcomeUnknown",
        Error::Refused { code, .. } => class_of_refusal(*code),
        Error::BadOption { .. } | Error::Config { .. } => "OptionError",
        _ => "ServerError",
    }
}

fn class_of_refusal(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::VersionMismatch => "VersionMismatch",
        RefusalCode::NotAuthorised => "AuthError",
        RefusalCode::JobNotFound => "JobNotFound",
        RefusalCode::ResultExpired => "ResultExpired",
        RefusalCode::WrongState => "WrongState",
        RefusalCode::QueueFull => "QueueFull",
        RefusalCode::StoreFull => "StoreFull",
        RefusalCode::OutcomeUnknown => "OutcomeUnknown",
        RefusalCode::Deadlock => "Deadlock",
        RefusalCode::TooLarge => "SerializationError",
        RefusalCode::BadRequest => "OptionError",
        _ => "ServerError",
    }
}
