//! What tasks take and give, read off the text of their types.
//!
//! A macro knows types by what is written, not by what they are: names of the standard library and of
//! [`lineshaft::value`](crate::value) are taken for those, and the others are kept as text.

use std::collections::BTreeMap;

use lineshaft_wire::schema::{Parameter, ParameterKind, Schema, TaskSchema, Type};

use super::Task;

/// The text of a task's types, as the macro saw it.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Of each parameter, and whether it may be left out.
    pub parameters: &'static [(&'static str, bool)],
    /// Of what it gives.
    pub result: &'static str,
}

/// The schema of some tasks.
pub(crate) fn schema_of(tasks: &[Task]) -> Schema {
    let described = tasks.iter().map(|task| (task.name().to_owned(), described(task)));
    Schema::new(described.collect(), BTreeMap::new())
}

fn described(task: &Task) -> TaskSchema {
    let Signature { parameters, result } = *task.signature();
    let parameter = |(name, (of, may_be_left_out)): (&&str, &(&str, bool))| Parameter {
        name: (*name).to_owned(),
        kind: ParameterKind::PositionalOrKeyword,
        of: read(of),
        default: may_be_left_out.then(|| "…".to_owned()),
    };
    let (from_version, version) = task.versions();
    TaskSchema {
        id: String::new(),
        version,
        from_version,
        aliases: task.names().skip(1).map(str::to_owned).collect(),
        parameters: task.parameters.iter().zip(parameters).map(parameter).collect(),
        result: read(result),
    }
}

/// The type that a text names.
fn read(text: &str) -> Type {
    let mut cursor = Cursor { rest: text };
    let read = cursor.of().filter(|_| cursor.is_at_end());
    read.unwrap_or_else(|| Type::Other(without_spaces(text))).canonical()
}

fn without_spaces(text: &str) -> String {
    text.chars().filter(|char| !char.is_whitespace()).collect()
}

/// Reads a text from left to right. `None` is what it does not understand.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn is_at_end(&mut self) -> bool {
        self.rest.trim_start().is_empty()
    }

    fn take(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn word(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start();
        let end = text.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(text.len());
        self.rest = &text[end..];
        (end > 0).then(|| &text[..end])
    }

    fn of(&mut self) -> Option<Type> {
        if self.take("(") {
            let parts = self.until(")")?;
            return Some(if parts.is_empty() { Type::None } else { Type::Tuple(parts) });
        }
        if self.take("[") {
            let item = Box::new(self.of()?);
            if self.take(";") {
                self.word()?;
            }
            return self.take("]").then_some(Type::TupleOf(item));
        }
        let begin = self.rest;
        let mut last = self.word()?;
        while self.take("::") {
            last = self.word()?;
        }
        let inner = if self.take("<") { self.until(">")? } else { Vec::new() };
        let whole = &begin[..begin.len() - self.rest.len()];
        Some(named(last, inner).unwrap_or_else(|| Type::Other(without_spaces(whole))))
    }

    /// The types up to a sign; lifetimes are passed over.
    fn until(&mut self, sign: &str) -> Option<Vec<Type>> {
        let mut parts = Vec::new();
        while !self.take(sign) {
            if self.take("'") {
                self.word()?;
            } else {
                parts.push(self.of()?);
            }
            if !self.take(",") && !self.rest.trim_start().starts_with(sign) {
                return None;
            }
        }
        Some(parts)
    }
}

/// The type with a name that is known, and what stands in its angle brackets.
fn named(name: &str, inner: Vec<Type>) -> Option<Type> {
    let mut inner = inner.into_iter();
    let mut next = || inner.next();
    Some(match name {
        "bool" => Type::Bool,
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => {
            Type::Int
        }
        "f32" | "f64" => Type::Float,
        "char" | "str" | "String" | "JobId" => Type::Str,
        "Bytes" | "ByteBuf" => Type::Bytes,
        "ByteArray" => Type::Bytearray,
        "Uuid" => Type::Uuid,
        "Decimal" => Type::Decimal,
        "Complex" => Type::Complex,
        "Date" => Type::Date,
        "Time" => Type::Time,
        "DateTime" => Type::Datetime,
        "TimeDelta" => Type::Timedelta,
        "Array" => Type::Array,
        "Job" => Type::Job,
        "Value" => Type::Any,
        "Option" => Type::one_of([next()?, Type::None]),
        "Box" | "Arc" | "Rc" | "Cow" => next()?,
        "Vec" | "VecDeque" | "LinkedList" | "HashSet" | "BTreeSet" => Type::List(Box::new(next()?)),
        "HashMap" | "BTreeMap" => Type::Dict(Box::new((next()?, next()?))),
        "Set" => Type::Set(items(next()?)?),
        "FrozenSet" => Type::Frozenset(items(next()?)?),
        _ => return None,
    })
}

fn items(collection: Type) -> Option<Box<Type>> {
    if let Type::List(item) = collection { Some(item) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_off_their_text() {
        for (text, expected) in [
            ("String", "str"),
            ("(u32 , u32)", "tuple[int, int]"),
            ("()", "None"),
            ("Option < Vec < f64 > >", "list[float] | None"),
            ("std :: collections :: HashMap < String , Arc < str > >", "dict[str, str]"),
            ("Cow < 'static , str >", "str"),
            ("[u8 ; 16]", "tuple[int, ...]"),
            ("Set < Vec < i64 > >", "set[int]"),
            ("lineshaft :: Job < u8 >", "Job"),
            ("Thumb", "Thumb"),
            ("Vec < shop :: Order < 'a , T > >", "list[shop::Order<'a,T>]"),
            ("impl Fn (u8)", "implFn(u8)"),
            ("Vec", "Vec"),
        ] {
            assert_eq!(read(text).to_string(), expected, "{text}");
        }
    }
}
