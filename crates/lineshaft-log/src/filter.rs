//! Which records are wanted: directives such as `warning,shop.mail=debug,[tenant=acme]=trace`.

mod directive;

use lineshaft_structures::Trie;

use crate::error::Error;
use crate::level::{Level, LevelNames};
use crate::record::{Fields, Record};
use directive::{Directive, Wanted};

/// Directives, found by the name of a logger.
///
/// A directive is `level`, `name=level` or `name[field=value,field]=level`; the name may be missing. It is for the logger
/// of that name and those below it: `shop` is for `shop` and `shop.mail`, not for `shopping`. Of those whose fields a
/// record has, the one with the longest name counts, of several the last; where there is none, the one without fields
/// that has the longest name, and without any `warning`. So `[path=/health]=off` silences and `[tenant=acme]=trace`
/// shows more. `level@0.1` lets one in ten records through, evenly by a counter of the caller, of those below `warning`.
///
/// ```
/// use lineshaft_log::{Filter, Level, LevelNames};
///
/// let filter = Filter::parse("warning,shop.mail=debug", &LevelNames::default()).expect("a filter");
/// assert_eq!(filter.verdict("shop.mail.smtp").level, Level::DEBUG);
/// assert_eq!(filter.verdict("shop.mailing").level, Level::WARNING);
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    /// By name with a dot after it, so that only whole parts match; that of all loggers is empty.
    names: Trie<Node>,
    directives: Vec<Directive>,
}

/// What stands for one name.
#[derive(Clone, Debug, Default)]
struct Node {
    plain: Option<Wanted>,
    /// Numbers of directives with fields, the last one first.
    with_fields: Vec<u32>,
}

/// What a filter says about a logger, before there is a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Records below it are not wanted, whatever their fields.
    pub least: Level,
    /// The level for records that no directive with fields is for.
    pub level: Level,
    /// Which part of the records below `warning` is let through, if no directive with fields says otherwise.
    pub share: f32,
    /// Whether it takes the fields to say whether a record is wanted.
    pub needs_fields: bool,
}

impl Default for Filter {
    /// Warnings, and what matters more.
    fn default() -> Self {
        Self { names: Trie::default(), directives: Vec::new() }
    }
}

impl Filter {
    /// Reads directives with commas between them.
    pub fn parse(text: &str, levels: &LevelNames) -> Result<Self, Error> {
        let mut filter = Self::default();
        for directive in directive::read(text, levels)? {
            filter.add(directive);
        }
        Ok(filter)
    }

    /// A filter that is for the level alone.
    pub fn at(level: Level) -> Self {
        let mut filter = Self::default();
        filter.add(Directive {
            name: Box::default(),
            fields: Vec::new(),
            wanted: Wanted { level, share: 1.0 },
        });
        filter
    }

    fn add(&mut self, directive: Directive) {
        let (mut short, mut long) = (SHORT, Vec::new());
        let key = key_in(&directive.name, &mut short, &mut long);
        if self.names.get(key).is_none() {
            self.names.insert(key, Node::default());
        }
        let node = self.names.get_mut(key).expect("it is there by now");
        if directive.fields.is_empty() {
            node.plain = Some(directive.wanted);
        } else {
            node.with_fields.insert(0, self.directives.len() as u32);
            self.directives.push(directive);
        }
    }

    /// What it says about a logger: O(length of the name), however many directives there are.
    pub fn verdict(&self, logger: &str) -> Verdict {
        let mut wanted = Wanted { level: Level::WARNING, share: 1.0 };
        let mut with_fields: Option<Level> = None;
        let (mut short, mut long) = (SHORT, Vec::new());
        for (_, node) in self.names.prefixes(key_in(logger, &mut short, &mut long)) {
            wanted = node.plain.unwrap_or(wanted);
            for number in &node.with_fields {
                let level = self.directives[*number as usize].wanted.level;
                with_fields = Some(with_fields.map_or(level, |before| before.min(level)));
            }
        }
        let least = with_fields.map_or(wanted.level, |level| level.min(wanted.level));
        Verdict { least, level: wanted.level, share: wanted.share, needs_fields: with_fields.is_some() }
    }

