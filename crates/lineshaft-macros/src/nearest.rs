//! Names that do not exist, with the one that was probably meant.

use std::fmt::Display;

use proc_macro2::Span;
use strsim::osa_distance;
use syn::Error;

/// The error for `given`, of which `message` says that there is no such thing among `known`.
pub(crate) fn unknown(span: Span, message: impl Display, given: &str, known: &[&str]) -> Error {
    let guess = nearest(given, known).map_or_else(String::new, |name| format!(": did you mean `{name}`?"));
    let list = if known.is_empty() { "none".to_owned() } else { format!("`{}`", known.join("`, `")) };
    Error::new(span, format!("{message}{guess}\n= there are: {list}"))
}

/// The closest of `known`, if it is near: at most a third of its letters differ, or two.
fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    // One slip in all: `retrys` is `retries`, though `retry` has more of its letters.
    let spelt = |word: &str| word.replace("ies", "ys");
    let distances = known.iter().map(|name| (osa_distance(&spelt(given), &spelt(name)), *name));
    let (distance, name) = distances.min()?;
    (distance <= (name.len() / 3).max(2) && distance < name.len()).then_some(name)
}
