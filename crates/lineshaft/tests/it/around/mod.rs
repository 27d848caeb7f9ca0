//! What attributes put around functions.

mod alternatives;
mod cached;
mod logged;
mod retry;
mod shapes;
mod timed;

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// A record as a test compares it: level, target and text.
type Line = (Level, String, String);

/// Hears what `body` says in this thread at `level` or above.
fn heard<R>(level: Level, body: impl FnOnce() -> R) -> (Vec<Line>, R) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let subscriber = Listener { level, lines: Arc::clone(&lines) };
    let result = tracing::subscriber::with_default(subscriber, body);
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    (lines, result)
}

/// The texts alone of what `body` says.
fn texts<R>(body: impl FnOnce() -> R) -> Vec<String> {
    heard(Level::TRACE, body).0.into_iter().map(|(_, _, text)| text).collect()
}

struct Listener {
    level: Level,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        self.lines.lock().unwrap().push((level, target.to_owned(), text.0));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        assert_eq!(field.name(), "message");
        self.0 = format!("{value:?}");
    }
}

fn block_on<R>(future: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
