//! Types for the kinds of values that the standard library of Rust has no type for, or not one that serde tells apart.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::handover::{give, receive};
use crate::value::Value;

/// The names of the newtypes that choose another kind of sequence or byte string.
pub(super) const SET: &str = "lineshaft.set";
pub(super) const FROZEN_SET: &str = "lineshaft.frozenset";
pub(super) const BYTE_ARRAY: &str = "lineshaft.bytearray";

/// Reads and writes as its inner type, under a name by which the format tells it apart.
macro_rules! named {
    ($(#[$docs:meta])* $type:ident<$inner:ident>, $name:expr) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type<$inner>(pub $inner);

        impl<$inner: Serialize> Serialize for $type<$inner> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_newtype_struct($name, &self.0)
            }
        }

        impl<'de, $inner: Deserialize<'de>> Deserialize<'de> for $type<$inner> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $inner::deserialize(deserializer).map(Self)
            }
        }

        impl<$inner> Deref for $type<$inner> {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl<$inner> DerefMut for $type<$inner> {
            fn deref_mut(&mut self) -> &mut $inner {
                &mut self.0
            }
        }

        impl<$inner> From<$inner> for $type<$inner> {
            fn from(inner: $inner) -> Self {
                Self(inner)
            }
        }
    };
}

named! {
    /// A Python `set`: `Set(HashSet<T>)`, `Set(BTreeSet<T>)`. A bare `HashSet` is written as a list; either is read.
    Set<C>, SET
}
named! {
    /// A Python `frozenset`, otherwise as [`Set`].
    FrozenSet<C>, FROZEN_SET
}
named! {
    /// A Python `bytearray`, around something that serde writes as bytes: `ByteArray(Bytes)`.
    ByteArray<B>, BYTE_ARRAY
}

/// A Python `uuid.UUID`. A bare `uuid::Uuid` is written as text; either is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub uuid::Uuid);

/// A Python `decimal.Decimal`, as its text: `1.20`, `-0E+3`, `NaN`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decimal(pub String);

/// A Python `complex`: real and imaginary part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Complex(pub f64, pub f64);

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        give(Value::Uuid(self.0), serializer)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        receive(deserializer, "a uuid", |value| match value {
            Value::Uuid(uuid) => Ok(Self(uuid)),
            Value::Str(text) => uuid::Uuid::try_parse(&text).map(Self).map_err(|_| Value::Str(text)),
            other => Err(other),
        })
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        give(Value::Decimal(self.0.as_str().into()), serializer)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        receive(deserializer, "a decimal", |value| match value {
            Value::Decimal(text) => Ok(Self(text.into())),
            other => Err(other),
        })
    }
}

impl Serialize for Complex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        give(Value::Complex(self.0, self.1), serializer)
    }
}

impl<'de> Deserialize<'de> for Complex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        receive(deserializer, "a complex number", |value| match value {
            Value::Complex(real, imaginary) => Ok(Self(real, imaginary)),
            Value::Float(real) => Ok(Self(real, 0.0)),
            other => Err(other),
        })
    }
}
