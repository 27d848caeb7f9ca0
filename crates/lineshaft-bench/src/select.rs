//! Which figures are meant.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::figure::{FIGURES, figure_of};
use crate::groups::GROUPS;

/// The figures to measure, with the probes of the same minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    keys: BTreeSet<&'static str>,
}

/// What may be named: groups, then the keys of their figures.
pub fn names() -> Vec<&'static str> {
    let groups = GROUPS.iter().map(|group| group.name());
    groups.chain(FIGURES.iter().map(|figure| figure.key)).collect()
}

impl Selection {
    /// The figures and groups of these names; without any, all but those that have to be named.
    pub fn of(names: &[String]) -> Result<Self, Error> {
        let unknown: Vec<String> = names.iter().filter(|name| keys_of(name).is_empty()).cloned().collect();
        if !unknown.is_empty() {
            return Err(Error::UnknownNames { names: unknown });
        }
        let mut keys: BTreeSet<&'static str> = names.iter().flat_map(|name| keys_of(name)).collect();
        if names.is_empty() {
            let groups = GROUPS.iter().filter(|group| !group.only_when_named());
            keys.extend(groups.flat_map(|group| group.keys()));
        }
        let measured = GROUPS.iter().filter(|group| group.keys().iter().any(|key| keys.contains(key)));
        let probes: Vec<&'static str> = measured.flat_map(|group| group.probes()).copied().collect();
        keys.extend(probes);
        Ok(Self { keys })
    }

    /// Whether the figure is measured.
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Whether one of the figures is measured.
    pub(crate) fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.has(key))
    }

    /// Whether one of them needs Python.
    pub fn needs_python(&self) -> bool {
        FIGURES.iter().any(|figure| figure.python && self.has(figure.key))
    }
}

fn keys_of(name: &str) -> Vec<&'static str> {
    let groups = GROUPS.iter().filter(|group| group.name() == name).flat_map(|group| group.keys());
    groups.copied().chain(figure_of(name).map(|figure| figure.key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{PROBE_P50, PROBE_P99, PROBE_PER_S, WAKEUP_P50, WAKEUP_P99, WAKEUP_PER_S};

    fn keys(names: &[&str]) -> Vec<&'static str> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Selection::of(&names).unwrap().keys.into_iter().collect()
    }

    #[test]
    fn a_figure_comes_with_the_probe_of_the_same_minutes() {
        assert_eq!(keys(&["enqueue_64_per_s"]), ["enqueue_64_per_s", PROBE_PER_S, WAKEUP_PER_S]);
        let python = "enqueue_many_python_per_s";
        assert_eq!(keys(&[python]), [python, PROBE_PER_S, WAKEUP_PER_S]);
        let start = "start_p50_us";
        assert_eq!(keys(&[start]), [PROBE_P50, PROBE_P99, WAKEUP_P50, WAKEUP_P99, start]);
        assert_eq!(keys(&["restart_1m_s"]), ["restart_1m_s"]);
        for figure in FIGURES {
            assert!(
                figure.goal.probe().is_none_or(|probe| keys(&[figure.key]).contains(&probe)),
                "{}",
                figure.key
            );
        }
    }

    #[test]
    fn every_figure_belongs_to_one_group() {
        for figure in FIGURES {
            let groups = GROUPS.iter().filter(|group| group.keys().contains(&figure.key)).count();
            assert_eq!(groups, 1, "{}", figure.key);
        }
        for key in GROUPS.iter().flat_map(|group| group.keys()) {
            assert!(figure_of(key).is_some(), "{key}");
        }
    }

    #[test]
    fn without_a_name_it_is_all_but_what_has_to_be_named() {
        let named =
            |key: &&str| GROUPS.iter().any(|group| group.only_when_named() && group.keys().contains(key));
        let expected: BTreeSet<&str> =
            FIGURES.iter().map(|figure| figure.key).filter(|key| !named(key)).collect();
        assert_eq!(keys(&[]), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn what_nothing_is_called_is_named() {
        let names = ["enqueue".to_owned(), "speed".to_owned(), "drian".to_owned()];
        let error = Selection::of(&names).unwrap_err();
        assert_eq!(error.to_string(), "there is no figure speed, drian");
    }
}
