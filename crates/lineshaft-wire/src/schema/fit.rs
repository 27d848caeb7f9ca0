//! Whether a reader's type takes every value that a writer's type has.

use super::{Schema, Type};

/// The worst of several is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Yes,
    /// One of the two says too little.
    Perhaps,
    No,
}

/// Whether `read`, a type of the program with the schema `reader`, takes every value of `written`.
pub(super) fn fit(written: &Type, read: &Type, reader: &Schema) -> Fit {
    let inner = |written: &Type, read: &Type| fit(written, read, reader);
    match (written, read) {
        (_, Type::Any) => Fit::Yes,
        (written, read) if written == read => Fit::Yes,
        (Type::OneOf(all), read) => all.iter().map(|one| inner(one, read)).max().unwrap_or(Fit::Yes),
        (written, Type::OneOf(any)) => any.iter().map(|one| inner(written, one)).min().unwrap_or(Fit::No),
        (Type::Any | Type::Other(_), _) | (_, Type::Other(_)) => Fit::Perhaps,
        (Type::Literal(of, _), read) if !matches!(read, Type::Literal(..)) => inner(of, read),
        // Numbers widen, as annotations do.
        (Type::Bool, Type::Int | Type::Float | Type::Complex)
        | (Type::Int, Type::Float | Type::Complex)
        | (Type::Float, Type::Complex) => Fit::Yes,
        (Type::List(written), Type::List(read))
        | (Type::Set(written), Type::Set(read))
        | (Type::Frozenset(written), Type::Frozenset(read))
        | (Type::TupleOf(written), Type::TupleOf(read)) => inner(written, read),
        (Type::Tuple(written), Type::TupleOf(read)) => {
            written.iter().map(|one| inner(one, read)).max().unwrap_or(Fit::Yes)
        }
        (Type::Tuple(written), Type::Tuple(read)) if written.len() == read.len() => {
            written.iter().zip(read).map(|(one, other)| inner(one, other)).max().unwrap_or(Fit::Yes)
        }
        (Type::Dict(written), Type::Dict(read)) => inner(&written.0, &read.0).max(inner(&written.1, &read.1)),
        (Type::Named(written), Type::Named(read)) => {
            let is_alias = reader.type_of(written).is_some_and(|(name, _)| name == read);
            if is_alias { Fit::Yes } else { Fit::No }
        }
        _ => Fit::No,
    }
}
