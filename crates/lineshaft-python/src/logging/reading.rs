//! The configuration, as `lineshaft.logging` hands it over: all checked there, but for what Rust reads itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lineshaft_log::{
    Bounds, DEFAULT_KEYS, Error, Filter, Gate, Level, LevelNames, Limit, Redaction, WhenFull,
};
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyKeyError, PyOSError, PyUnicodeEncodeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::opening;
use super::plan::{Plan, Target};
use crate::errors::option_error;

/// Reads a configuration.
pub(super) fn read(options: &Bound<'_, PyDict>) -> PyResult<Plan> {
    let py = options.py();
    let mut levels = LevelNames::default();
    for (name, number) in get::<Vec<(String, i32)>>(options, "levels")? {
        levels.add(Level(number), &name).map_err(|error| refused(py, "levels", &error))?;
    }
    let levels = Arc::new(levels);
    let filter = filter_of(py, "level", &get::<String>(options, "filter")?, &levels)?;
    let limit = get::<Option<(u32, f64, u32)>>(options, "limit")?.map(|(count, period, burst)| Limit {
        count,
        period: Duration::try_from_secs_f64(period).unwrap_or_default(),
        burst,
    });
    let mut handlers = Vec::new();
    for handler in get::<Vec<Bound<'_, PyDict>>>(options, "handlers")? {
        handlers.push(target(&handler, &levels)?);
    }
    let redaction = redaction(
        py,
        &get::<Vec<String>>(options, "redact_keys")?,
        &get::<Vec<String>>(options, "redact_patterns")?,
        get(options, "redact")?,
    )?;
    Ok(Plan {
        gate: Arc::new(Gate::new(filter.clone(), limit)),
        of_attempts: None,
        levels,
        least: filter.least(),
        floor: handlers.iter().map(|target| target.level).min().unwrap_or(Level::OFF),
        record_bytes_max: get(options, "record_bytes_max")?,
        has_locals: get(options, "locals")?,
        signals: get(options, "signals")?,
        filters: get(options, "filters")?,
        redacted: get(options, "redacted")?,
        filter,
        limit,
        hides: Mutex::new(redaction.clone()),
        redaction,
        bounds: Bounds { records_max: get(options, "records_max")?, bytes_max: get(options, "bytes_max")? },
        when_full: match get::<String>(options, "when_full")?.as_str() {
            "drop_new" => WhenFull::DropNew,
            "drop_debug_first" => WhenFull::DropDebugFirst,
            _ => WhenFull::Block,
        },
        handlers,
    })
}

/// What is hidden: by default with more names, or the patterns alone.
fn redaction(
    py: Python<'_>,
    keys: &[String],
    patterns: &[String],
    is_wanted: bool,
) -> PyResult<Option<Redaction>> {
    if !is_wanted && patterns.is_empty() && keys.is_empty() {
        return Ok(None);
    }
    let usual = if is_wanted { DEFAULT_KEYS } else { &[] };
    let keys: Vec<&str> = usual.iter().copied().chain(keys.iter().map(String::as_str)).collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    // Asked one by one, to say which of them it is.
    Redaction::new(&keys, &[], is_wanted).map_err(|error| refused(py, "redact_keys", &error))?;
    Redaction::new(&keys, &patterns, is_wanted)
        .map(Some)
        .map_err(|error| refused(py, "redact_patterns", &error))
}

fn target(handler: &Bound<'_, PyDict>, levels: &Arc<LevelNames>) -> PyResult<Target> {
    let py = handler.py();
    let level = get::<Bound<'_, PyAny>>(handler, "level")?;
    let level = match level.extract::<i32>() {
        Ok(number) => Level(number),
        Err(_) => named_level(py, &get::<String>(handler, "level")?, levels)?,
    };
    let filter = get::<Option<String>>(handler, "filter")?;
    let filter = filter.map(|text| filter_of(py, "filter", &text, levels)).transpose()?.map(Arc::new);
    Ok(Target { name: get(handler, "name")?, level, filter, what: opening::what(handler, levels)? })
}

fn named_level(py: Python<'_>, text: &str, levels: &LevelNames) -> PyResult<Level> {
    let unknown = || {
        let hint = "a number, or trace, debug, info, warning, error, critical, off or a name from `levels`";
        option_error(py, &format!("option `level`: {text:?} is no level"), hint)
    };
    levels.parse(text).ok_or_else(unknown)
}

fn filter_of(py: Python<'_>, option: &str, text: &str, levels: &LevelNames) -> PyResult<Filter> {
    Filter::parse(text, levels).map_err(|error| refused(py, option, &error))
}

/// The exception for what cannot be set up: of the operating system, or an option that does not read.
pub(super) fn refused(py: Python<'_>, option: &str, error: &Error) -> PyErr {
    let hint = match error {
        Error::File { path, source } => {
            let number = source.raw_os_error();
            let said = source.to_string();
            let words = said.split_once(" (os error").map_or(&*said, |(words, _)| words).to_owned();
            return PyOSError::new_err((number, words, path.display().to_string()));
        }
        Error::Directive { .. } => {
            "directives are `level`, `name=level` or `name[field=value]=level`, with commas between"
        }
        Error::Template { .. } => "`{time} {level:<8} {logger} {message} {fields}`, for instance",
        Error::LevelName { .. } => "letters, digits, `_` and `-`, beginning with a letter",
        _ => "the documentation of lineshaft.logging says what there is",
    };
    option_error(py, &format!("option `{option}`: {error}"), hint)
}

/// What the face has put under this key. What is no text in UTF-8 is refused, and not shown: it may be a secret.
pub(super) fn get<'py, T: FromPyObjectOwned<'py>>(options: &Bound<'py, PyDict>, key: &str) -> PyResult<T> {
    let value = options.get_item(key)?.ok_or_else(|| PyKeyError::new_err(key.to_owned()))?;
    value.extract::<T>().map_err(|error| {
        let (error, py): (PyErr, _) = (error.into(), options.py());
        if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
            return error;
        }
        option_error(py, &format!("option `{key}` is not accepted"), "accepted: text that UTF-8 can express")
    })
}
