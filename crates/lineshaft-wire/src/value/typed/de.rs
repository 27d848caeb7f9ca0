//! From bytes to Rust types.

use std::fmt::Display;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::record::Names;
use super::times::{DateText, DateTimeText, TimeText};
use super::{Error, handover};
use crate::payload::Payload;
use crate::value::codec::read;
use crate::value::{Reader, TimeDelta, Token, Value, ext, integer};

/// Where values are read from.
pub(super) struct Source<'de> {
    pub(super) reader: Reader<'de>,
    pub(super) payload: &'de Payload<'de>,
}

/// Reads the next value.
pub(super) struct Deserializer<'s, 'de> {
    source: &'s mut Source<'de>,
}

impl<'de> Source<'de> {
    pub(super) fn value(&mut self) -> Deserializer<'_, 'de> {
        Deserializer { source: self }
    }

    /// The next value as a tree.
    fn tree(&mut self) -> Result<Value, Error> {
        Ok(read::value(&mut self.reader, self.payload)?)
    }

    fn ext_tree(&mut self, code: i8, length: usize) -> Result<Value, Error> {
        Ok(read::extension(code, length, &mut self.reader, self.payload)?)
    }
}

/// What a token holds, given to a visitor.
impl<'de> Source<'de> {
    fn visit<V: Visitor<'de>>(&mut self, token: Token<'de>, visitor: V) -> Result<V::Value, Error> {
        match token {
            Token::None => visitor.visit_unit(),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Int(value) => visitor.visit_i64(value),
            Token::Uint(value) => visitor.visit_u64(value),
            Token::Float(value) => visitor.visit_f64(value),
            Token::Str(text) => visitor.visit_borrowed_str(text),
            Token::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::List(length) => self.list(length, visitor),
            Token::Dict(length) => self.dict(length, visitor),
            Token::Ext(code, length) => self.visit_ext(code, length, visitor),
        }
    }

    fn visit_ext<V: Visitor<'de>>(&mut self, code: i8, length: usize, visitor: V) -> Result<V::Value, Error> {
        match code {
            ext::TUPLE => self.within(length, |source| {
                let length = source.reader.plain_list()?;
                source.list(length, visitor)
            }),
            ext::SET | ext::FROZEN_SET => self.within(length, |source| {
                let length = source.reader.set()?;
                source.list(length, visitor)
            }),
            ext::RECORD => self.record(length, None, visitor),
            ext::BYTE_ARRAY | ext::UUID => visitor.visit_borrowed_bytes(self.reader.raw_ext(code, length)?),
            ext::INTEGER => integer_to(self.reader.raw_ext(code, length)?, visitor),
            _ => match self.ext_tree(code, length)? {
                Value::Decimal(text) => visitor.visit_string(text.into()),
                Value::Job(job) => visitor.visit_string(job.to_string()),
                Value::DateTime(moment) => visitor.visit_string(DateTimeText(&moment).to_string()),
                Value::Date(date) => visitor.visit_string(DateText(date).to_string()),
                Value::Time(time) => visitor.visit_string(TimeText(&time).to_string()),
                Value::Enum(member) => match member.member {
                    Value::Str(name) => visitor.visit_string(name.into()),
                    Value::Int(bits) => bits_to(bits, visitor),
                    _ => Err(wrong(&format!("{} of many bits", member.type_name), &visitor)),
                },
                other => Err(wrong(&other.summary(60), &visitor)),
            },
        }
    }

    /// The elements of a list whose token was taken.
    fn list<V: Visitor<'de>>(&mut self, length: usize, visitor: V) -> Result<V::Value, Error> {
        let mut elements = Elements { source: self, left: length, index: 0 };
        let value = visitor.visit_seq(&mut elements)?;
        if elements.left > 0 {
            return Err(Error::invalid_length(length, &"fewer elements"));
        }
        self.reader.end();
        Ok(value)
    }

    /// The entries of a dict whose token was taken.
    fn dict<V: Visitor<'de>>(&mut self, length: usize, visitor: V) -> Result<V::Value, Error> {
        let mut entries = Entries { source: self, left: length, key: None, are_fields: false };
        let value = visitor.visit_map(&mut entries)?;
        if entries.left > 0 {
            return Err(Error::invalid_length(length, &"fewer entries"));
        }
        self.reader.end();
        Ok(value)
    }

    /// The fields of a record whose token was taken; of one of `names` only, if some are given.
    fn record<V: Visitor<'de>>(
        &mut self,
        length: usize,
        names: Option<Names>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.within(length, |source| {
            // A model may keep something beside its fields, which is nothing to a struct.
            let has_state = match source.reader.parts()? {
                2 => false,
                3 => true,
                _ => return Err(Error::said("a record has two parts or three")),
            };
            let name = source.reader.str()?;
            if let Some(names) = names.filter(|names| !names.has(name)) {
                return Err(Error::other_type(names.current(), name));
            }
            let length = source.reader.plain_dict()?;
            let mut fields = Entries { source, left: length, key: None, are_fields: true };
            let value = visitor.visit_map(&mut fields);
            let value = if names.is_some() { value.map_err(|error| error.of_type(name))? } else { value? };
            if fields.left > 0 {
                return Err(Error::invalid_length(length, &"fewer fields"));
            }
            source.reader.end();
            if has_state {
                source.reader.skip_part()?;
            }
            source.reader.end();
            Ok(value)
        })
    }

    /// Reads the body of an extension type.
    fn within<T>(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let enclosing = self.reader.open(length)?;
        let value = read(self)?;
        self.reader.close(enclosing)?;
        Ok(value)
    }
}

