//! A whole value in memory.

use super::ValueError;
use crate::id::JobId;

/// Any value, owned. Types that are known by name only are [`Self::Record`], [`Self::Enum`] and
/// [`Self::Exception`], so everything can be shown and passed on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// None, null, nil.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 128 bits.
    Int(i128),
    /// A larger integer: two's complement, most significant byte first, as few bytes as hold it.
    BigInt(Box<[u8]>),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Str(Box<str>),
    /// Text with surrogates that UTF-8 has no place for: generalized UTF-8.
    SurrogateText(Box<[u8]>),
    /// A byte string.
    Bytes(Box<[u8]>),
    /// A changeable byte string.
    ByteArray(Box<[u8]>),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dict, entries in the order they were written; keys may be anything.
    Dict(Vec<(Value, Value)>),
    /// A set, elements in the order they were written.
    Set(Vec<Value>),
    /// A frozen set, elements in the order they were written.
    FrozenSet(Vec<Value>),
    /// A date with a time of day.
    DateTime(Box<DateTime>),
    /// A date.
    Date(Date),
    /// A time of day.
    Time(Box<Time>),
    /// A duration.
    TimeDelta(TimeDelta),
    /// A decimal number, as text.
    Decimal(Box<str>),
    /// A UUID.
    Uuid(uuid::Uuid),
    /// A job, known by its id.
    Job(JobId),
    /// A complex number, real and imaginary part.
    Complex(f64, f64),
    /// A range of integers: start, stop, step.
    Range(Box<[Value; 3]>),
    /// Python's `...`.
    Ellipsis,
    /// A member of an enumeration.
    Enum(Box<EnumMember>),
    /// Named fields under a type's name: a dataclass, a named tuple, a struct.
    Record(Box<Record>),
    /// An exception as data.
    Exception(Box<Exception>),
    /// An n-dimensional array.
    Array(Box<Array>),
    /// One element outside an array.
    ArrayScalar(Box<(Dtype, Box<[u8]>)>),
    /// A table or a part of one, in Arrow's format.
    Table(Box<Table>),
    /// A pickled object.
    Pickle(Box<[u8]>),
    /// The same object as the numbered value that began as the so-many-th, counted from 0.
    Reference(u32),
}

/// A date of the proleptic Gregorian calendar, years 1 to 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Date {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A time of day, with or without a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999,999.
    pub microsecond: u32,
    /// 1 in the second of two equal hours when clocks are set back, else 0.
    pub fold: u8,
    /// Where it is that time.
    pub zone: Zone,
}

/// A date with a time of day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// The time of day, with the zone.
    pub time: Time,
}

/// Where a time holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Not said.
    #[default]
    Naive,
    /// A fixed distance from UTC.
    Offset {
        /// Microseconds east of UTC, less than a day.
        microseconds: i64,
        /// The name it was given, if one was.
        name: Option<Box<str>>,
    },
    /// A key of the time zone database, such as `Europe/Berlin`.
    Key(Box<str>),
}

/// A duration, normalized as Python does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TimeDelta {
    /// -999,999,999 to 999,999,999.
    pub days: i32,
    /// 0 to 86,399.
    pub seconds: u32,
    /// 0 to 999,999.
    pub microseconds: u32,
}

/// A member of an enumeration.
#[derive(Clone, Debug, PartialEq)]
pub struct EnumMember {
    /// Canonical name of the enumeration (`shop.Color`).
    pub type_name: Box<str>,
    /// The member's name, a [`Value::Str`]; of flags the bits, an integer.
    pub member: Value,
}

/// Named fields under a type's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Canonical name of the type (`shop.Order`).
    pub type_name: Box<str>,
    /// The fields in the order of their declaration.
    pub fields: Vec<(Box<str>, Value)>,
    /// What an instance keeps beside its fields (validation state of pydantic models); empty for all others.
    pub state: Vec<(Box<str>, Value)>,
}

/// An exception as data.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    /// Canonical name of the class (`builtins.ValueError`).
    pub type_name: Box<str>,
    /// What it was raised with.
    pub arguments: Vec<Value>,
    /// Attributes set on it, notes among them.
    pub attributes: Vec<(Box<str>, Value)>,
}

