//! What a run came to.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

use crate::figure::{FIGURES, Figure, figure_of};
use crate::select::Selection;
use crate::stats::Spread;

/// The figures of a run.
#[derive(Clone, Debug)]
pub struct Report {
    selection: Selection,
    samples: BTreeMap<&'static str, Vec<f64>>,
    failures: Vec<String>,
}

/// A figure, as it came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Which.
    pub figure: &'static Figure,
    /// What it came to; `None` if it was not measured.
    pub spread: Option<Spread>,
    /// The goal in words, with the bound that the probe makes of it.
    pub goal: String,
    /// Whether the median meets it.
    pub met: Option<bool>,
}

impl Report {
    pub(crate) fn new(selection: Selection) -> Self {
        Self { selection, samples: BTreeMap::new(), failures: Vec::new() }
    }

    /// One round of a figure.
    pub(crate) fn add(&mut self, key: &'static str, value: f64) {
        debug_assert!(figure_of(key).is_some(), "{key} is not in the table");
        self.samples.entry(key).or_default().push(value);
    }

    /// Some figures are missing, and why.
    pub(crate) fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    /// What went wrong while measuring. Goals that are not met are no failures.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// A figure that was asked for or came along.
    pub fn spread(&self, key: &str) -> Option<Spread> {
        Spread::of(self.samples.get(key)?)
    }

    /// Every figure that was asked for, in the order of the table.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        FIGURES.iter().filter(|figure| self.selection.has(figure.key)).map(|figure| self.line(figure))
    }

    fn line(&self, figure: &'static Figure) -> Line {
        let spread = self.spread(figure.key);
        let probe = figure.goal.probe().and_then(|key| self.spread(key)).map(|spread| spread.median);
        let met = spread.and_then(|spread| figure.goal.is_met(spread.median, probe));
        Line { figure, spread, goal: figure.goal.words(probe), met }
    }

    /// One flat object: for every figure that was asked for `KEY`, the median, with `KEY_min` and `KEY_max`; null where
    /// it could not be measured.
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        for Line { figure: Figure { key, .. }, spread, .. } in self.lines() {
            let value = |of: fn(Spread) -> f64| {
                spread.and_then(|spread| number(of(spread))).map_or(Json::Null, Json::Number)
            };
            object.insert((*key).to_owned(), value(|spread| spread.median));
            object.insert(format!("{key}_min"), value(|spread| spread.min));
            object.insert(format!("{key}_max"), value(|spread| spread.max));
        }
        Json::Object(object)
    }
}

/// Six digits that matter: the rest is noise.
fn number(value: f64) -> Option<Number> {
    let digits = (5 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 9);
    let scale = 10_f64.powi(digits);
    let rounded = (value * scale).round() / scale;
    let is_whole = rounded.fract() == 0.0 && rounded.abs() < 9e15;
    if is_whole { Some(Number::from(rounded as i64)) } else { Number::from_f64(rounded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(names: &[&str], samples: &[(&'static str, &[f64])]) -> Report {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut report = Report::new(Selection::of(&names).unwrap());
        for (key, values) in samples {
            values.iter().for_each(|value| report.add(key, *value));
        }
        report
    }

    #[test]
    fn the_document_is_flat_and_says_null_where_nothing_was_measured() {
        let report = report(&["enqueue_1_per_s"], &[("enqueue_1_per_s", &[3.0, 1.5, 2.123_456_789])]);
        let expected = serde_json::json!({
            "probe_fdatasync_per_s": null, "probe_fdatasync_per_s_min": null, "probe_fdatasync_per_s_max": null,
            "probe_wakeup_per_s": null, "probe_wakeup_per_s_min": null, "probe_wakeup_per_s_max": null,
            "enqueue_1_per_s": 2.12346, "enqueue_1_per_s_min": 1.5, "enqueue_1_per_s_max": 3,
        });
        assert_eq!(report.to_json(), expected);
    }

    #[test]
    fn numbers_have_the_digits_that_matter() {
        let cases = [
            (0.0, "0"),
            (3.0, "3"),
            (101_653.27, "101653"),
            (1_073_741_824.0, "1073741824"),
            (0.123_456_78, "0.123457"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_goal_is_held_against_the_median_of_the_probe() {
        let samples: [(&'static str, &[f64]); 2] = [
            ("probe_fdatasync_per_s", &[900.0, 1_000.0, 1_100.0]),
            ("enqueue_1_per_s", &[700.0, 801.0, 2_000.0]),
        ];
        let lines: Vec<Line> = report(&["enqueue_1_per_s"], &samples).lines().collect();
        let line = |key| lines.iter().find(|line| line.figure.key == key).unwrap();
        assert_eq!(line("probe_fdatasync_per_s").met, None);
        let enqueue = line("enqueue_1_per_s");
        assert_eq!((&*enqueue.goal, enqueue.met), (">= min(0.8 x probe, 10,000) = 800", Some(true)));
    }
}
