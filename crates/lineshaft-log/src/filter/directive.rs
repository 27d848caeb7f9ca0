//! The text of directives.

use crate::error::Error;
use crate::level::{Level, LevelNames};
use crate::record::Fields;

/// One directive.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Directive {
    pub(super) name: Box<str>,
    /// A record has to have all of them.
    pub(super) fields: Vec<Asked>,
    pub(super) wanted: Wanted,
}

/// A field that a record has to have, with the value if there is one.
pub(super) type Asked = (Box<str>, Option<Box<str>>);

/// What is let through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) level: Level,
    /// Of the records below `warning`.
    pub(super) share: f32,
}

impl Directive {
    pub(super) fn is_for(&self, fields: &Fields) -> bool {
        self.fields.iter().all(|(key, text)| {
            let found = fields.iter().rev().find(|(name, _)| **name == **key);
            found.is_some_and(|(_, value)| text.as_ref().is_none_or(|text| value.is_said_by(text)))
        })
    }
}

/// All directives of a text, in their order.
pub(super) fn read(text: &str, levels: &LevelNames) -> Result<Vec<Directive>, Error> {
    let mut directives = Vec::new();
    for (at, part) in split(text) {
        let part_at = at + part.len() - part.trim_start().len();
        let part = part.trim();
        let read = if part.is_empty() { Err("there is no directive".to_owned()) } else { one(part, levels) };
        directives.push(read.map_err(|reason| Error::Directive {
            filter: text.to_owned(),
            directive: part.to_owned(),
            position: text[..part_at].chars().count() + 1,
            reason,
        })?);
    }
    Ok(directives)
}

