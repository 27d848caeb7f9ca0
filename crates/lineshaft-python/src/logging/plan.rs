//! The configuration, as `lineshaft.logging` hands it over: all checked there, but for what Rust reads itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lineshaft_log::handler::{
    Colours, Compression, Console, File, FileOptions, Journald, JournaldOptions, Kept, Memory, Rotation,
    Syslog, SyslogAddress, SyslogOptions,
};
use lineshaft_log::{
    Bounds, DEFAULT_KEYS, Error, Filter, Format, Gate, Handler, Kind, Level, LevelNames, Limit, Open,
    Options, Pipeline, Record, Redaction, Spec, Tap, WhenFull, Zone,
};
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyKeyError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::work;
use crate::errors::option_error;

/// A configuration that can be put in force, again in a process that was forked.
pub(super) struct Plan {
    gate: Arc<Gate>,
    /// What is heard in its place where attempts run, and the least level of that: if nobody said what is heard.
    of_attempts: Option<(Arc<Gate>, Level)>,
    pub(super) levels: Arc<LevelNames>,
    /// The least level of the filter, and the least of the handlers.
    least: Level,
    floor: Level,
    pub(super) record_bytes_max: usize,
    /// Functions that are asked of each record.
    pub(super) filters: Vec<Py<PyAny>>,
    /// Classes whose instances are hidden.
    pub(super) redacted: Option<Py<PyTuple>>,
    filter: Filter,
    limit: Option<Limit>,
    redaction: Option<Redaction>,
    /// Another one of the same, for records that are kept with attempts: whoever logs hides what is secret there.
    hides: Mutex<Option<Redaction>>,
    bounds: Bounds,
    when_full: WhenFull,
    handlers: Vec<Target>,
}

struct Target {
    name: String,
    level: Level,
    filter: Option<Arc<Filter>>,
    what: What,
}

enum What {
    Opened(Open),
    Kept(Arc<Kept>),
    Called(Py<PyAny>),
}

impl Default for Plan {
    /// Warnings, and what matters more, to standard error. Where attempts run, what they log from info on is kept besides.
    fn default() -> Self {
        let levels = Arc::<LevelNames>::default();
        let filter = Filter::default();
        let wider = Filter::parse("info", &levels).ok();
        let console = Target {
            name: "console".to_owned(),
            level: Level::WARNING,
            filter: None,
            what: What::Opened(Arc::new(|levels| {
                let format = Format::Text { has_colours: Colours::Terminal.are_shown() };
                let zone = format.usual_zone();
                Ok(Box::new(Console::new(format, zone, levels)) as Box<dyn Handler>)
            })),
        };
        Self {
            gate: Arc::new(Gate::new(filter.clone(), None)),
            of_attempts: wider.map(|filter| (Arc::new(Gate::new(filter, None)), Level::INFO)),
            levels,
            least: filter.least(),
            floor: Level(i32::MIN),
            record_bytes_max: 256 << 10,
            filters: Vec::new(),
            redacted: None,
            filter,
            limit: None,
            redaction: Some(Redaction::default()),
            hides: Mutex::new(Some(Redaction::default())),
            bounds: Bounds::default(),
            when_full: WhenFull::default(),
            handlers: vec![console],
        }
    }
}

impl Plan {
    /// Opens the handlers.
    pub(super) fn open(&self, py: Python<'_>) -> PyResult<(Pipeline, Vec<Tap>)> {
        let handlers = self.handlers.iter().map(Target::spec).collect();
        let options = Options {
            gate: self.gate().clone(),
            redaction: self.redaction.clone(),
            bounds: self.bounds,
            when_full: self.when_full,
            levels: self.levels.clone(),
            ..Options::new(Gate::new(Filter::default(), None), handlers)
        };
        Pipeline::open(options).map_err(|error| refused(py, &error))
    }

