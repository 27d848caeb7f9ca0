//! Whether values of a type as one program has it are read by another one.

use super::fit::{Fit, fit};
use super::{Field, Schema, Shape, TypeSchema};

/// Why some values of the writer's type are not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Misread<'a> {
    /// Another kind of type.
    Kind,
    /// The reader has no such field, and does not say what became of it.
    Unknown(&'a Field),
    /// A field of the reader that the writer does not have, and that has no default.
    Required(&'a Field),
    /// The reader's field, the second one, may be of another type.
    Type(&'a Field, &'a Field, Fit),
    /// The reader has no such member of an enumeration.
    Member(&'a str),
    /// The reader has not all bits of this member of a flag.
    Bits(&'a str),
}

/// Everything that may go wrong when values of `written` are read by a program with the schema `reader`.
pub(super) fn misreads<'a>(
    written: &'a TypeSchema,
    read: &'a TypeSchema,
    reader: &Schema,
) -> Vec<Misread<'a>> {
    match (&written.shape, &read.shape) {
        (Shape::Record { fields: written, .. }, Shape::Record { fields, renamed, removed, open }) => {
            let now = |name: &str| -> Option<&'a Field> {
                let by_name = |name: &str| fields.iter().find(|field| field.name == name);
                by_name(name).or_else(|| by_name(renamed.get(name)?))
            };
            let mut found = Vec::new();
            for field in written {
                match now(&field.name) {
                    Some(here) => found.push(Misread::Type(field, here, fit(&field.of, &here.of, reader))),
                    None if *open || removed.contains(&field.name) => {}
                    None => found.push(Misread::Unknown(field)),
                }
            }
            found.retain(|one| !matches!(one, Misread::Type(_, _, Fit::Yes)));
            let is_written = |here: &Field| written.iter().any(|field| now(&field.name) == Some(here));
            let required = fields.iter().filter(|here| here.default.is_none() && !is_written(here));
            found.extend(required.map(Misread::Required));
            found
        }
        (Shape::Enum { members: written }, Shape::Enum { members }) => {
            let missing = written.iter().filter(|name| !members.contains(name));
            missing.map(|name| Misread::Member(name)).collect()
        }
        (Shape::Flag { members: written }, Shape::Flag { members }) => {
            let known = members.values().fold(0, |bits, one| bits | one);
            let missing = written.iter().filter(|(_, bits)| **bits & !known != 0);
            missing.map(|(name, _)| Misread::Bits(name)).collect()
        }
        (Shape::Exception, Shape::Exception) => Vec::new(),
        _ => vec![Misread::Kind],
    }
}