impl<'de> serde::Deserializer<'de> for Deserializer<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let token = self.source.reader.next_token()?;
        self.source.visit(token, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.source.reader.is_none_next() {
            self.source.reader.next_token()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    /// Bytes are a sequence of numbers too.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.source.reader.next_token()? {
            Token::Bytes(bytes) => visitor.visit_seq(numbers(bytes)),
            Token::Ext(code @ ext::BYTE_ARRAY, length) => {
                visitor.visit_seq(numbers(self.source.reader.raw_ext(code, length)?))
            }
            token => self.source.visit(token, visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.source.reader.next_token()? {
            Token::Ext(ext::RECORD, length) => self.source.record(length, Names::of_record(name), visitor),
            Token::Ext(ext::TIME_DELTA, length) if name == "Duration" => {
                let Value::TimeDelta(delta) = self.source.ext_tree(ext::TIME_DELTA, length)? else {
                    return Err(wrong(&"another value", &visitor));
                };
                visitor.visit_seq(duration_parts(delta)?)
            }
            token @ (Token::Dict(_) | Token::Ext(..)) => self.source.visit(token, visitor),
            token => Err(wrong(&token.name(), &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.source.reader.next_token()? {
            Token::Str(variant) => visitor.visit_enum(text(variant)),
            Token::Dict(1) => {
                let value = visitor.visit_enum(Variant { source: self.source })?;
                self.source.reader.end();
                Ok(value)
            }
            Token::Ext(ext::ENUM, length) => {
                let Value::Enum(member) = self.source.ext_tree(ext::ENUM, length)? else {
                    return Err(wrong(&"another value", &visitor));
                };
                if let Some(names) = Names::of_enum(name).filter(|names| !names.has(&member.type_name)) {
                    return Err(Error::other_type(names.current(), &member.type_name));
                }
                match &member.member {
                    Value::Str(variant) => {
                        visitor.visit_enum(text(variant)).map_err(|error| error.of_type(&member.type_name))
                    }
                    bits => Err(wrong(&format!("{}({bits})", member.type_name), &visitor)),
                }
            }
            token => Err(wrong(&token.name(), &visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == handover::HANDOVER {
            handover::leave(self.source.tree()?);
            return visitor.visit_unit();
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.source.reader.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map identifier
    }
}

/// The elements of a list.
struct Elements<'s, 'de> {
    source: &'s mut Source<'de>,
    left: usize,
    index: usize,
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let index = self.index;
        self.index += 1;
        seed.deserialize(self.source.value()).map(Some).map_err(|error| error.at_index(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The entries of a dict, or the fields of a record.
struct Entries<'s, 'de> {
    source: &'s mut Source<'de>,
    left: usize,
    /// Where the key of the next value stands, for errors.
    key: Option<Reader<'de>>,
    are_fields: bool,
}

impl Entries<'_, '_> {
    /// The last key as it stands in a path.
    #[cold]
    fn step(&mut self) -> String {
        let Some(mut reader) = self.key.take() else { return String::new() };
        match read::value(&mut reader, self.source.payload) {
            Ok(Value::Str(name)) if self.are_fields => format!(".{name}"),
            Ok(key) => format!("[{}]", key.summary(60)),
            Err(_) => "[?]".to_owned(),
        }
    }
}

impl<'de> MapAccess<'de> for &mut Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.key = Some(self.source.reader.clone());
        if self.are_fields {
            let name = self.source.reader.str()?;
            return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some);
        }
        seed.deserialize(self.source.value()).map(Some).map_err(|error| error.inside(".keys()"))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.source.value()).map_err(|error| error.inside(self.step()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A variant with content: a dict of one entry, whose token was taken.
struct Variant<'s, 'de> {
    source: &'s mut Source<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = seed.deserialize(self.source.value())?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        serde::Deserialize::deserialize(self.source.value())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.source.value())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Error> {
        serde::Deserializer::deserialize_any(self.source.value(), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        serde::Deserializer::deserialize_struct(self.source.value(), "", fields, visitor)
    }
}

/// The bits of a flag; a type of 64 bits takes no number of 128.
fn bits_to<'de, V: Visitor<'de>>(bits: i128, visitor: V) -> Result<V::Value, Error> {
    match (i64::try_from(bits), u64::try_from(bits)) {
        (Ok(bits), _) => visitor.visit_i64(bits),
        (_, Ok(bits)) => visitor.visit_u64(bits),
        _ => visitor.visit_i128(bits),
    }
}

fn integer_to<'de, V: Visitor<'de>>(bytes: &[u8], visitor: V) -> Result<V::Value, Error> {
    let minimal = integer::minimal(bytes);
    if let Some(value) = integer::to_i128(minimal) {
        return visitor.visit_i128(value);
    }
    match minimal {
        // A sign byte and 128 bits.
        [0, rest @ ..] if rest.len() == 16 => {
            visitor.visit_u128(rest.iter().fold(0, |value, byte| (value << 8) | u128::from(*byte)))
        }
        _ => Err(wrong(&format!("the integer {}", integer::decimal_text(minimal)), &visitor)),
    }
}

fn numbers(bytes: &[u8]) -> impl SeqAccess<'_, Error = Error> {
    serde::de::value::SeqDeserializer::new(bytes.iter().copied())
}

fn text(variant: &str) -> StrDeserializer<'_, Error> {
    variant.into_deserializer()
}

/// Seconds and nanoseconds, as serde reads a `Duration`.
fn duration_parts<'de>(delta: TimeDelta) -> Result<impl SeqAccess<'de, Error = Error>, Error> {
    let duration = std::time::Duration::try_from(delta).map_err(Error::said)?;
    let parts = [duration.as_secs(), duration.subsec_nanos().into()];
    Ok(serde::de::value::SeqDeserializer::new(parts.into_iter()))
}

fn wrong<'de>(found: &dyn Display, expected: &impl Visitor<'de>) -> Error {
    Error::invalid_type(Unexpected::Other(&found.to_string()), expected)
}