    /// The functions of the handlers that are tapped, in order.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.handlers.iter().filter_map(|target| match &target.what {
            What::Called(call) => Some(call),
            What::Opened(_) | What::Kept(_) => None,
        })
    }

    /// What is asked before a record is made.
    pub(super) fn gate(&self) -> &Arc<Gate> {
        match &self.of_attempts {
            Some((gate, _)) if work::is_on() => gate,
            _ => &self.gate,
        }
    }

    /// The level below which no record is made: no handler takes it, and no attempt either.
    pub(super) fn floor(&self) -> Level {
        if work::is_on() { Level(i32::MIN) } else { self.floor }
    }

    /// The least level that might be heard.
    pub(super) fn least(&self) -> Level {
        match &self.of_attempts {
            Some((_, least)) if work::is_on() => *least,
            _ => self.least.max(self.floor()),
        }
    }

    /// Hides what is secret in a record, in the thread that logs it.
    pub(super) fn redact(&self, record: &mut Record) {
        if let Some(redaction) = &mut *self.hides.lock().unwrap_or_else(PoisonError::into_inner) {
            redaction.apply(record);
        }
    }

    /// What handlers keep in memory.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Arc<Kept>> {
        self.handlers.iter().filter_map(|target| match &target.what {
            What::Kept(kept) => Some(kept),
            What::Opened(_) | What::Called(_) => None,
        })
    }

    /// The same, for a process that was forked: no lock of it may be one that a thread of the parent had.
    pub(super) fn forked(&self) -> Self {
        Python::attach(|py| Self {
            gate: Arc::new(Gate::new(self.filter.clone(), self.limit)),
            of_attempts: self.of_attempts.clone(),
            levels: self.levels.clone(),
            least: self.least,
            floor: self.floor,
            record_bytes_max: self.record_bytes_max,
            filters: self.filters.iter().map(|filter| filter.clone_ref(py)).collect(),
            redacted: self.redacted.as_ref().map(|classes| classes.clone_ref(py)),
            filter: self.filter.clone(),
            limit: self.limit,
            redaction: self.redaction.clone(),
            hides: Mutex::new(self.redaction.clone()),
            bounds: self.bounds,
            when_full: self.when_full,
            handlers: self.handlers.iter().map(|target| target.forked(py)).collect(),
        })
    }
}

impl Target {
    fn spec(&self) -> Spec {
        let kind = match &self.what {
            What::Opened(open) => Kind::Handler(open.clone()),
            What::Called(_) => Kind::Tapped,
            What::Kept(kept) => {
                let kept = kept.clone();
                Kind::Handler(Arc::new(move |_| Ok(Box::new(Memory(kept.clone())) as Box<dyn Handler>)))
            }
        };
        Spec { name: self.name.clone(), level: self.level, filter: self.filter.clone(), kind }
    }

    fn forked(&self, py: Python<'_>) -> Self {
        let what = match &self.what {
            What::Opened(open) => What::Opened(open.clone()),
            What::Kept(kept) => What::Kept(kept.after_fork()),
            What::Called(call) => What::Called(call.clone_ref(py)),
        };
        Self { name: self.name.clone(), level: self.level, filter: self.filter.clone(), what }
    }
}

/// Reads a configuration.
pub(super) fn read(options: &Bound<'_, PyDict>) -> PyResult<Plan> {
    let py = options.py();
    let mut levels = LevelNames::default();
    for (name, number) in get::<Vec<(String, i32)>>(options, "levels")? {
        levels.add(Level(number), &name).map_err(|error| refused(py, &error))?;
    }
    let filter = filter_of(py, &get::<String>(options, "filter")?, &levels)?;
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
        levels: Arc::new(levels),
        least: filter.least(),
        floor: handlers.iter().map(|target| target.level).min().unwrap_or(Level::OFF),
        record_bytes_max: get(options, "record_bytes_max")?,
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
    Redaction::new(&keys, &patterns, is_wanted).map(Some).map_err(|error| refused(py, &error))
}

fn target(handler: &Bound<'_, PyDict>, levels: &LevelNames) -> PyResult<Target> {
    let py = handler.py();
    let level = get::<Bound<'_, PyAny>>(handler, "level")?;
    let level = match level.extract::<i32>() {
        Ok(number) => Level(number),
        Err(_) => named_level(py, &level.extract::<String>()?, levels)?,
    };
    let filter = get::<Option<String>>(handler, "filter")?;
    let filter = filter.map(|text| filter_of(py, &text, levels)).transpose()?.map(Arc::new);
    let what = match get::<String>(handler, "kind")?.as_str() {
        "console" => console(handler)?,
        "file" => file(handler)?,
        "syslog" => syslog(handler)?,
        "journald" => journald(handler)?,
        "memory" => What::Kept(Kept::new(get(handler, "records_max")?, get(handler, "bytes_max")?)),
        _ => What::Called(get(handler, "call")?),
    };
    Ok(Target { name: get(handler, "name")?, level, filter, what })
}

