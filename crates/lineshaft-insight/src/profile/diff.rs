//! What has changed between two profiles.

use std::collections::BTreeMap;

use super::{Kind, Profile};

/// A function whose part of the time is another than before.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// The part of all time that went to the function itself, from 0 to 1.
    pub before: f64,
    /// The same, in the later profile.
    pub after: f64,
}

impl Change {
    /// By how much its part has grown.
    pub fn by(&self) -> f64 {
        self.after - self.before
    }
}

/// Every function that had a part of the time, the greatest change first. One that stands at another line of the same
/// file is the same function.
pub fn diff(before: &Profile, after: &Profile) -> Vec<Change> {
    let mut parts: BTreeMap<(String, String), (f64, f64)> = BTreeMap::new();
    for (key, part) in parts_of(before) {
        parts.entry(key).or_default().0 += part;
    }
    for (key, part) in parts_of(after) {
        parts.entry(key).or_default().1 += part;
    }
    let change = |((name, file), (before, after))| Change { name, file, before, after };
    let mut changes: Vec<Change> = parts.into_iter().map(change).collect();
    changes.sort_by(|one, other| other.by().abs().total_cmp(&one.by().abs()));
    changes
}

fn parts_of(profile: &Profile) -> impl Iterator<Item = ((String, String), f64)> {
    let all = profile.total(Kind::Thread).wall_ns.max(1) as f64;
    let functions = profile.functions().into_iter().filter(|one| one.own.wall_ns > 0);
    functions.map(move |one| ((one.name.to_owned(), one.file.to_owned()), one.own.wall_ns as f64 / all))
}