    /// The level of records with these fields, and which part of those below `warning` is let through.
    pub fn wanted(&self, logger: &str, fields: &Fields) -> (Level, f32) {
        let mut wanted = Wanted { level: Level::WARNING, share: 1.0 };
        let mut by_fields = None;
        let (mut short, mut long) = (SHORT, Vec::new());
        for (_, node) in self.names.prefixes(key_in(logger, &mut short, &mut long)) {
            wanted = node.plain.unwrap_or(wanted);
            let found = node.with_fields.iter().map(|number| &self.directives[*number as usize]);
            by_fields =
                found.into_iter().find(|each| each.is_for(fields)).map(|each| each.wanted).or(by_fields);
        }
        let wanted = by_fields.unwrap_or(wanted);
        (wanted.level, wanted.share)
    }

    /// Whether a record is wanted, its sampling aside.
    pub fn takes(&self, record: &Record) -> bool {
        record.level >= self.wanted(&record.logger, &record.fields).0
    }

    /// The level below which no logger at all is heard.
    pub fn least(&self) -> Level {
        let named = self.names.values().filter_map(|node| node.plain).map(|wanted| wanted.level);
        let with_fields = self.directives.iter().map(|directive| directive.wanted.level);
        let of_all =
            self.names.get(&[]).and_then(|node| node.plain).map_or(Level::WARNING, |wanted| wanted.level);
        named.chain(with_fields).fold(of_all, Level::min)
    }
}

/// Room for a name that is not longer than most.
const SHORT: [u8; 128] = [0; 128];

/// A name with a dot after it, in `short` if there is room, so that nothing has to be allocated.
fn key_in<'k>(name: &str, short: &'k mut [u8; 128], long: &'k mut Vec<u8>) -> &'k [u8] {
    let length = name.len();
    if length == 0 {
        return &[];
    }
    if length < short.len() {
        short[..length].copy_from_slice(name.as_bytes());
        short[length] = b'.';
        return &short[..=length];
    }
    long.extend_from_slice(name.as_bytes());
    long.push(b'.');
    long
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;
    use crate::value::Value;

    fn filter(text: &str) -> Filter {
        Filter::parse(text, &LevelNames::default()).expect("a filter")
    }

    #[test]
    fn the_longest_name_counts() {
        let filter = filter("error, shop=info, shop.mail=debug, shop.mail.smtp=off");
        for (logger, level) in [
            ("", Level::ERROR),
            ("app", Level::ERROR),
            ("shop", Level::INFO),
            ("shopping", Level::ERROR),
            ("shop.mail.queue", Level::DEBUG),
            ("shop.mail.smtp", Level::OFF),
        ] {
            assert_eq!(filter.verdict(logger).level, level, "{logger}");
        }
        assert_eq!(filter.least(), Level::DEBUG);
    }

    #[test]
    fn fields_show_more_and_less() {
        let filter = filter("info,[tenant=acme]=trace,web[path=/health]=off,[user]=debug");
        for (logger, level, fields, is_taken) in [
            ("app", Level::DEBUG, vec![], false),
            ("app", Level::TRACE, vec![("tenant", Value::from("acme"))], true),
            ("app", Level::TRACE, vec![("tenant", Value::from("other"))], false),
            ("web.http", Level::CRITICAL, vec![("path", Value::from("/health"))], false),
            ("web.http", Level::INFO, vec![("path", Value::from("/"))], true),
            ("app", Level::DEBUG, vec![("user", Value::from(7))], true),
        ] {
            let record = sample(level, logger, "x", &fields);
            assert_eq!(filter.takes(&record), is_taken, "{record:?}");
            assert!(!is_taken || level >= filter.verdict(logger).least);
        }
    }

    #[test]
    fn a_share_belongs_to_its_directive() {
        let filter = filter("info,shop=debug@0.25");
        assert!((filter.verdict("shop.x").share - 0.25).abs() < 1e-6);
        assert!((filter.verdict("app").share - 1.0).abs() < 1e-6);
    }
}
