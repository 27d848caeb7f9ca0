//! How a body says that it did not succeed, and what shall become of its job.

use std::backtrace::Backtrace;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use lineshaft_wire::ErrorRecord;
use lineshaft_wire::message::End;

use super::rules::milliseconds;
use super::traceback::Place;

/// What a body returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Bytes of the message that are kept.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Bytes of a traceback that are kept.
const TRACEBACK_BYTES_MAX: usize = 64 << 10;
/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 255;

/// Why an attempt did not succeed, and what shall become of its job.
///
/// Any [`std::error::Error`] becomes one by `?`; the job is then tried again as long as it has retries left. The other
/// constructors steer: [`Error::retry_after`] and [`Error::snooze`] say when, [`Error::discard`] and [`Error::cancel`]
/// that it shall not be tried again. Where it was made, which is where the `?` stands, is kept as the attempt's traceback,
/// with what called it, up to the body, if `RUST_BACKTRACE` is set; whatever else is on the stack if it is `full`.
///
/// Like `anyhow::Error` it is no [`std::error::Error`] itself, since it takes all of them.
pub struct Error {
    kind: Kind,
    types: Vec<String>,
    message: String,
    place: Option<Box<Place>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The job's rules decide.
    Failed,
    RetryAfter(Duration),
    Discarded,
    Cancelled,
    Snoozed(Duration),
}

impl Error {
    /// An error with this text. The job is tried again as long as it has retries left.
    #[track_caller]
    pub fn new(message: impl fmt::Display) -> Self {
        Self::of(vec!["lineshaft.task.Error".to_owned()], message.to_string())
    }

    /// Any other error: one of `anyhow`, a boxed one, a text. The job is tried again as long as it has retries left.
    #[track_caller]
    pub fn any<E: Into<Box<dyn std::error::Error + Send + Sync>>>(error: E) -> Self {
        Self::of(vec![class_name::<E>()], full_text(&*error.into()))
    }

    /// The job is tried again after this time, as long as it has retries left; the attempt counts.
    #[track_caller]
    pub fn retry_after(delay: Duration) -> Self {
        Self { kind: Kind::RetryAfter(delay), ..Self::new("the task asks to be tried again") }
    }

    /// The job is not tried again: it ends `discarded` with this text.
    #[track_caller]
    pub fn discard(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Discarded, ..Self::new(message) }
    }

    /// The job ends `cancelled`, with this text as the reason.
    #[track_caller]
    pub fn cancel(reason: impl fmt::Display) -> Self {
        Self { kind: Kind::Cancelled, ..Self::new(reason) }
    }

    /// The job is put off for this time. The attempt counts against nothing.
    #[track_caller]
    pub fn snooze(delay: Duration) -> Self {
        Self { kind: Kind::Snoozed(delay), ..Self::new("the task puts itself off") }
    }

    /// The same error with this text in place of its own.
    #[must_use]
    pub fn with_message(mut self, message: impl fmt::Display) -> Self {
        self.message = message.to_string();
        self
    }

    pub(super) fn panicked(message: String, place: Option<Place>) -> Self {
        let types = vec!["panic".to_owned()];
        Self { kind: Kind::Failed, types, message, place: place.map(Box::new) }
    }

    #[track_caller]
    fn of(types: Vec<String>, message: String) -> Self {
        let place = Place::new(Location::caller(), Backtrace::capture());
        Self { kind: Kind::Failed, types, message, place: Some(Box::new(place)) }
    }

    /// The same error. What leads to where a body returned it is nothing of the body, and is forgotten.
    pub(super) fn returned_at(mut self, location: &Location<'_>) -> Self {
        self.place.iter_mut().for_each(|place| place.forget_way_to(location));
        self
    }

    /// The names of its type, as rules about retries know it.
    pub fn types(&self) -> &[String] {
        &self.types
    }

    /// Whether the rules of its job decide when it is tried again.
    pub(super) fn is_plain(&self) -> bool {
        self.kind == Kind::Failed
    }

    /// How the attempt ended.
    pub(crate) fn into_end(self) -> End {
        match self.kind {
            Kind::Failed => End::Errored { error: self.into_record(), retry_after_ms: None },
            Kind::RetryAfter(delay) => {
                End::Errored { error: self.into_record(), retry_after_ms: Some(milliseconds(delay)) }
            }
            Kind::Discarded => End::Rejected { reason: "never_retried".into(), error: self.into_record() },
            Kind::Cancelled => {
                End::CancelledItself { reason: Arc::from(cut(&self.message, REASON_BYTES_MAX)) }
            }
            Kind::Snoozed(delay) => End::Snoozed { delay_ms: milliseconds(delay) },
        }
    }

    pub(crate) fn into_record(self) -> ErrorRecord {
        let message = cut(&self.message, MESSAGE_BYTES_MAX).to_owned();
        let traceback = self.place.map(|place| cut(&place.to_string(), TRACEBACK_BYTES_MAX).to_owned());
        ErrorRecord { types: self.types, message, traceback, ..ErrorRecord::default() }
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    /// The text of the error and of everything that caused it.
    #[track_caller]
    fn from(error: E) -> Self {
        Self::of(vec![class_name::<E>()], full_text(&error))
    }
}

