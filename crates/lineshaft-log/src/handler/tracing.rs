//! Records as events of the crate `tracing`.
//!
//! Its events come from places of the source that are known for ever. Ours are made when they are needed, one for each
//! name of a logger, level and set of names of fields, so that subscribers filter by target and find fields as such. They
//! are never freed, so only so many are made; what comes then has a common target and its fields in one text.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustc_hash::FxHashMap;
use tracing::callsite::{self, Callsite};
use tracing::field::{FieldSet, Value as Shown, display};
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Event, Level as Theirs, Metadata, dispatcher};

use super::{Failure, Handler};
use crate::level::Level;
use crate::record::{Origin, Record};
use crate::value::Value;

/// Gives records to the subscriber of `tracing` that is the default of the process. Those that came from there do not go
/// back. The target is the name of the logger; `exception`, `place` and the fields are fields. Events have no spans around
/// them: they come from a thread of the pipeline.
///
/// ```
/// use std::sync::Arc;
/// use lineshaft_log::{Handler, Open, Spec, handler::Tracing};
///
/// let open: Open = Arc::new(|_| Ok(Box::new(Tracing) as Box<dyn Handler>));
/// let to_tracing = Spec::new("tracing", open);
/// # assert_eq!(to_tracing.name, "tracing");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing;

/// So many places are made.
const PLACES_MAX: usize = 1_024;
/// So many fields of a record are fields; a record with more has all of them in one text.
const FIELDS_MAX: usize = 29;
const USUAL: [&str; 3] = ["message", "exception", "place"];
const VALUES_MAX: usize = FIELDS_MAX + USUAL.len();

/// A place that events come from.
struct Made {
    metadata: OnceLock<Metadata<'static>>,
    is_heard: AtomicBool,
}

impl Callsite for Made {
    fn set_interest(&self, interest: Interest) {
        self.is_heard.store(!interest.is_never(), Ordering::Relaxed);
    }

    fn metadata(&self) -> &Metadata<'_> {
        self.metadata.get().expect("it is set when it is made")
    }
}

impl Handler for Tracing {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        for record in records.iter().filter(|record| record.origin == Origin::Own) {
            emit(record);
        }
        Ok(())
    }
}

fn emit(record: &Record) {
    let as_text =
        Value::Map(record.fields.iter().map(|(key, value)| ((&**key).into(), value.clone())).collect());
    let (place, named) = match place_of(record) {
        Some(place) => (place, true),
        None => (common(record.level), false),
    };
    let metadata = place.metadata();
    if !place.is_heard.load(Ordering::Relaxed) {
        return;
    }
    let message = display(&record.message);
    let exception = record.exception.as_ref().map(display);
    let source = record.place.as_ref().map(|place| format!("{}:{}", place.file, place.line));
    let texts: Vec<String> = record.fields.iter().map(|(_, value)| value.to_string()).collect();
    let mut values: Vec<Option<Box<dyn Shown + '_>>> = vec![
        Some(Box::new(&message)),
        exception.as_ref().map(|text| Box::new(text) as Box<dyn Shown>),
        source.as_ref().map(|text| Box::new(text.as_str()) as Box<dyn Shown>),
    ];
    if named {
        let fields = record.fields.iter().zip(&texts);
        values.extend(fields.map(|((_, value), text)| Some(shown(value, text))));
    } else {
        values.push(Some(Box::new(as_text.to_json())));
    }
    let fields: Vec<_> = metadata.fields().iter().collect();
    let pairs: [_; VALUES_MAX] = std::array::from_fn(|number| {
        let value = values.get(number).and_then(Option::as_deref);
        (fields.get(number).unwrap_or(&fields[0]), value)
    });
    let values = metadata.fields().value_set(&pairs);
    dispatcher::get_default(|subscriber| {
        if subscriber.enabled(metadata) {
            subscriber.event(&Event::new(metadata, &values));
        }
    });
}

fn shown<'a>(value: &'a Value, text: &'a str) -> Box<dyn Shown + 'a> {
    match value {
        Value::Bool(value) => Box::new(*value),
        Value::Int(value) => Box::new(*value),
        Value::Float(value) => Box::new(*value),
        Value::Str(text) => Box::new(&**text),
        Value::Null | Value::List(_) | Value::Map(_) => Box::new(text),
    }
}

/// The place of records like this one, if there is room for another or it is there.
fn place_of(record: &Record) -> Option<&'static Made> {
    /// By the name of the logger, the level and the names of fields.
    type Places = FxHashMap<(Arc<str>, Theirs, Vec<Arc<str>>), &'static Made>;
    static PLACES: Mutex<Option<Places>> = Mutex::new(None);

    if record.fields.len() > FIELDS_MAX {
        return None;
    }
    let names: Vec<Arc<str>> = record.fields.iter().map(|(key, _)| key.clone()).collect();
    let key = (record.logger.clone(), theirs(record.level), names);
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let places = places.get_or_insert_default();
    if let Some(place) = places.get(&key) {
        return Some(place);
    }
    if places.len() >= PLACES_MAX {
        return None;
    }
    let names = key.2.iter().map(|name| match &**name {
        name if USUAL.contains(&name) => leaked(&format!("fields.{name}")),
        name => leaked(name),
    });
    let place = made(leaked(&record.logger), key.1, USUAL.into_iter().chain(names).collect());
    places.insert(key, place);
    Some(place)
}

/// The place of what has none of its own.
fn common(level: Level) -> &'static Made {
    static PLACES: [OnceLock<&'static Made>; 5] = [const { OnceLock::new() }; 5];
    let levels = [Theirs::ERROR, Theirs::WARN, Theirs::INFO, Theirs::DEBUG, Theirs::TRACE];
    let level = theirs(level);
    let number = levels.iter().position(|each| *each == level).unwrap_or(0);
    let names = || USUAL.into_iter().chain(["fields"]).collect();
    PLACES[number].get_or_init(|| made("lineshaft", level, names()))
}

fn made(target: &'static str, level: Theirs, names: Vec<&'static str>) -> &'static Made {
    let place: &'static Made =
        Box::leak(Box::new(Made { metadata: OnceLock::new(), is_heard: AtomicBool::new(true) }));
    let fields = FieldSet::new(Vec::leak(names), callsite::Identifier(place));
    let metadata = Metadata::new("record", target, level, None, None, None, fields, Kind::EVENT);
    let _ = place.metadata.set(metadata);
    callsite::register(place);
    place
}

fn leaked(text: &str) -> &'static str {
    Box::leak(text.into())
}

fn theirs(level: Level) -> Theirs {
    match level {
        level if level >= Level::ERROR => Theirs::ERROR,
        level if level >= Level::WARNING => Theirs::WARN,
        level if level >= Level::INFO => Theirs::INFO,
        level if level >= Level::DEBUG => Theirs::DEBUG,
        _ => Theirs::TRACE,
    }
}
