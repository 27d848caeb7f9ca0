//! How a record is written: for people, as JSON, by a template, or by a function.
//!
//! Whatever the form, a record is one line, or one and the lines of its exception, and nothing that a terminal would obey
//! is left in it: see [`neutral`].

mod clock;
mod function;
pub(crate) mod json;
pub(crate) mod neutral;
#[cfg(feature = "http")]
pub(crate) mod otlp;
mod template;
mod text;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Error;
use crate::level::LevelNames;
use crate::record::Record;
use clock::Clock;
pub use clock::Zone;
pub use function::{Function, Made};
pub use neutral::is_hidden;
use template::Template;

/// A form of records.
#[derive(Clone, Debug)]
pub enum Format {
    /// For people: time, level, logger, message and fields, in colours if `has_colours`.
    Text {
        /// Whether levels and names of fields are coloured.
        has_colours: bool,
    },
    /// One object in each line. Our keys are `time`, `level`, `logger`, `message`, `fields`, `process`, `thread`, `file`,
    /// `line`, `function` and `exception`; fields stand in an object of their own, so that none of them can stand for ours.
    Json,
    /// A template such as `{time} {level:<8} {logger} {message}`; see [`Format::template`].
    Template(Arc<Template>),
    /// What a function makes of it; see [`Format::function`].
    Function(Function),
}

/// Writes records in one form.
#[derive(Clone, Debug)]
pub struct Formatter {
    format: Format,
    clock: Clock,
    levels: Arc<LevelNames>,
    /// How often a function failed, and what was wrong the first time.
    failures: u64,
    failure: String,
    /// What a function made of records that are written next: where each of them is in memory, and what.
    prepared: VecDeque<(usize, Made)>,
}

impl Format {
    /// A template of texts and names in braces: `time`, `level`, `logger`, `message`, `fields`, `process`, `thread`,
    /// `file`, `line`, `function`, `exception`, and `fields.NAME` for one field; `{{` and `}}` are braces. After a colon
    /// stands the least width, `<` before it for the left side, which is where a text is anyway, and `>` for the right one.
    /// An exception that is not named comes in lines of its own.
    pub fn template(text: &str) -> Result<Self, Error> {
        Template::parse(text).map(Arc::new).map(Self::Template)
    }

    /// What this function makes of a record, on the thread of a handler. That is in one line, whatever is in it: what
    /// terminals obey and line feeds are shown by their numbers, and an exception that is not at its end comes behind it,
    /// as the text form has it. A record for which it gives `None` has the text form. One for which it fails or panics has
    /// that too, with a note; that is counted, and standard error hears of the first.
    ///
    /// ```
    /// use lineshaft_log::{Format, Formatter, Level, Record, Zone};
    ///
    /// let format = Format::function(|record| Ok(Some(format!("{}!", record.message))));
    /// let mut formatter = Formatter::new(format, Zone::Utc, Default::default());
    /// assert_eq!(formatter.text(&Record::here(Level::INFO, "shop", "sent")), "sent!");
    /// ```
    pub fn function(call: impl Fn(&Record) -> Made + Send + Sync + 'static) -> Self {
        Self::Function(Function::new(call))
    }

    /// As [`Format::function`], for one that is given as many records as are written together, and gives as many answers.
    pub fn function_of_many(call: impl Fn(&[&Record]) -> Vec<Made> + Send + Sync + 'static) -> Self {
        Self::Function(Function::of_many(call))
    }

    /// The zone in which times are shown, if nobody says otherwise: that of the machine for people, else UTC.
    pub fn usual_zone(&self) -> Zone {
        if matches!(self, Self::Json) { Zone::Utc } else { Zone::Local }
    }
}

impl Formatter {
    /// One that shows times in `zone`.
    pub fn new(format: Format, zone: Zone, levels: Arc<LevelNames>) -> Self {
        Self {
            format,
            clock: Clock::new(zone),
            levels,
            failures: 0,
            failure: String::new(),
            prepared: VecDeque::new(),
        }
    }

    /// These records are written next, so that a function may be asked for all of them at once. Those that were said
    /// before are forgotten.
    pub fn prepare(&mut self, records: &[&Record]) {
        self.prepared.clear();
        if let Format::Function(function) = &self.format
            && !records.is_empty()
        {
            let places = records.iter().map(|record| std::ptr::from_ref(*record).addr());
            self.prepared.extend(places.zip(function.made(records)));
        }
    }

    /// Whether nobody has to be asked for this record, if it is written next.
    #[cfg(feature = "http")]
    pub(crate) fn is_prepared_for(&self, record: &Record) -> bool {
        let place = std::ptr::from_ref(record).addr();
        !matches!(self.format, Format::Function(_))
            || self.prepared.front().is_some_and(|(of, _)| *of == place)
    }

    /// Adds a record to `out`, with the end of its line.
    pub fn push(&mut self, out: &mut Vec<u8>, record: &Record) {
        let time = self.clock.text(record.time_ns);
        match &self.format {
            Format::Text { has_colours } => text::push(out, record, time, &self.levels, *has_colours),
            Format::Json => json::push(out, record, time, &self.levels),
            Format::Template(template) => template.push(out, record, time, &self.levels),
            Format::Function(function) => {
                let place = std::ptr::from_ref(record).addr();
                let prepared = self.prepared.pop_front().filter(|(of, _)| *of == place);
                let made = prepared.map(|(_, made)| made).or_else(|| function.made(&[record]).pop());
                let made = made.unwrap_or(Ok(None));
                if let Err(reason) = function::push(out, record, made, time, &self.levels) {
                    self.failures += 1;
                    if self.failures == 1 {
                        self.failure = reason;
                    }
                }
            }
        }
        out.push(b'\n');
    }

    /// How many records a function failed of, which have the text form, and what was wrong with the first.
    pub fn unformatted(&self) -> (u64, &str) {
        (self.failures, &self.failure)
    }

    /// A record as a text, without the end of its line.
    pub fn text(&mut self, record: &Record) -> String {
        let mut out = Vec::new();
        self.push(&mut out, record);
        out.pop();
        String::from_utf8_lossy(&out).into_owned()
    }
}