fn full_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Many errors repeat the text of their source.
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Failed => f.write_str(&self.message),
            kind => write!(f, "{} ({kind:?})", self.message),
        }
    }
}

/// The canonical name of an error's type: `shop.Bounced` for `shop::Bounced`.
pub(super) fn class_name<E>() -> String {
    let name = std::any::type_name::<E>();
    let plain = name.split('<').next().unwrap_or(name);
    cut(&plain.replace("::", "."), REASON_BYTES_MAX).to_owned()
}

pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot send")]
    struct Bounced(#[source] std::io::Error);

    #[test]
    fn any_error_becomes_one_with_the_texts_of_its_causes() {
        let error: Error = Bounced(std::io::Error::other("no route")).into();
        let End::Errored { error, retry_after_ms: None } = error.into_end() else { panic!("another end") };
        assert_eq!(error.message, "cannot send: no route");
        assert_eq!(error.types, ["lineshaft.task.error.tests.Bounced"]);
    }

    #[test]
    fn the_place_of_an_error_is_where_it_was_passed_on() {
        let place = |error: Error| error.into_record().traceback.unwrap();
        let here = |line: u32| format!("at {}:{line}", file!());
        let passed = || -> Result<()> { Err(std::io::Error::other("no route"))? };
        assert!(place(passed().unwrap_err()).starts_with(&here(line!() - 1)));
        assert!(place(Error::discard("why")).starts_with(&here(line!())));
        let text = Error::any("a text");
        assert_eq!(text.to_string(), "a text");
        assert!(place(text).starts_with(&here(line!() - 2)));
        let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(Bounced(std::io::Error::other("x")));
        assert_eq!(Error::any(boxed).to_string(), "cannot send: x");
    }

    #[test]
    fn each_constructor_steers_as_it_says() {
        let second = Duration::from_secs(1);
        let errored = Error::retry_after(second).with_message("busy").into_end();
        let End::Errored { error, retry_after_ms: Some(1_000) } = errored else { panic!("{errored:?}") };
        assert_eq!(error.message, "busy");
        let discarded = Error::discard("no such user").into_end();
        let End::Rejected { reason, error } = discarded else { panic!("{discarded:?}") };
        assert_eq!((&*reason, &*error.message), ("never_retried", "no such user"));
        assert_eq!(Error::cancel("why").into_end(), End::CancelledItself { reason: "why".into() });
        assert_eq!(Error::snooze(second).into_end(), End::Snoozed { delay_ms: 1_000 });
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let record = Error::new("é".repeat(MESSAGE_BYTES_MAX)).into_record();
        assert_eq!(record.message.len(), MESSAGE_BYTES_MAX);
        let End::CancelledItself { reason } = Error::cancel("é".repeat(200)).into_end() else { panic!() };
        assert_eq!(reason.len(), 254);
    }
}
