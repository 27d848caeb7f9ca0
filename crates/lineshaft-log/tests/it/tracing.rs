//! Events of `tracing` into a pipeline, and records out as such events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fmt, panic, thread};

use lineshaft_log::handler::{Kept, Memory, Tracing};
use lineshaft_log::{
    Fields, Filter, Gate, Handler, Level, Limit, Open, Origin, Pipeline, Record, Spec, Value, tracing_layer,
};
use tracing::field::{Field, Visit};
use tracing::{Event, Level as Theirs, Subscriber, debug, error, info, info_span, trace, warn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::{options, record, started};

const LONG: Duration = Duration::from_secs(20);

fn pipeline(filter: &str, limit: Option<Limit>) -> (Arc<Pipeline>, Arc<Kept>) {
    let kept = Kept::new(1_000, 1 << 20);
    let memory = kept.clone();
    let open: Open = Arc::new(move |_| Ok(Box::new(Memory(memory.clone())) as Box<dyn Handler>));
    let mut options = options(vec![Spec::new("memory", open)]);
    options.gate = Arc::new(Gate::new(Filter::parse(filter, &options.levels).expect("a filter"), limit));
    (Arc::new(started(options)), kept)
}

/// What is logged while `body` runs.
fn logged(filter: &str, body: impl FnOnce()) -> Vec<Arc<Record>> {
    let (pipeline, kept) = pipeline(filter, None);
    let subscriber = tracing_subscriber::registry().with(tracing_layer(pipeline.clone()));
    tracing::subscriber::with_default(subscriber, body);
    assert!(pipeline.flush(Some(LONG)));
    kept.records()
}

fn messages(records: &[Arc<Record>]) -> Vec<&str> {
    records.iter().map(|record| &*record.message).collect()
}

#[test]
fn events_have_level_target_place_and_typed_fields() {
    let failed = std::io::Error::other("no");
    let records = logged("trace", || {
        error!(target: "shop::mail", code = 7, ok = false, share = 0.5, big = u64::MAX, "sent {}", 3);
        warn!(name = %"ada", list = ?[1, 2], error = &failed as &dyn std::error::Error);
        info!("c");
        debug!("d");
        trace!("e");
    });
    let levels: Vec<Level> = records.iter().map(|record| record.level).collect();
    assert_eq!(levels, [Level::ERROR, Level::WARNING, Level::INFO, Level::DEBUG, Level::TRACE]);
    let first = &records[0];
    assert_eq!((&*first.logger, &*first.message), ("shop.mail", "sent 3"));
    let fields = |fields: &[(&str, Value)]| -> Fields {
        fields.iter().map(|(key, value)| ((*key).into(), value.clone())).collect()
    };
    let expected = [
        ("code", 7.into()),
        ("ok", false.into()),
        ("share", 0.5.into()),
        ("big", u64::MAX.to_string().into()),
    ];
    assert_eq!(first.fields, fields(&expected));
    let place = first.place.as_ref().expect("a place");
    assert!(place.file.ends_with("tracing.rs") && place.line > 0);
    assert_eq!(first.origin, Origin::Bridge);
    let expected = [("name", "ada".into()), ("list", "[1, 2]".into()), ("error", "no".into())];
    assert_eq!(records[1].fields, fields(&expected));
    assert_eq!(&*records[1].message, "");
}

#[test]
fn fields_of_spans_come_with_events_and_inner_ones_count() {
    let records = logged("info", || {
        let outer = info_span!("request", id = 7, user = tracing::field::Empty, step = "a");
        outer.record("user", "ada");
        let _outer = outer.entered();
        let _inner = info_span!("load", step = "b").entered();
        info!(id = 8, "in both");
        info!(parent: None, "in none");
    });
    let first = &records[0];
    for (key, expected) in [("id", 8.into()), ("user", "ada".into()), ("step", "b".into())] {
        assert_eq!(first.field(key), Some(&expected), "{key}");
    }
    assert_eq!(first.field("spans"), Some(&Value::List(vec!["request".into(), "load".into()])));
    assert_eq!(records[1].fields, Fields::new());
}

#[test]
fn a_filter_is_by_target_level_and_fields_of_spans() {
    let records = logged("warning,shop.mail=debug,[tenant=acme]=trace", || {
        info!(target: "shop::mailing", "not heard");
        debug!(target: "shop::mail::out", "by target");
        trace!(target: "shop::mail", "not heard");
        let _span = info_span!("request", tenant = "acme").entered();
        trace!("by field");
    });
    assert_eq!(messages(&records), ["by target", "by field"]);
}

/// Alone in a process, since `tracing` asks less closely where subscribers of other tests may want to hear it.
#[test]
fn what_nobody_hears_is_not_computed_and_other_layers_hear_it() {
    let mut command = std::process::Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "tracing::alone_what_nobody_hears_is_not_computed", "--ignored"]);
    let ran = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by the one above"]
fn alone_what_nobody_hears_is_not_computed() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (pipeline, kept) = pipeline("warning", None);
    let layers = tracing_subscriber::registry().with(tracing_layer(pipeline.clone()));
    let computed = AtomicUsize::new(0);
    let body = || {
        for _ in 0..3 {
            info!(count = computed.fetch_add(1, Ordering::Relaxed), "quiet");
            assert!(!tracing::enabled!(Theirs::INFO));
            assert!(tracing::enabled!(Theirs::WARN));
        }
    };
    tracing::subscriber::with_default(layers, body);
    assert_eq!(computed.load(Ordering::Relaxed), 0);
    let (hears, both) = (Hears(heard.clone()), tracing_layer(pipeline.clone()));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(both).with(hears), || {
        info!(target: "quiet", "for the other");
    });
    assert!(pipeline.flush(Some(LONG)));
    assert_eq!(kept.records().len(), 0);
    assert_eq!(heard.lock().expect("no panic").len(), 1);
}

