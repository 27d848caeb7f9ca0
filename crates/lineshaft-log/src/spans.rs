//! Events of the crate `tracing` into a pipeline, with the fields of the spans around them.

use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rustc_hash::FxHasher;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::{LookupSpan, Scope, SpanRef};

use crate::gate::{Asked, Gate, Passage};
use crate::level::Level;
use crate::pipeline::{Pipeline, is_own_thread};
use crate::record::{Fields, Origin, Place, Record};
use crate::ring::Pushed;
use crate::value::Value;

/// A layer that logs events to a pipeline, for `tracing_subscriber::registry().with(...)`.
///
/// The target of an event is the name of its logger, with a dot for each `::`, and its level that of the record; its fields
/// keep their types, and those of the spans around it come before them, the innermost counting where names are the same.
/// The names of those spans are the field `spans`. What passes is what the pipeline's filter says, and nothing is hidden
/// from other layers by that. Spans are seen from info on, or where events of their level are heard.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use lineshaft_log::handler::{Kept, Memory};
/// use lineshaft_log::{Filter, Gate, Handler, Level, Open, Options, Pipeline, Spec, tracing_layer};
/// use tracing_subscriber::layer::SubscriberExt;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kept = Kept::new(100, 1 << 20);
/// let memory = kept.clone();
/// let open: Open = Arc::new(move |_| Ok(Box::new(Memory(memory.clone())) as Box<dyn Handler>));
/// let (pipeline, _) = Pipeline::open(Options::new(Gate::new(Filter::at(Level::INFO), None), vec![Spec::new("memory", open)]))?;
/// pipeline.start()?;
/// let pipeline = Arc::new(pipeline);
///
/// let subscriber = tracing_subscriber::registry().with(tracing_layer(pipeline.clone()));
/// tracing::subscriber::with_default(subscriber, || {
///     let _span = tracing::info_span!("request", id = 7).entered();
///     tracing::warn!(target: "shop::mail", seconds = 2.5, "late");
/// });
/// pipeline.flush(Some(Duration::from_secs(10)));
///
/// let records = kept.records();
/// assert_eq!((&*records[0].logger, &*records[0].message), ("shop.mail", "late"));
/// assert_eq!(records[0].field("id"), Some(&7.into()));
/// # Ok(())
/// # }
/// ```
pub fn tracing_layer<S>(pipeline: Arc<Pipeline>) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let gate = Arc::clone(pipeline.gate());
    tracing_layer_to(gate, move |record| {
        if let Pushed::Full(record) = pipeline.push(record) {
            pipeline.push_waiting(*record);
        }
    })
}

/// The same, with records that pass a gate given to a function, in the thread that logs.
pub fn tracing_layer_to<S>(gate: Arc<Gate>, take: impl Fn(Record) + Send + Sync + 'static) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let heard = Heard(Arc::clone(&gate));
    Events { gate, take }.with_filter(heard)
}

/// Logs every event that it is given: [`tracing_layer_to`] is one with the filter of its gate before it.
struct Events<T> {
    gate: Arc<Gate>,
    take: T,
}

/// What is heard, asked once for each place of the source where that says it all.
struct Heard(Arc<Gate>);

impl Heard {
    fn interest(&self, metadata: &Metadata<'_>) -> Interest {
        let level = level_of(*metadata.level());
        let is_span = metadata.is_span() && level >= Level::INFO;
        // With what is in its fields it may be heard, which is asked of each event then.
        if is_span || level >= self.0.verdict(&logger_of(metadata.target())).least {
            Interest::always()
        } else {
            Interest::never()
        }
    }
}

impl<S> Filter<S> for Heard {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.interest(metadata).is_always()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.interest(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.0.least().min(Level::INFO) {
            level if level > Level::DEBUG => LevelFilter::INFO,
            level if level > Level::TRACE => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }
}

/// What a span was given so far.
struct SpanFields(Fields);

impl<S, T> Layer<S> for Events<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    T: Fn(Record) + Send + Sync + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut found = Found::default();
        attributes.record(&mut found);
        span.extensions_mut().replace(SpanFields(found.all()));
    }

    fn on_record(&self, id: &Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut found = Found::default();
        values.record(&mut found);
        let mut extensions = span.extensions_mut();
        if let Some(SpanFields(fields)) = extensions.get_mut() {
            found.all().into_iter().for_each(|(key, value)| put(fields, key, value));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if is_own_thread() {
            return;
        }
        let (metadata, mut found) = (event.metadata(), Found::default());
        event.record(&mut found);
        let (level, logger) = (level_of(*metadata.level()), logger_of(metadata.target()));
        let mut fields = fields_of(context.event_scope(event).into_iter().flat_map(Scope::from_root));
        found.fields.into_iter().for_each(|(key, value)| put(&mut fields, key, value));
        let verdict = self.gate.verdict(&logger);
        let place = metadata.file().map(|file| (file, metadata.line().unwrap_or(0)));
        let (site, now_ns) = (site_of(metadata), monotonic_ns());
        match self.gate.pass(Asked { level, logger: &logger, site, place, now_ns }, &verdict, &fields) {
            Passage::Stays => return,
            Passage::Passes { held_back: 0 } => {}
            Passage::Passes { held_back } => put(&mut fields, "held_back".into(), held_back.into()),
        }
        let place = metadata.file().map(|file| Place {
            file: file.into(),
            line: metadata.line().unwrap_or(0),
            function: metadata.module_path().unwrap_or_default().into(),
        });
        let message = found.message.unwrap_or_default();
        let record = Record::here(level, &logger, &message);
        (self.take)(Record { fields, place, origin: Origin::Bridge, ..record });
    }
}

/// The fields of spans, the outermost first, and their names.
fn fields_of<'a, S: LookupSpan<'a> + 'a>(spans: impl Iterator<Item = SpanRef<'a, S>>) -> Fields {
    let (mut fields, mut names) = (Fields::new(), Vec::new());
    for span in spans {
        names.push(Value::from(span.name()));
        if let Some(SpanFields(found)) = span.extensions().get() {
            found.iter().for_each(|(key, value)| put(&mut fields, key.clone(), value.clone()));
        }
    }
    if !names.is_empty() {
        put(&mut fields, "spans".into(), Value::List(names));
    }
    fields
}

fn put(fields: &mut Fields, key: Arc<str>, value: Value) {
    match fields.iter_mut().find(|(name, _)| *name == key) {
        Some((_, before)) => *before = value,
        None => fields.push((key, value)),
    }
}

/// What an event or a span has been given.
#[derive(Default)]
struct Found {
    message: Option<String>,
    fields: Fields,
}

impl Found {
    fn add(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = Some(value.to_string());
        } else {
            self.fields.push((field.name().into(), value));
        }
    }

    /// The fields of a span, for which a message is one like others.
    fn all(mut self) -> Fields {
        if let Some(message) = self.message.take() {
            self.fields.push(("message".into(), message.into()));
        }
        self.fields
    }
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.add(field, i64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add(field, u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let (mut text, mut source) = (value.to_string(), value.source());
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.add(field, text.into());
    }
}

fn level_of(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::ERROR,
        tracing::Level::WARN => Level::WARNING,
        tracing::Level::INFO => Level::INFO,
        tracing::Level::DEBUG => Level::DEBUG,
        tracing::Level::TRACE => Level::TRACE,
    }
}

fn logger_of(target: &str) -> String {
    target.replace("::", ".")
}

fn site_of(metadata: &Metadata<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    metadata.callsite().hash(&mut hasher);
    hasher.finish()
}

fn monotonic_ns() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
