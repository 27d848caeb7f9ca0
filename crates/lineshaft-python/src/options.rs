//! Texts that Rust reads for the Python face: durations, ids, homes.

use std::path::Path;

use lineshaft::config::{Origin, SETTINGS, Scope, Setting, Settings, Value};
use lineshaft::duration;
use lineshaft::home::{self, Source};
use lineshaft_wire::JobId;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{option_error, to_python};

/// Seconds of a duration such as `1h30m`; `option` is named where it does not read.
#[pyfunction]
pub(crate) fn parse_duration(py: Python<'_>, option: &str, text: &str) -> PyResult<f64> {
    let duration = duration::parse_duration(option, text).map_err(|error| to_python(py, &error))?;
    Ok(duration.as_secs_f64())
}

/// Bytes of a size such as `512MiB`; `option` is named where it does not read.
#[pyfunction]
pub(crate) fn parse_size(py: Python<'_>, option: &str, text: &str) -> PyResult<u64> {
    duration::parse_size(option, text).map_err(|error| to_python(py, &error))
}

/// The 16 bytes of a job id's text.
#[pyfunction]
pub(crate) fn parse_id<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyBytes>> {
    let hint = "job.id gives the id of a job";
    let id: JobId = text
        .parse()
        .map_err(|error: lineshaft_wire::ParseIdError| option_error(py, &error.to_string(), hint))?;
    Ok(PyBytes::new(py, &id.to_bytes()))
}

/// The text of a job id's 16 bytes.
#[pyfunction]
pub(crate) fn format_id(py: Python<'_>, key: &[u8]) -> PyResult<String> {
    Ok(job_id(py, key)?.to_string())
}

/// The job id of these bytes.
pub(crate) fn job_id(py: Python<'_>, key: &[u8]) -> PyResult<JobId> {
    let id = key.try_into().ok().and_then(JobId::from_bytes);
    id.ok_or_else(|| option_error(py, "these bytes are not a job id", "a job id has 16 bytes"))
}

/// The absolute path of the home that an app means, and whether it is the default one; see `lineshaft::home`.
#[pyfunction]
#[pyo3(signature = (explicit, creator_file))]
pub(crate) fn resolve_home(
    py: Python<'_>,
    explicit: Option<&str>,
    creator_file: Option<&str>,
) -> PyResult<(String, bool)> {
    let cwd = std::env::current_dir()?;
    let resolved =
        home::resolve(explicit, creator_file.map(Path::new), &cwd).map_err(|error| to_python(py, &error))?;
    let is_default = matches!(resolved.source, Source::Project(_) | Source::Directory(_));
    Ok((resolved.path.to_string_lossy().into_owned(), is_default))
}

/// The options that files around `creator_file` set for tasks: task, option, value as JSON, place.
#[pyfunction]
#[pyo3(signature = (creator_file))]
pub(crate) fn task_options(
    py: Python<'_>,
    creator_file: Option<&str>,
) -> PyResult<Vec<(String, String, String, String)>> {
    let rows = settings_around(py, creator_file)?.task_options().into_iter();
    Ok(rows.map(|row| (row.task, row.option, row.value.to_string(), row.place.to_string())).collect())
}

/// What variables and the files around `creator_file` set for workers: key, value (durations in seconds), who set it.
#[pyfunction]
#[pyo3(signature = (creator_file))]
pub(crate) fn worker_settings<'py>(
    py: Python<'py>,
    creator_file: Option<&str>,
) -> PyResult<Vec<(&'static str, Bound<'py, PyAny>, String)>> {
    let settings = settings_around(py, creator_file)?;
    let mut found = Vec::new();
    // Which interpreter runs the children is settled here: this one; and what is logged is the program's to say.
    let is_meant = |setting: &&Setting| setting.scope == Scope::Worker && !setting.is_of_commands();
    for setting in SETTINGS.iter().filter(is_meant) {
        let one = settings.get(setting, None).map_err(|error| to_python(py, &error))?;
        if let (Some(value), false) = (one.value, one.origin == Origin::Default) {
            found.push((setting.key, value_to_python(py, value)?, one.origin.to_string()));
        }
    }
    Ok(found)
}

fn value_to_python(py: Python<'_>, value: Value) -> PyResult<Bound<'_, PyAny>> {
    match value {
        Value::Text(text) => text.into_bound_py_any(py),
        Value::Count(count) => count.into_bound_py_any(py),
        Value::Duration(duration) => duration.as_secs_f64().into_bound_py_any(py),
        Value::Size(bytes) => bytes.into_bound_py_any(py),
        Value::Names(names) => names.into_bound_py_any(py),
    }
}

fn settings_around(py: Python<'_>, creator_file: Option<&str>) -> PyResult<Settings> {
    let cwd = std::env::current_dir()?;
    let start = home::start_directory(creator_file.map(Path::new), &cwd);
    Settings::find(&start).map_err(|error| to_python(py, &error))
}