/// An n-dimensional array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The type of its elements.
    pub dtype: Dtype,
    /// The length of each dimension; empty for a single element.
    pub shape: Vec<u64>,
    /// Whether the first dimension varies fastest (Fortran's order) instead of the last (C's).
    pub is_fortran: bool,
    /// The elements.
    pub data: bytes::Bytes,
}

/// A table or a part of one, in Arrow's format.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// `table`, `batch`, `array`, `chunks` or `schema`.
    pub kind: Box<str>,
    /// A stream of Arrow's format, uncompressed.
    pub stream: bytes::Bytes,
}

/// The type of an array's elements, as numpy writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Dtype {
    /// `<f8`, `|b1`, `<U5`, `<M8[ns]`.
    Simple(Box<str>),
    /// A list of fields, each a tuple of name, type and perhaps a shape.
    Structured(Value),
}

/// A call on the wire. The callee binds the arguments and applies its own defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// Positional arguments.
    pub positional: Vec<Value>,
    /// Keyword arguments.
    pub keywords: Vec<(Box<str>, Value)>,
}

macro_rules! from_integers {
    ($($integer:ty),*) => {
        $(impl From<$integer> for Value {
            fn from(value: $integer) -> Self {
                Self::Int(value.into())
            }
        })*
    };
}

from_integers!(i8, i16, i32, i64, i128, u8, u16, u32, u64);

impl From<JobId> for Value {
    fn from(job: JobId) -> Self {
        Self::Job(job)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(value.into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl Array {
    /// Bytes that `shape` elements of `element_bytes` take; `None` beyond 64 bits.
    pub fn size_bytes(shape: &[u64], element_bytes: u64) -> Option<u64> {
        if shape.contains(&0) {
            return Some(0);
        }
        shape.iter().try_fold(element_bytes, |size, length| size.checked_mul(*length))
    }
}

impl Dtype {
    /// Bytes of one element; `None` for a list of fields and for what numpy does not write.
    pub fn item_bytes(&self) -> Option<u64> {
        let Self::Simple(text) = self else { return None };
        let kind = text.chars().nth(1)?;
        let digits = text.get(2..)?.split('[').next()?;
        let count: u64 = digits.parse().ok()?;
        count.checked_mul(if kind == 'U' { 4 } else { 1 })
    }
}

impl Date {
    /// The date, if there is such a day.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(is_leap),
            1..=12 => 31,
            _ => return None,
        };
        ((1..=9999).contains(&year) && (1..=days).contains(&day)).then_some(Self { year, month, day })
    }
}

impl Time {
    /// Whether every part is within its range.
    pub(super) fn check(&self, offset: usize) -> Result<(), ValueError> {
        let in_range = self.hour < 24
            && self.minute < 60
            && self.second < 60
            && self.microsecond < 1_000_000
            && self.fold < 2
            && self.zone.is_valid();
        let reason = "a number out of range";
        if in_range { Ok(()) } else { Err(ValueError::Invalid { offset, what: "time", reason }) }
    }
}

impl Zone {
    fn is_valid(&self) -> bool {
        match self {
            Self::Offset { microseconds, .. } => microseconds.unsigned_abs() < 86_400_000_000,
            Self::Naive | Self::Key(_) => true,
        }
    }
}

impl TryFrom<TimeDelta> for std::time::Duration {
    type Error = &'static str;

    fn try_from(delta: TimeDelta) -> Result<Self, Self::Error> {
        let days = u64::try_from(delta.days).map_err(|_| "a negative timedelta is no duration")?;
        Ok(Self::new(days * 86_400 + u64::from(delta.seconds), delta.microseconds * 1_000))
    }
}

impl TryFrom<std::time::Duration> for TimeDelta {
    type Error = &'static str;

    /// Nanoseconds are cut off.
    fn try_from(duration: std::time::Duration) -> Result<Self, Self::Error> {
        let days = i32::try_from(duration.as_secs() / 86_400).ok().filter(|days| *days < 1_000_000_000);
        let days = days.ok_or("a duration of a billion days or more is no timedelta")?;
        let seconds = (duration.as_secs() % 86_400) as u32;
        Ok(Self { days, seconds, microseconds: duration.subsec_micros() })
    }
}
