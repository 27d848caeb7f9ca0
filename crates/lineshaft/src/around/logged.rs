//! The words of `#[logged]`: none of them is made where nobody listens.

use std::fmt::{self, Debug, Display};
use std::time::Instant;

use super::rough::Rough;

/// What can be shown: all that is `Debug`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be logged",
    label = "this is shown by `Debug`, which it does not have",
    note = "derive `Debug`, or leave it out: `redact = [\"name\"]` for an argument, `result = false` for the result"
)]
pub trait Loggable {
    /// As `Debug`.
    fn as_debug(&self) -> &dyn Debug;
}

#[diagnostic::do_not_recommend]
impl<T: Debug> Loggable for T {
    fn as_debug(&self) -> &dyn Debug {
        self
    }
}

/// An argument or a result.
pub fn shown<T: Loggable>(value: &T) -> Shown<'_> {
    Shown(value.as_debug())
}

/// What looks as `Debug` has it.
pub struct Shown<'a>(&'a dyn Debug);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Stands for what is not to be seen.
pub struct Redacted;

impl Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The arguments of a call, as a tuple of them looks, each with at most so many characters.
pub struct Arguments<'a>(pub &'a [&'a dyn Display], pub u32);

impl Display for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (place, argument) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Cut(argument, self.1))?;
        }
        f.write_str(if self.0.len() == 1 { ",)" } else { ")" })
    }
}

/// A text of at most so many characters; `u32::MAX` for whole.
pub struct Cut<T>(pub T, pub u32);

impl<T: Display> Display for Cut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(shown, max) = self;
        if *max == u32::MAX {
            return shown.fmt(f);
        }
        let (text, max) = (shown.to_string(), *max as usize);
        if text.chars().count() <= max {
            return f.write_str(&text);
        }
        let kept: String = text.chars().take(max.saturating_sub(3)).collect();
        write!(f, "{kept}...")
    }
}

/// An error. Rust takes the first of [`ByDisplay`] and [`ByDebug`] that it has a way for, as method calls look at
/// references one by one.
pub struct Failure<'a, E>(pub &'a E);

/// Errors with a text; `anyhow`'s with those of its causes.
pub trait ByDisplay {
    /// It.
    fn text(&self) -> String;
}

/// Errors without.
pub trait ByDebug {
    /// What it looks like.
    fn text(&self) -> String;
}

impl<E: Display> ByDisplay for Failure<'_, E> {
    fn text(&self) -> String {
        format!("{:#}", self.0)
    }
}

impl<E: Debug> ByDebug for &Failure<'_, E> {
    fn text(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// When a call began, if somebody will want to know.
pub fn began(is_heard: bool) -> Option<Instant> {
    is_heard.then(Instant::now)
}

/// How long a call took: ` in 12.1 ms`, or nothing.
pub struct Took(pub Option<Instant>);

impl Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |began| write!(f, " in {}", Rough(began.elapsed())))
    }
}
