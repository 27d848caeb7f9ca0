//! Records as functions of Python are given them.

use std::sync::Arc;

use lineshaft_log::{Format, Formatter, LevelNames, Record, Zone};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::values;

/// A record, as handlers and filters that are functions are given it.
#[pyclass(frozen, name = "LogRecord", module = "lineshaft.logging")]
pub(crate) struct LogRecord {
    records: Source,
    levels: Arc<LevelNames>,
}

enum Source {
    One(Arc<Record>),
    /// One of those that came together.
    Of(Arc<[Record]>, usize),
}

#[pymethods]
impl LogRecord {
    /// Nanoseconds since 1970.
    #[getter]
    fn time_ns(&self) -> i64 {
        self.record().time_ns
    }

    /// Seconds since 1970.
    #[getter]
    fn time(&self) -> f64 {
        self.record().time_ns as f64 / 1e9
    }

    /// How much it matters: 10 for debug, 20 for info and so on.
    #[getter]
    fn level(&self) -> i32 {
        self.record().level.0
    }

    /// The name of its level, or its number as a text.
    #[getter]
    fn level_name(&self) -> String {
        self.levels.shown(self.record().level).to_string()
    }

    /// The name of its logger.
    #[getter]
    fn logger(&self) -> &str {
        &self.record().logger
    }

    /// What happened.
    #[getter]
    fn message(&self) -> &str {
        &self.record().message
    }

    /// With what: a new dict.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        values::fields_to_python(py, &self.record().fields)
    }

    /// The name of the thread that logged it.
    #[getter]
    fn thread(&self) -> &str {
        &self.record().thread.name
    }

    /// The number of that thread, as `threading.get_ident` gives it.
    #[getter]
    fn thread_id(&self) -> u64 {
        self.record().thread.id
    }

    /// The number of the process that logged it.
    #[getter]
    fn process(&self) -> u32 {
        self.record().process
    }

    /// The file of the source in which it was logged, or None.
    #[getter]
    fn file(&self) -> Option<&str> {
        self.record().place.as_ref().map(|place| &*place.file)
    }

    /// The line in that file, or None.
    #[getter]
    fn line(&self) -> Option<u32> {
        self.record().place.as_ref().map(|place| place.line)
    }

    /// The function in which it was logged, or None.
    #[getter]
    fn function(&self) -> Option<&str> {
        self.record().place.as_ref().map(|place| &*place.function)
    }

    /// The exception that was logged, with its traceback, or None.
    #[getter]
    fn exception(&self) -> Option<&str> {
        self.record().exception.as_deref()
    }

    /// Whether it came from the standard library.
    #[getter]
    fn _is_bridged(&self) -> bool {
        self.record().origin == lineshaft_log::Origin::Bridge
    }

    /// For people, as files of kind `text` have it.
    fn text(&self) -> String {
        self.shown(Format::Text { has_colours: false }, Zone::Local)
    }

    /// As JSON, in one line.
    fn json(&self) -> String {
        self.shown(Format::Json, Zone::Utc)
    }

    fn __repr__(&self) -> String {
        let record = self.record();
        format!("<LogRecord {} {}: {}>", self.levels.shown(record.level), record.logger, record.message)
    }
}

impl LogRecord {
    pub(super) fn alone(record: Arc<Record>, levels: Arc<LevelNames>) -> Self {
        Self { records: Source::One(record), levels }
    }

    pub(super) fn of(records: &Arc<[Record]>, number: usize, levels: Arc<LevelNames>) -> Self {
        Self { records: Source::Of(records.clone(), number), levels }
    }

    fn record(&self) -> &Record {
        match &self.records {
            Source::One(record) => record,
            Source::Of(records, number) => &records[*number],
        }
    }

    fn shown(&self, format: Format, zone: Zone) -> String {
        Formatter::new(format, zone, self.levels.clone()).text(self.record())
    }
}