fn console(handler: &Bound<'_, PyDict>) -> PyResult<What> {
    let colours = match get::<Option<bool>>(handler, "colours")? {
        None => Colours::Terminal,
        Some(true) => Colours::Always,
        Some(false) => Colours::Never,
    };
    let (format, zone) = format_of(handler, colours.are_shown())?;
    Ok(What::Opened(Arc::new(move |levels| {
        Ok(Box::new(Console::new(format.clone(), zone, levels)) as Box<dyn Handler>)
    })))
}

fn file(handler: &Bound<'_, PyDict>) -> PyResult<What> {
    let (format, zone) = format_of(handler, false)?;
    let (size_bytes, every): (Option<u64>, Option<f64>) =
        (get(handler, "rotate_bytes")?, get(handler, "rotate_seconds")?);
    let rotation = Rotation {
        size_bytes,
        every: every.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
        keep: get(handler, "keep")?,
        compression: if get(handler, "is_compressed")? { Compression::Gzip } else { Compression::None },
    };
    let is_rotated = rotation.size_bytes.is_some() || rotation.every.is_some();
    let options = FileOptions {
        path: get::<PathBuf>(handler, "path")?,
        format,
        zone,
        mode: get(handler, "mode")?,
        rotation: is_rotated.then_some(rotation),
    };
    Ok(What::Opened(Arc::new(move |levels| {
        Ok(Box::new(File::open(options.clone(), levels)?) as Box<dyn Handler>)
    })))
}

fn syslog(handler: &Bound<'_, PyDict>) -> PyResult<What> {
    let address = get::<String>(handler, "address")?;
    let is_path = address.starts_with('/');
    let options = SyslogOptions {
        address: if is_path { SyslogAddress::Unix(address.into()) } else { SyslogAddress::Udp(address) },
        facility: get(handler, "facility")?,
        name: get(handler, "program")?,
        format: format_of(handler, false)?.0,
    };
    Ok(What::Opened(Arc::new(move |levels| {
        Ok(Box::new(Syslog::open(options.clone(), levels)?) as Box<dyn Handler>)
    })))
}

fn journald(handler: &Bound<'_, PyDict>) -> PyResult<What> {
    let options = JournaldOptions { path: get(handler, "address")?, name: get(handler, "program")? };
    Ok(What::Opened(Arc::new(move |levels| {
        Ok(Box::new(Journald::open(options.clone(), levels)?) as Box<dyn Handler>)
    })))
}

/// The form that a handler has, and its zone.
fn format_of(handler: &Bound<'_, PyDict>, has_colours: bool) -> PyResult<(Format, Zone)> {
    let format = match get::<String>(handler, "format")?.as_str() {
        "text" => Format::Text { has_colours },
        "json" => Format::Json,
        template => Format::template(template).map_err(|error| refused(handler.py(), &error))?,
    };
    let utc = handler.get_item("utc")?.map(|utc| utc.extract::<Option<bool>>()).transpose()?.flatten();
    let zone = match utc {
        None => format.usual_zone(),
        Some(true) => Zone::Utc,
        Some(false) => Zone::Local,
    };
    Ok((format, zone))
}

fn named_level(py: Python<'_>, text: &str, levels: &LevelNames) -> PyResult<Level> {
    let unknown = || {
        let hint = "a number, or trace, debug, info, warning, error, critical, off or a name from `levels`";
        option_error(py, &format!("level {text:?} is no level"), hint)
    };
    levels.parse(text).ok_or_else(unknown)
}

fn filter_of(py: Python<'_>, text: &str, levels: &LevelNames) -> PyResult<Filter> {
    Filter::parse(text, levels).map_err(|error| refused(py, &error))
}

/// The exception for what cannot be set up: of the operating system, or an option that does not read.
fn refused(py: Python<'_>, error: &Error) -> PyErr {
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
    option_error(py, &error.to_string(), hint)
}

/// What the face has put under this key.
fn get<'py, T: FromPyObjectOwned<'py>>(options: &Bound<'py, PyDict>, key: &str) -> PyResult<T> {
    let value = options.get_item(key)?.ok_or_else(|| PyKeyError::new_err(key.to_owned()))?;
    value.extract().map_err(Into::into)
}
