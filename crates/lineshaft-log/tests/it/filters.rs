//! Directives against a matcher that knows no trie.

use lineshaft_log::{Fields, Filter, Level, LevelNames, Value};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Naive {
    name: String,
    fields: Vec<(String, Option<String>)>,
    level: Level,
}

impl Naive {
    fn text(&self) -> String {
        let fields: Vec<String> = self
            .fields
            .iter()
            .map(|(key, value)| value.as_ref().map_or(key.clone(), |value| format!("{key}=\"{value}\"")))
            .collect();
        let fields = if fields.is_empty() { String::new() } else { format!("[{}]", fields.join(",")) };
        let level = LevelNames::default().shown(self.level).to_string();
        if self.name.is_empty() && fields.is_empty() {
            level
        } else {
            format!("{}{fields}={level}", self.name)
        }
    }

    fn is_for(&self, logger: &str, fields: &Fields) -> bool {
        let is_named = self.name.is_empty()
            || logger == self.name
            || logger.strip_prefix(&self.name).is_some_and(|rest| rest.starts_with('.'));
        is_named
            && self.fields.iter().all(|(key, value)| {
                fields
                    .iter()
                    .rev()
                    .find(|(name, _)| **name == **key)
                    .is_some_and(|(_, found)| value.as_ref().is_none_or(|value| found.to_string() == *value))
            })
    }
}

fn naive(directives: &[Naive], logger: &str, fields: &Fields) -> Level {
    let best = |has_fields: bool| {
        let fitting = directives
            .iter()
            .enumerate()
            .filter(|(_, each)| each.fields.is_empty() != has_fields && each.is_for(logger, fields));
        fitting.max_by_key(|(number, each)| (each.name.len(), *number)).map(|(_, each)| each.level)
    };
    best(true).or_else(|| best(false)).unwrap_or(Level::WARNING)
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just("ab")], 0..4)
        .prop_map(|parts| parts.join("."))
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::TRACE), Just(Level::INFO), Just(Level::WARNING), Just(Level::CRITICAL)]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![Just("x".to_owned()), Just("1".to_owned()), Just("a,]=".to_owned())]
}

fn directive() -> impl Strategy<Value = Naive> {
    let key = prop_oneof![Just("k".to_owned()), Just("l".to_owned())];
    let fields = prop::collection::vec((key, prop::option::of(value())), 0..3);
    (name(), fields, level()).prop_map(|(name, fields, level)| Naive { name, fields, level })
}

proptest! {
    #[test]
    fn a_filter_says_what_a_naive_matcher_says(
        directives in prop::collection::vec(directive(), 1..8),
        logger in name(),
        given in prop::collection::vec((prop_oneof![Just("k"), Just("l")], value()), 0..3),
    ) {
        let text: Vec<String> = directives.iter().map(Naive::text).collect();
        let filter = Filter::parse(&text.join(", "), &LevelNames::default()).expect("directives");
        let value = |text: &str| text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
        let fields: Fields = given.iter().map(|(key, text)| ((*key).into(), value(text))).collect();
        let expected = naive(&directives, &logger, &fields);
        prop_assert_eq!(filter.wanted(&logger, &fields).0, expected);
        let verdict = filter.verdict(&logger);
        prop_assert!(verdict.least <= expected);
        prop_assert!(verdict.needs_fields || verdict.level == expected);
        prop_assert!(filter.least() <= expected);
    }
}
