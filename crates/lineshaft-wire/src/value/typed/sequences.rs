//! The containers that serde is writing.

use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::Error;
use super::ser::Serializer;
use crate::value::codec::write::Encoder;
use crate::value::{Open, ext};

/// How a container was begun.
enum Kind {
    /// With its length.
    Announced(usize),
    /// Without: it is filled in.
    Counted(Open),
}

/// A list, or the body of a tuple or set.
pub(super) struct Sequence<'e, 'v> {
    encoder: &'e mut Encoder<'v>,
    kind: Kind,
    /// The extension type around it.
    around: Option<Open>,
    /// It is the content of a variant.
    in_variant: bool,
    count: usize,
}

/// A dict, or the fields of a record.
pub(super) struct Entries<'e, 'v> {
    encoder: &'e mut Encoder<'v>,
    kind: Kind,
    around: Option<Open>,
    in_variant: bool,
    count: usize,
    /// A key was written, and its value was not.
    awaits_value: bool,
}

impl<'e, 'v> Sequence<'e, 'v> {
    pub(super) fn list(encoder: &'e mut Encoder<'v>, length: Option<usize>) -> Result<Self, Error> {
        let kind = match length {
            Some(length) => {
                encoder.writer.begin_list(length)?;
                Kind::Announced(length)
            }
            None => Kind::Counted(encoder.writer.begin_counted_list()?),
        };
        Ok(Self { encoder, kind, around: None, in_variant: false, count: 0 })
    }

    /// A tuple, a set or a frozen set.
    pub(super) fn ext(encoder: &'e mut Encoder<'v>, code: i8, length: Option<usize>) -> Result<Self, Error> {
        let length = length.ok_or_else(|| Error::said(format!("a {} of unknown length", ext::name(code))))?;
        let around = Some(encoder.writer.begin_ext(code));
        match code {
            ext::SET | ext::FROZEN_SET => encoder.writer.begin_set(length)?,
            _ => encoder.writer.begin_plain_list(length)?,
        }
        Ok(Self { encoder, kind: Kind::Announced(length), around, in_variant: false, count: 0 })
    }

    pub(super) fn in_variant(self) -> Self {
        Self { in_variant: true, ..self }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if matches!(self.kind, Kind::Counted(_)) {
            self.encoder.writer.count(false)?;
        }
        let index = self.count;
        self.count += 1;
        value.serialize(Serializer::new(self.encoder)).map_err(|error| error.at_index(index))
    }

    fn finish(self) -> Result<(), Error> {
        finish(self.encoder, self.kind, self.around, self.in_variant, self.count)
    }
}

impl<'e, 'v> Entries<'e, 'v> {
    pub(super) fn dict(encoder: &'e mut Encoder<'v>, length: Option<usize>) -> Result<Self, Error> {
        let kind = match length {
            Some(length) => {
                encoder.writer.begin_dict(length)?;
                Kind::Announced(length)
            }
            None => Kind::Counted(encoder.writer.begin_counted_dict()?),
        };
        Ok(Self { encoder, kind, around: None, in_variant: false, count: 0, awaits_value: false })
    }

    pub(super) fn record(
        encoder: &'e mut Encoder<'v>,
        type_name: &str,
        length: usize,
    ) -> Result<Self, Error> {
        let around = Some(encoder.writer.begin_ext(ext::RECORD));
        encoder.writer.begin_parts(2)?;
        encoder.writer.name(type_name)?;
        encoder.writer.begin_plain_dict(length)?;
        Ok(Self {
            encoder,
            kind: Kind::Announced(length),
            around,
            in_variant: false,
            count: 0,
            awaits_value: false,
        })
    }

    pub(super) fn in_variant(self) -> Self {
        Self { in_variant: true, ..self }
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.announce()?;
        self.count += 1;
        key.serialize(Serializer::new(self.encoder)).map_err(|error| error.inside(".keys()"))
    }

    fn value<K: Serialize + ?Sized, T: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &T,
    ) -> Result<(), Error> {
        self.key(key)?;
        self.announce()?;
        value.serialize(Serializer::new(self.encoder)).map_err(|error| error.inside(key_text(key)))
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.count += 1;
        match self.around {
            Some(_) => self.encoder.writer.name(name)?,
            None => self.encoder.writer.str(name)?,
        }
        value.serialize(Serializer::new(self.encoder)).map_err(|error| error.at_field(name))
    }

    fn announce(&mut self) -> Result<(), Error> {
        if matches!(self.kind, Kind::Counted(_)) {
            self.encoder.writer.count(true)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        // A record's fields are the second part of its body.
        if self.around.is_some() {
            self.encoder.writer.end();
        }
        finish(self.encoder, self.kind, self.around, self.in_variant, self.count)
    }
}

/// A key as it stands in a path: `['name']`, `[3]`.
#[cold]
fn key_text<K: Serialize + ?Sized>(key: &K) -> String {
    super::to_value(key).map_or_else(|_| "[?]".to_owned(), |key| format!("[{}]", key.summary(60)))
}

fn finish(
    encoder: &mut Encoder<'_>,
    kind: Kind,
    around: Option<Open>,
    in_variant: bool,
    count: usize,
) -> Result<(), Error> {
    let writer = &mut encoder.writer;
    match kind {
        Kind::Announced(length) if length != count => {
            return Err(Error::custom(format!("{length} elements were announced, but {count} came")));
        }
        Kind::Announced(_) => writer.end(),
        Kind::Counted(open) => writer.end_counted(open, count),
    }
    if let Some(open) = around {
        writer.end_ext(open);
    }
    if in_variant {
        writer.end();
    }
    Ok(())
}

impl SerializeSeq for Sequence<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeTuple for Sequence<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeTupleStruct for Sequence<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeTupleVariant for Sequence<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeMap for Entries<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)?;
        self.awaits_value = true;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::take(&mut self.awaits_value) {
            return Err(Error::said("a value of a map came before its key"));
        }
        self.announce()?;
        value.serialize(Serializer::new(self.encoder)).map_err(|error| error.inside("[?]"))
    }

    fn serialize_entry<K: Serialize + ?Sized, T: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &T,
    ) -> Result<(), Error> {
        self.value(key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeStruct for Entries<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeStructVariant for Entries<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}