#[test]
fn floods_are_held_back_by_place() {
    let limit = Limit { count: 2, period: Duration::from_secs(3_600), burst: 2 };
    let (pipeline, kept) = pipeline("info", Some(limit));
    let subscriber = tracing_subscriber::registry().with(tracing_layer(pipeline.clone()));
    tracing::subscriber::with_default(subscriber, || {
        (0..10).for_each(|_| info!("flood"));
        info!("another place");
    });
    assert!(pipeline.flush(Some(LONG)));
    let records = kept.records();
    let count = |text| messages(&records).iter().filter(|message| **message == text).count();
    assert_eq!((count("flood"), count("another place")), (2, 1));
}

/// What a subscriber hears: target, level and what each field shows.
type Heard = Arc<Mutex<Vec<(String, Theirs, Vec<(String, String)>)>>>;

struct Hears(Heard);

#[derive(Default)]
struct Shown(Vec<(String, String)>);

impl Visit for Shown {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}")));
    }
}

impl<S: Subscriber> Layer<S> for Hears {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut shown = Shown::default();
        event.record(&mut shown);
        let metadata = event.metadata();
        let heard = (metadata.target().to_owned(), *metadata.level(), shown.0);
        self.0.lock().expect("no panic").push(heard);
    }
}

#[test]
fn records_are_events_with_their_logger_as_target_and_do_not_come_back() {
    let heard = Heard::default();
    let subscriber = tracing_subscriber::registry().with(Hears(heard.clone()));
    let mut sent = record(Level(25), "sent");
    sent.logger = "shop.mail".into();
    sent.fields =
        vec![("to".into(), "ada".into()), ("ms".into(), 3.into()), ("message".into(), "theirs".into())];
    let many = Record {
        fields: (0..40).map(|number| (format!("f{number}").into(), number.into())).collect(),
        ..record(Level::CRITICAL, "many")
    };
    let bridged = Record { origin: Origin::Bridge, ..record(Level::ERROR, "theirs") };
    tracing::subscriber::with_default(subscriber, || {
        Tracing.handle(&[&sent, &bridged, &many, &sent]).expect("it takes all");
    });
    let heard = heard.lock().expect("no panic");
    let said = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let expected = [("message", "sent"), ("to", "\"ada\""), ("ms", "3"), ("fields.message", "\"theirs\"")];
    assert_eq!(heard[0], ("shop.mail".to_owned(), Theirs::INFO, said(&expected)));
    assert_eq!((heard.len(), &heard[2]), (3, &heard[0]));
    assert_eq!((&*heard[1].0, heard[1].1), ("lineshaft", Theirs::ERROR));
    assert!(heard[1].2[1].1.contains("\\\"f39\\\":39"), "{:?}", heard[1]);
}

#[test]
fn both_ways_at_once_come_to_an_end() {
    let (kept, heard) = (Kept::new(100, 1 << 20), Heard::default());
    let memory = kept.clone();
    let opens: [Open; 2] = [
        Arc::new(|_| Ok(Box::new(Tracing) as Box<dyn Handler>)),
        Arc::new(move |_| Ok(Box::new(Memory(memory.clone())) as Box<dyn Handler>)),
    ];
    let pipeline = Arc::new(started(options(opens.map(|open| Spec::new("one of them", open)).to_vec())));
    let subscriber =
        tracing_subscriber::registry().with(tracing_layer(pipeline.clone())).with(Hears(heard.clone()));
    // Of the process, since the thread of the handler is another one.
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    pipeline.push(record(Level::ERROR, "ours"));
    error!("theirs");
    assert!(pipeline.flush(Some(LONG)));
    let mut records = messages(&kept.records()).iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    records.sort();
    assert_eq!(records, ["ours", "theirs"]);
    let targets: Vec<_> = heard.lock().expect("no panic").iter().map(|heard| heard.0.clone()).collect();
    assert_eq!(targets.iter().filter(|target| *target == "app").count(), 1);
}

/// What was logged by a pipeline that writes to standard error was said there by the usual hook, too.
#[test]
fn panics_are_logged_and_the_hook_before_says_them_unless_the_log_is_alone() {
    const NAME: &str = "panics";
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = asked.clone();
    panic::set_hook(Box::new(move |_| {
        // Other tests panic, too.
        let is_meant = thread::current().name() == Some(NAME);
        counts.fetch_add(usize::from(is_meant), Ordering::Relaxed);
    }));
    let said = |kept: &Kept| {
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(|| panic!("number {}", 7));
        assert!(thread.expect("a thread").join().is_err());
        let is_meant = |record: &&Arc<Record>| &*record.thread.name == NAME;
        (asked.swap(0, Ordering::Relaxed), kept.records().iter().filter(is_meant).count())
    };
    let (besides, kept) = pipeline("info", None);
    lineshaft_log::log_panics(besides);
    assert_eq!(said(&kept), (1, 1));
    let records = kept.records();
    let record = records.iter().find(|record| &*record.message == "number 7").expect("a record");
    assert_eq!((&*record.logger, record.level), ("panic", Level::CRITICAL));
    assert!(record.place.as_ref().is_some_and(|place| place.file.ends_with("tracing.rs")));
    let exception = record.exception.as_deref().expect("where it was");
    assert!(exception.starts_with("thread 'panics' panicked at ") && exception.contains("tracing.rs:"));

    let (alone, kept) = pipeline("info", None);
    lineshaft_log::log_panics_alone(alone.clone());
    assert_eq!(said(&kept), (0, 1));
    assert!(alone.close(LONG));
    assert_eq!(said(&kept), (1, 1), "what the log does not take is said");
}
