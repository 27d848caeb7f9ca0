//! From Rust types to bytes.

use serde::Serialize;

use super::Error;
use super::handover;
use super::record::Names;
use super::sequences::{Entries, Sequence};
use super::wrappers::{BYTE_ARRAY, FROZEN_SET, SET};
use crate::value::codec::write::Encoder;
use crate::value::ext;

/// Writes one value.
pub(super) struct Serializer<'e, 'v> {
    encoder: &'e mut Encoder<'v>,
    /// What a sequence or a byte string is written as, if not as itself.
    kind: Option<i8>,
}

impl<'e, 'v> Serializer<'e, 'v> {
    pub(super) fn new(encoder: &'e mut Encoder<'v>) -> Self {
        Self { encoder, kind: None }
    }

    /// The dict of one entry around the content of a variant.
    fn begin_variant(self, variant: &str) -> Result<Self, Error> {
        self.encoder.writer.begin_dict(1)?;
        self.encoder.writer.str(variant)?;
        Ok(self)
    }
}

impl<'e, 'v> serde::Serializer for Serializer<'e, 'v> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Sequence<'e, 'v>;
    type SerializeTuple = Sequence<'e, 'v>;
    type SerializeTupleStruct = Sequence<'e, 'v>;
    type SerializeTupleVariant = Sequence<'e, 'v>;
    type SerializeMap = Entries<'e, 'v>;
    type SerializeStruct = Entries<'e, 'v>;
    type SerializeStructVariant = Entries<'e, 'v>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.encoder.writer.bool(value);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.encoder.writer.int(value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        Ok(self.encoder.writer.big_int(&value.to_be_bytes())?)
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.encoder.writer.uint(value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        let mut bytes = [0; 17];
        bytes[1..].copy_from_slice(&value.to_be_bytes());
        Ok(self.encoder.writer.big_int(&bytes)?)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.encoder.writer.float(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        Ok(self.encoder.writer.str(value)?)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        match self.kind {
            Some(ext::BYTE_ARRAY) => Ok(self.encoder.writer.raw_ext(ext::BYTE_ARRAY, value)?),
            _ => Ok(self.encoder.writer.bytes(value)?),
        }
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.encoder.writer.none();
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_none()
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        let Some(names) = Names::of_enum(name) else { return self.serialize_str(variant) };
        let writer = &mut self.encoder.writer;
        let open = writer.begin_ext(ext::ENUM);
        writer.begin_parts(2)?;
        writer.name(names.current())?;
        writer.str(variant)?;
        writer.end();
        writer.end_ext(open);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let kind = match name {
            handover::HANDOVER => {
                let value = handover::take().ok_or_else(|| Error::said("no value was handed over"))?;
                return Ok(self.encoder.value(&value)?);
            }
            SET => Some(ext::SET),
            FROZEN_SET => Some(ext::FROZEN_SET),
            BYTE_ARRAY => Some(ext::BYTE_ARRAY),
            _ => self.kind,
        };
        value.serialize(Self { kind, ..self })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let to = self.begin_variant(variant)?;
        value.serialize(Serializer::new(to.encoder)).map_err(|error| error.at_field(variant))?;
        to.encoder.writer.end();
        Ok(())
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, Error> {
        match self.kind {
            Some(code @ (ext::SET | ext::FROZEN_SET)) => Sequence::ext(self.encoder, code, length),
            _ => Sequence::list(self.encoder, length),
        }
    }

    fn serialize_tuple(self, length: usize) -> Result<Self::SerializeTuple, Error> {
        Sequence::ext(self.encoder, ext::TUPLE, Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleStruct, Error> {
        self.serialize_tuple(length)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Ok(self.begin_variant(variant)?.serialize_tuple(length)?.in_variant())
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, Error> {
        Entries::dict(self.encoder, length)
    }

    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Self::SerializeStruct, Error> {
        match Names::of_record(name) {
            Some(names) => Entries::record(self.encoder, names.current(), length),
            None => Entries::dict(self.encoder, Some(length)),
        }
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Ok(Entries::dict(self.begin_variant(variant)?.encoder, Some(length))?.in_variant())
    }
}
