//! A configuration: what is heard, what is hidden, and where it goes.

use std::sync::{Arc, Mutex, PoisonError};

use lineshaft_log::handler::{Colours, Console, Kept, Memory};
use lineshaft_log::{
    Bounds, Fields, Filter, Format, Gate, Handler, Kind, Level, LevelNames, Limit, Open, Options, Pipeline,
    Record, Redaction, Spec, Tap, WhenFull,
};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::reading::refused;
use super::work;

/// A configuration that can be put in force, again in a process that was forked.
pub(super) struct Plan {
    pub(super) gate: Arc<Gate>,
    /// What is heard in its place where attempts run, and the least level of that: if nobody said what is heard.
    pub(super) of_attempts: Option<(Arc<Gate>, Level)>,
    pub(super) levels: Arc<LevelNames>,
    /// The least level of the filter, and the least of the handlers.
    pub(super) least: Level,
    pub(super) floor: Level,
    pub(super) record_bytes_max: usize,
    /// Whether exceptions have the variables of their frames.
    pub(super) has_locals: bool,
    /// Signals that wait until what was logged is written.
    pub(super) signals: Vec<i32>,
    /// Functions that are asked of each record.
    pub(super) filters: Vec<Py<PyAny>>,
    /// Classes whose instances are hidden.
    pub(super) redacted: Option<Py<PyTuple>>,
    pub(super) filter: Filter,
    pub(super) limit: Option<Limit>,
    pub(super) redaction: Option<Redaction>,
    /// Another one of the same, for records that are kept with attempts: whoever logs hides what is secret there.
    pub(super) hides: Mutex<Option<Redaction>>,
    pub(super) bounds: Bounds,
    pub(super) when_full: WhenFull,
    pub(super) handlers: Vec<Target>,
}

pub(super) struct Target {
    pub(super) name: String,
    pub(super) level: Level,
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) what: What,
}

pub(super) enum What {
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
            has_locals: false,
            signals: Vec::new(),
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
        Pipeline::open(options).map_err(|error| refused(py, "handlers", &error))
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

    /// A text without what is secret in it.
    pub(super) fn text_without_secrets(&self, text: &str) -> Box<str> {
        let mut record = Record::here(Level::INFO, "", text);
        self.redact(&mut record);
        record.message
    }

    /// Fields without what is secret in them.
    pub(super) fn without_secrets(&self, fields: Fields) -> Fields {
        let mut record = Record { fields, ..Record::here(Level::INFO, "", "") };
        self.redact(&mut record);
        record.fields
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
            gate: Arc::new(self.gate.anew()),
            of_attempts: self.of_attempts.as_ref().map(|(gate, least)| (Arc::new(gate.anew()), *least)),
            levels: self.levels.clone(),
            least: self.least,
            floor: self.floor,
            record_bytes_max: self.record_bytes_max,
            has_locals: self.has_locals,
            signals: self.signals.clone(),
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