/// The parts between commas that stand in no brackets and no quotes, with where they begin.
fn split(text: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut begin, mut is_inside, mut is_quoted) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if is_inside => is_quoted = !is_quoted,
            b'[' if !is_quoted => is_inside = true,
            b']' if !is_quoted => is_inside = false,
            b',' if !is_inside => {
                parts.push((begin, &text[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push((begin, &text[begin..]));
    parts
}

fn one(text: &str, levels: &LevelNames) -> Result<Directive, String> {
    let (target, wanted) = match text.find('[') {
        Some(open) => {
            let close = closing(text, open).ok_or("the bracket is not closed")?;
            let rest = text[close + 1..].trim();
            let level = rest.strip_prefix('=').ok_or("after the bracket comes `=level`")?;
            (&text[..=close], level)
        }
        None => match text.split_once('=') {
            Some((name, level)) => (name, level),
            None => ("", text),
        },
    };
    let (name, fields) = match target.split_once('[') {
        Some((name, fields)) => (name, fields_of(&fields[..fields.len() - 1])?),
        None => (target, Vec::new()),
    };
    let name = name.trim();
    if name.chars().any(|sign| sign.is_whitespace() || "=]\"".contains(sign)) {
        return Err(format!("{name:?} is no name of a logger"));
    }
    // The parts of a name in Rust, as its events of `tracing` have them.
    let name = name.replace("::", ".");
    let name = name.strip_suffix('.').unwrap_or(&name).into();
    Ok(Directive { name, fields, wanted: wanted_of(wanted, levels)? })
}

/// Where the bracket that opens at `open` closes.
fn closing(text: &str, open: usize) -> Option<usize> {
    let mut is_quoted = false;
    for (at, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b']' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn wanted_of(text: &str, levels: &LevelNames) -> Result<Wanted, String> {
    let (level, share) = match text.split_once('@') {
        Some((level, share)) => (level, share.trim().parse().unwrap_or(f32::NAN)),
        None => (text, 1.0),
    };
    if !(0.0..=1.0).contains(&share) {
        return Err("after `@` comes a part from 0 to 1".to_owned());
    }
    let level = levels.parse(level).ok_or_else(|| format!("{:?} is no level", level.trim()))?;
    Ok(Wanted { level, share })
}

fn fields_of(text: &str) -> Result<Vec<Asked>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    while !rest.trim().is_empty() {
        let (field, after) = next_field(rest)?;
        fields.push(field);
        rest = after;
    }
    if fields.is_empty() { Err("there is no field in the brackets".to_owned()) } else { Ok(fields) }
}

/// The first field, and what stands after its comma.
fn next_field(text: &str) -> Result<(Asked, &str), String> {
    let end = text.find(['=', ',']).unwrap_or(text.len());
    let key = text[..end].trim();
    if key.contains(['{', '}']) {
        return Err("spans cannot be named; `name[field=value]=level` is for records with a field".to_owned());
    }
    if key.is_empty() || key.contains('"') {
        return Err(format!("{key:?} is no name of a field"));
    }
    let Some(value) = text[end..].strip_prefix('=') else {
        return Ok(((key.into(), None), text[end..].strip_prefix(',').unwrap_or("")));
    };
    let value = value.trim_start();
    if let Some(quoted) = value.strip_prefix('"') {
        let (inside, after) = quoted.split_once('"').ok_or("the quote is not closed")?;
        let after = after.trim_start();
        if !(after.is_empty() || after.starts_with(',')) {
            return Err(format!("{after:?} stands after the quote"));
        }
        return Ok(((key.into(), Some(inside.into())), after.strip_prefix(',').unwrap_or("")));
    }
    let (value, after) = value.split_once(',').unwrap_or((value, ""));
    Ok(((key.into(), Some(value.trim().into())), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Expected<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)], Level, f32);

    fn check(text: &str, expected: &[Expected<'_>]) {
        let found = read(text, &LevelNames::default()).expect(text);
        let expected: Vec<Directive> = expected
            .iter()
            .map(|(name, fields, level, share)| Directive {
                name: (*name).into(),
                fields: fields.iter().map(|(key, value)| ((*key).into(), value.map(Into::into))).collect(),
                wanted: Wanted { level: *level, share: *share },
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn directives_read() {
        check("warning", &[("", &[], Level::WARNING, 1.0)]);
        check(
            " info , shop.mail = debug ",
            &[("", &[], Level::INFO, 1.0), ("shop.mail", &[], Level::DEBUG, 1.0)],
        );
        check("[tenant=acme]=trace", &[("", &[("tenant", Some("acme"))], Level::TRACE, 1.0)]);
        check(
            r#"web[path="/a,b]=", user]=off"#,
            &[("web", &[("path", Some("/a,b]=")), ("user", None)], Level::OFF, 1.0)],
        );
        check("shop::mail=debug", &[("shop.mail", &[], Level::DEBUG, 1.0)]);
        check("web=debug@0.5", &[("web", &[], Level::DEBUG, 0.5)]);
    }

    #[test]
    fn an_error_names_the_directive_and_where_it_is() {
        for (text, directive, position, reason) in [
            ("", "", 1, "there is no directive"),
            ("warning,,", "", 9, "there is no directive"),
            ("info, ", "", 7, "there is no directive"),
            ("info,shop=loud", "shop=loud", 6, "\"loud\" is no level"),
            ("info, [a=1=debug", "[a=1=debug", 7, "the bracket is not closed"),
            ("[]=debug", "[]=debug", 1, "there is no field in the brackets"),
            ("ä=info,shop=info@2", "shop=info@2", 8, "after `@` comes a part from 0 to 1"),
            ("a b=info", "a b=info", 1, "\"a b\" is no name of a logger"),
            (
                "a[request{id=1}]=debug",
                "a[request{id=1}]=debug",
                1,
                "spans cannot be named; `name[field=value]=level` is for records with a field",
            ),
            ("a[x]", "a[x]", 1, "after the bracket comes `=level`"),
        ] {
            match read(text, &LevelNames::default()) {
                Err(Error::Directive { directive: found, position: at, reason: why, .. }) => {
                    assert_eq!((found.as_str(), at, why.as_str()), (directive, position, reason));
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
