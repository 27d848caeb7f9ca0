//! What a parameter or field holds.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Schema, Shape};

/// Kinds of values. Written in JSON as `"int"`, `{"list": "int"}`, `{"named": "shop.Order"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Every value: nothing is said.
    Any,
    /// `None`.
    None,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `float`.
    Float,
    /// `complex`.
    Complex,
    /// `str`.
    Str,
    /// `bytes`.
    Bytes,
    /// `bytearray`.
    Bytearray,
    /// `decimal.Decimal`.
    Decimal,
    /// `uuid.UUID`.
    Uuid,
    /// `datetime.datetime`.
    Datetime,
    /// `datetime.date`.
    Date,
    /// `datetime.time`.
    Time,
    /// `datetime.timedelta`.
    Timedelta,
    /// `range`.
    Range,
    /// `...`.
    Ellipsis,
    /// A job.
    Job,
    /// An array of numpy.
    Array,
    /// A table of Arrow, or a part of one.
    Table,
    /// An object that is sent as a pickle.
    Pickled,
    /// A list of these.
    List(Box<Type>),
    /// A set of these.
    Set(Box<Type>),
    /// A frozenset of these.
    Frozenset(Box<Type>),
    /// A tuple of any length of these.
    TupleOf(Box<Type>),
    /// A tuple of exactly these.
    Tuple(Vec<Type>),
    /// A dict with such keys and values.
    Dict(Box<(Type, Type)>),
    /// One of these, sorted.
    OneOf(Vec<Type>),
    /// This value alone: what it is, and its text.
    Literal(Box<Type>, String),
    /// An instance of a type with a name of its own.
    Named(String),
    /// What a language says beyond this, as text.
    Other(String),
}

impl Type {
    /// One of `members`, in its canonical form.
    pub fn one_of(members: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = BTreeSet::new();
        for member in members {
            match member {
                Self::OneOf(inner) => flat.extend(inner),
                other => drop(flat.insert(other)),
            }
        }
        if flat.contains(&Self::Any) {
            return Self::Any;
        }
        if flat.len() == 1 {
            flat.pop_first().unwrap_or(Self::Any)
        } else {
            Self::OneOf(flat.into_iter().collect())
        }
    }

    /// The same in its canonical form: unions are flat, sorted, and none of one member.
    #[must_use]
    pub fn canonical(self) -> Self {
        let inner = |of: Box<Self>| Box::new(of.canonical());
        match self {
            Self::List(of) => Self::List(inner(of)),
            Self::Set(of) => Self::Set(inner(of)),
            Self::Frozenset(of) => Self::Frozenset(inner(of)),
            Self::TupleOf(of) => Self::TupleOf(inner(of)),
            Self::Tuple(of) => Self::Tuple(of.into_iter().map(Self::canonical).collect()),
            Self::Dict(of) => Self::Dict(Box::new((of.0.canonical(), of.1.canonical()))),
            Self::OneOf(of) => Self::one_of(of.into_iter().map(Self::canonical)),
            other => other,
        }
    }

    /// Every name in it, into `names`.
    fn names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Named(name) => names.push(name),
            Self::List(inner)
            | Self::Set(inner)
            | Self::Frozenset(inner)
            | Self::TupleOf(inner)
            | Self::Literal(inner, _) => inner.names(names),
            Self::Tuple(inner) | Self::OneOf(inner) => inner.iter().for_each(|one| one.names(names)),
            Self::Dict(inner) => {
                inner.0.names(names);
                inner.1.names(names);
            }
            _ => {}
        }
    }
}

impl Schema {
    /// The names of the types that `types` reach, by way of fields too.
    pub(super) fn reached<'a>(&'a self, types: impl Iterator<Item = &'a Type>) -> BTreeSet<&'a str> {
        let mut open = Vec::new();
        types.for_each(|one| one.names(&mut open));
        let mut reached = BTreeSet::new();
        while let Some(name) = open.pop() {
            let Some((name, found)) = self.type_of(name) else { continue };
            if !reached.insert(name) {
                continue;
            }
            if let Shape::Record { fields, .. } = &found.shape {
                fields.iter().for_each(|field| field.of.names(&mut open));
            }
        }
        reached
    }
}

/// As Python writes it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(inner) => write!(f, "list[{inner}]"),
            Self::Set(inner) => write!(f, "set[{inner}]"),
            Self::Frozenset(inner) => write!(f, "frozenset[{inner}]"),
            Self::TupleOf(inner) => write!(f, "tuple[{inner}, ...]"),
            Self::Tuple(inner) if inner.is_empty() => f.write_str("tuple[()]"),
            Self::Tuple(inner) => write!(f, "tuple[{}]", joined(inner, ", ")),
            Self::Dict(inner) => write!(f, "dict[{}, {}]", inner.0, inner.1),
            Self::OneOf(inner) => f.write_str(&union(inner)),
            Self::Literal(_, text) => write!(f, "Literal[{text}]"),
            Self::Named(text) | Self::Other(text) => f.write_str(text),
            simple => f.write_str(simple.word()),
        }
    }
}

impl Type {
    const fn word(&self) -> &'static str {
        match self {
            Self::Any => "Any",
            Self::None => "None",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float",
            Self::Complex => "complex",
            Self::Str => "str",
            Self::Bytes => "bytes",
            Self::Bytearray => "bytearray",
            Self::Decimal => "Decimal",
            Self::Uuid => "UUID",
            Self::Datetime => "datetime",
            Self::Date => "date",
            Self::Time => "time",
            Self::Timedelta => "timedelta",
            Self::Range => "range",
            Self::Ellipsis => "EllipsisType",
            Self::Job => "Job",
            Self::Array => "ndarray",
            Self::Table => "Table",
            Self::Pickled => "Pickled",
            _ => "",
        }
    }
}

/// The members of a union, literals together and `None` at the end, as people write it.
fn union(members: &[Type]) -> String {
    let literals: Vec<&str> = members
        .iter()
        .filter_map(|member| if let Type::Literal(_, text) = member { Some(text.as_str()) } else { None })
        .collect();
    let is_plain = |member: &&Type| !matches!(member, Type::Literal(..) | Type::None);
    let mut words: Vec<String> = members.iter().filter(is_plain).map(Type::to_string).collect();
    if !literals.is_empty() {
        words.push(format!("Literal[{}]", literals.join(", ")));
    }
    if members.contains(&Type::None) {
        words.push("None".to_owned());
    }
    words.join(" | ")
}

fn joined(types: &[Type], between: &str) -> String {
    types.iter().map(Type::to_string).collect::<Vec<_>>().join(between)
}
