//! Names of tasks with a version.
//!
//! A job is one of a task in a version: `shop.send`, which is the first one, or `shop.send v2`. A child says of which
//! versions it runs jobs: `shop.send v1`, `shop.send v2-4`, or `shop.send` for all. So the two meet by names alone.

use std::sync::Arc;

use crate::message::{VERSION_MAX, is_name};

/// Stands between name and version; no name has it.
const BETWEEN: &str = " v";

/// What the jobs of a version of a task are called.
pub fn versioned(name: &str, version: u32) -> Arc<str> {
    if version <= 1 { name.into() } else { format!("{name}{BETWEEN}{version}").into() }
}

/// What a child says that runs jobs of these versions of a task.
pub fn runs(name: &str, from: u32, to: u32) -> Arc<str> {
    if from == to {
        format!("{name}{BETWEEN}{to}").into()
    } else {
        format!("{name}{BETWEEN}{from}-{to}").into()
    }
}

/// The name and the version of a job's task.
pub fn split(task: &str) -> (&str, u32) {
    match task.rsplit_once(BETWEEN) {
        Some((name, version)) => (name, version.parse().unwrap_or(1)),
        None => (task, 1),
    }
}

/// The name of a job's task.
pub fn name_of(task: &str) -> &str {
    split(task).0
}

/// The name and the versions that a child says it runs, the first and the last.
pub fn split_runs(task: &str) -> (&str, u32, u32) {
    let Some((name, versions)) = task.rsplit_once(BETWEEN) else { return (task, 1, VERSION_MAX) };
    let (from, to) = versions.split_once('-').unwrap_or((versions, versions));
    (name, from.parse().unwrap_or(1), to.parse().unwrap_or(1))
}

/// Whether a job can be one of `task`.
pub fn is_task(task: &str) -> bool {
    let (name, version) = split(task);
    is_name(name) && version <= VERSION_MAX && *versioned(name, version) == *task
}

/// Whether a child can say that it runs `task`.
pub fn is_runs(task: &str) -> bool {
    let (name, from, to) = split_runs(task);
    let is_version = |version: u32| (1..=VERSION_MAX).contains(&version);
    is_name(name)
        && is_version(from)
        && is_version(to)
        && from <= to
        && (name == task || *runs(name, from, to) == *task)
}

/// Whether a job of `task` is one of `wanted`: the same version, or any if it names none.
pub fn is_of(task: &str, wanted: &str) -> bool {
    if wanted.contains(BETWEEN) { split(task) == split(wanted) } else { name_of(task) == wanted }
}

/// What a child says it runs, without the version that everything begins with.
pub fn shown(task: &str) -> &str {
    let (name, from, to) = split_runs(task);
    if (from, to) == (1, 1) { name } else { task }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_is_the_name_alone() {
        assert_eq!((&*versioned("shop.send", 1), split("shop.send")), ("shop.send", ("shop.send", 1)));
        assert_eq!(
            (&*versioned("shop.send", 12), split("shop.send v12")),
            ("shop.send v12", ("shop.send", 12))
        );
    }

    #[test]
    fn a_child_runs_one_version_some_or_all() {
        for (task, expected) in [
            ("shop.send", ("shop.send", 1, VERSION_MAX)),
            ("shop.send v1", ("shop.send", 1, 1)),
            ("shop.send v2-4", ("shop.send", 2, 4)),
        ] {
            assert_eq!(split_runs(task), expected);
            assert!(is_runs(task), "{task}");
        }
        assert_eq!((&*runs("a", 1, 1), &*runs("a", 2, 4)), ("a v1", "a v2-4"));
        assert_eq!((shown("a v1"), shown("a v2"), shown("a v1-2"), shown("a")), ("a", "a v2", "a v1-2", "a"));
    }

    #[test]
    fn what_is_written_in_another_way_is_no_task() {
        for task in
            ["", "a b", "a v", "a v0", "a v1", "a v02", "a v+2", "a v2-3", "a v4294967296", " v2", "a v2 v3"]
        {
            assert!(!is_task(task), "{task}");
        }
        for task in
            ["", "a b", "a v", "a v0", "a v3-2", "a v2-2", "a v01", "a v1-", "a v2147483648", "a v1 v2"]
        {
            assert!(!is_runs(task), "{task}");
        }
    }

    #[test]
    fn a_task_without_a_version_is_every_version_of_it() {
        assert!(is_of("a v2", "a") && is_of("a", "a") && is_of("a v2", "a v2") && is_of("a", "a v1"));
        assert!(!is_of("a", "a v2") && !is_of("a v2", "a v1") && !is_of("ab v2", "a"));
    }
}
