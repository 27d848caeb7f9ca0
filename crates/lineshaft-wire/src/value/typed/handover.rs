//! Values of the model inside Rust's own types: [`Value`] itself, dates, times, arrays.
//!
//! Serde has no word for them. They announce themselves as a newtype of the name [`HANDOVER`] and leave the value, whole,
//! in a place of the thread where the format takes it: nothing of it is encoded twice, and the one codec of the model
//! writes and reads it. Other formats see a text, and [`Value`] reads what they give.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::value::{Array, Date, DateTime, Exception, Record, Time, TimeDelta, Value};

/// The name of the newtype behind which a value is handed over.
pub(super) const HANDOVER: &str = "lineshaft.value";

thread_local! {
    static HANDED: Cell<Option<Value>> = const { Cell::new(None) };
}

/// Takes what was left.
pub(super) fn take() -> Option<Value> {
    HANDED.take()
}

/// Leaves a value for whoever asked for it.
pub(super) fn leave(value: Value) {
    HANDED.set(Some(value));
}

/// Gives `value` to a format.
pub(super) fn give<S: Serializer>(value: Value, serializer: S) -> Result<S::Ok, S::Error> {
    let text = value.summary(usize::MAX);
    leave(value);
    let given = serializer.serialize_newtype_struct(HANDOVER, &text);
    // Another format has not taken it.
    take();
    given
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        give(self.clone(), serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(HANDOVER, AnyValue)
    }
}

/// Reads what this crate hands over, and what any other format has.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(take().unwrap_or(Value::None))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut dict = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            dict.push(entry);
        }
        Ok(Value::Dict(dict))
    }
}

/// The value, if `pick` finds in it what was asked for.
pub(super) fn receive<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
    pick: impl FnOnce(Value) -> Result<T, Value>,
) -> Result<T, D::Error> {
    let wrong = |value: Value| de::Error::custom(format!("expected {expected}, found {}", value.summary(60)));
    pick(Value::deserialize(deserializer)?).map_err(wrong)
}

/// A type of the model that is one kind of [`Value`].
macro_rules! handed_over {
    ($($type:ty, $expected:literal: $self:ident => $into:expr, $pattern:pat => $from:expr;)*) => {
        $(impl Serialize for $type {
            fn serialize<S: Serializer>(&$self, serializer: S) -> Result<S::Ok, S::Error> {
                give($into, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                receive(deserializer, $expected, |value| match value {
                    $pattern => Ok($from),
                    other => Err(other),
                })
            }
        })*
    };
}

handed_over! {
    Date, "a date": self => Value::Date(*self), Value::Date(date) => date;
    Time, "a time": self => Value::Time(Box::new(self.clone())), Value::Time(time) => *time;
    DateTime, "a datetime": self => Value::DateTime(Box::new(self.clone())), Value::DateTime(moment) => *moment;
    TimeDelta, "a timedelta": self => Value::TimeDelta(*self), Value::TimeDelta(delta) => delta;
    Array, "an array": self => Value::Array(Box::new(self.clone())), Value::Array(array) => *array;
    Record, "a record": self => Value::Record(Box::new(self.clone())), Value::Record(record) => *record;
    Exception, "an exception": self => Value::Exception(Box::new(self.clone())), Value::Exception(found) => *found;
}
