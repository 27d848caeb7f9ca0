//! Shows values to people, as Python's `repr` does.
//!
//! Types known by name only appear as the last part of their name with their fields: `Order(id=3)`.

use std::fmt::{self, Display, Formatter, Write};

use super::decimal_text;
use super::model::{
    Array, Call, Date, DateTime, Dtype, EnumMember, Exception, Record, Time, TimeDelta, Value, Zone,
};

impl Value {
    /// The value as text of at most `chars_max` characters; what is longer ends in `…`. Costs no more than that,
    /// however large the value.
    pub fn summary(&self, chars_max: usize) -> String {
        bounded(self, chars_max)
    }
}

impl Call {
    /// As [`Value::summary`].
    pub fn summary(&self, chars_max: usize) -> String {
        bounded(self, chars_max)
    }
}

fn bounded(shown: &impl Display, chars_max: usize) -> String {
    let mut text = Bounded { text: String::new(), chars_left: chars_max };
    if write!(text, "{shown}").is_err() {
        text.text.pop();
        text.text.push('…');
    }
    text.text
}

struct Bounded {
    text: String,
    chars_left: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for char in part.chars() {
            self.chars_left = self.chars_left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(char);
        }
        Ok(())
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(value) => f.write_str(if *value { "True" } else { "False" }),
            Self::Int(value) => write!(f, "{value}"),
            Self::BigInt(bytes) => f.write_str(&decimal_text(bytes)),
            Self::Float(value) => float(f, *value),
            Self::Str(text) => quoted(f, text),
            Self::SurrogateText(bytes) => quoted(f, &String::from_utf8_lossy(bytes)),
            Self::Bytes(bytes) => byte_string(f, bytes),
            Self::ByteArray(bytes) => wrapped(f, "bytearray(", ")", |f| byte_string(f, bytes)),
            Self::List(values) => wrapped(f, "[", "]", |f| joined(f, values, value)),
            Self::Tuple(values) => tuple(f, values),
            Self::Dict(entries) => wrapped(f, "{", "}", |f| joined(f, entries, entry)),
            Self::Set(values) => set(f, "set", values),
            Self::FrozenSet(values) => frozen_set(f, values),
            Self::Decimal(text) => write!(f, "Decimal('{text}')"),
            Self::Uuid(uuid) => write!(f, "UUID('{uuid}')"),
            Self::Job(job) => write!(f, "Job('{job}')"),
            Self::Complex(real, imaginary) => complex(f, *real, *imaginary),
            Self::Range(bounds) => range(f, bounds),
            Self::Ellipsis => f.write_str("Ellipsis"),
            Self::Reference(number) => write!(f, "<same as value {number}>"),
            Self::DateTime(moment) => moment.fmt(f),
            Self::Date(date) => date.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::TimeDelta(delta) => delta.fmt(f),
            Self::Enum(member) => member.fmt(f),
            Self::Record(record) => record.fmt(f),
            Self::Exception(exception) => exception.fmt(f),
            Self::Array(array) => array.fmt(f),
            Self::Table(table) => {
                write!(f, "<{} in Arrow's format, {} bytes>", table.kind, table.stream.len())
            }
            Self::Pickle(bytes) => write!(f, "<pickle of {} bytes>", bytes.len()),
            Self::ArrayScalar(scalar) => array_scalar(f, &scalar.0, &scalar.1),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        joined(f, &self.positional, value)?;
        if !self.positional.is_empty() && !self.keywords.is_empty() {
            f.write_str(", ")?;
        }
        joined(f, &self.keywords, field)?;
        f.write_str(")")
    }
}

fn value(f: &mut Formatter<'_>, value: &Value) -> fmt::Result {
    value.fmt(f)
}

fn entry(f: &mut Formatter<'_>, (key, value): &(Value, Value)) -> fmt::Result {
    write!(f, "{key}: {value}")
}

fn field(f: &mut Formatter<'_>, (name, value): &(Box<str>, Value)) -> fmt::Result {
    write!(f, "{name}={value}")
}

fn wrapped(
    f: &mut Formatter<'_>,
    open: &str,
    close: &str,
    inside: impl FnOnce(&mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    f.write_str(open)?;
    inside(f)?;
    f.write_str(close)
}

fn joined<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    show: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        show(f, item)?;
    }
    Ok(())
}

fn tuple(f: &mut Formatter<'_>, values: &[Value]) -> fmt::Result {
    let close = if values.len() == 1 { ",)" } else { ")" };
    wrapped(f, "(", close, |f| joined(f, values, value))
}

fn set(f: &mut Formatter<'_>, name: &str, values: &[Value]) -> fmt::Result {
    if values.is_empty() {
        return write!(f, "{name}()");
    }
    wrapped(f, "{", "}", |f| joined(f, values, value))
}

fn frozen_set(f: &mut Formatter<'_>, values: &[Value]) -> fmt::Result {
    if values.is_empty() {
        return f.write_str("frozenset()");
    }
    wrapped(f, "frozenset(", ")", |f| set(f, "frozenset", values))
}

fn range(f: &mut Formatter<'_>, [first, end, step]: &[Value; 3]) -> fmt::Result {
    if *step == Value::Int(1) {
        return write!(f, "range({first}, {end})");
    }
    write!(f, "range({first}, {end}, {step})")
}

/// Rust picks the same digits and the same notation as Python, but writes the exponent in its own way.
fn float(f: &mut Formatter<'_>, value: f64) -> fmt::Result {
    if !value.is_finite() {
        return f.write_str(if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        });
    }
    let text = format!("{value:?}");
    match text.split_once('e') {
        None => f.write_str(&text),
        Some((digits, exponent)) => {
            let (sign, exponent) =
                exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            write!(f, "{}e{sign}{exponent:0>2}", digits.strip_suffix(".0").unwrap_or(digits))
        }
    }
}

fn complex(f: &mut Formatter<'_>, real: f64, imaginary: f64) -> fmt::Result {
    let part = |f: &mut Formatter<'_>, value: f64| {
        if value.is_finite() && value.fract() == 0.0 && value.abs() < 1e16 {
            return write!(f, "{value:.0}");
        }
        float(f, value)
    };
    if real == 0.0 && real.is_sign_positive() {
        part(f, imaginary)?;
        return f.write_str("j");
    }
    f.write_str("(")?;
    part(f, real)?;
    if imaginary.is_nan() || imaginary.is_sign_positive() {
        f.write_str("+")?;
    }
    part(f, imaginary)?;
    f.write_str("j)")
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    f.write_char(quote)?;
    for char in text.chars() {
        match char {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            char if char == quote => write!(f, "\\{char}")?,
            char if char.is_control() => write!(f, "\\x{:02x}", u32::from(char))?,
            char => f.write_char(char)?,
        }
    }
    f.write_char(quote)
}

fn byte_string(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    write!(f, "b{quote}")?;
    for byte in bytes {
        match byte {
            b'\\' => f.write_str("\\\\")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            byte if char::from(*byte) == quote => write!(f, "\\{quote}")?,
            0x20..=0x7e => f.write_char(char::from(*byte))?,
            byte => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_char(quote)
}

/// `shop.models.Order` to `Order`.
fn last_part(type_name: &str) -> &str {
    type_name.rsplit('.').next().unwrap_or(type_name)
}

impl Display for Date {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "datetime.date({}, {}, {})", self.year, self.month, self.day)
    }
}

impl Display for DateTime {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Date { year, month, day } = self.date;
        write!(f, "datetime.datetime({year}, {month}, {day}, ")?;
        time_arguments(f, &self.time)
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("datetime.time(")?;
        time_arguments(f, self)
    }
}

fn time_arguments(f: &mut Formatter<'_>, time: &Time) -> fmt::Result {
    write!(f, "{}, {}", time.hour, time.minute)?;
    if time.second != 0 || time.microsecond != 0 {
        write!(f, ", {}", time.second)?;
    }
    if time.microsecond != 0 {
        write!(f, ", {}", time.microsecond)?;
    }
    if time.fold != 0 {
        write!(f, ", fold={}", time.fold)?;
    }
    match &time.zone {
        Zone::Naive => f.write_str(")"),
        zone => write!(f, ", tzinfo={zone})"),
    }
}

impl Display for Zone {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Naive => f.write_str("None"),
            Self::Key(key) => wrapped(f, "zoneinfo.ZoneInfo(key=", ")", |f| quoted(f, key)),
            Self::Offset { microseconds: 0, name: None } => f.write_str("datetime.timezone.utc"),
            Self::Offset { microseconds, name: None } => {
                write!(f, "datetime.timezone({})", TimeDelta::from_microseconds(*microseconds))
            }
            Self::Offset { microseconds, name: Some(name) } => {
                write!(f, "datetime.timezone({}, ", TimeDelta::from_microseconds(*microseconds))?;
                quoted(f, name)?;
                f.write_str(")")
            }
        }
    }
}

impl TimeDelta {
    /// The duration of so many microseconds, at most a day in either direction.
    fn from_microseconds(microseconds: i64) -> Self {
        let in_day = microseconds.rem_euclid(86_400_000_000);
        Self {
            days: microseconds.div_euclid(86_400_000_000) as i32,
            seconds: (in_day / 1_000_000) as u32,
            microseconds: (in_day % 1_000_000) as u32,
        }
    }
}

impl Display for TimeDelta {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let parts = [
            ("days", i64::from(self.days)),
            ("seconds", self.seconds.into()),
            ("microseconds", self.microseconds.into()),
        ];
        let parts: Vec<_> = parts.into_iter().filter(|(_, amount)| *amount != 0).collect();
        if parts.is_empty() {
            return f.write_str("datetime.timedelta(0)");
        }
        wrapped(f, "datetime.timedelta(", ")", |f| {
            joined(f, &parts, |f, (name, amount)| write!(f, "{name}={amount}"))
        })
    }
}

impl Display for EnumMember {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = last_part(&self.type_name);
        match &self.member {
            Value::Str(member) => write!(f, "{name}.{member}"),
            bits => write!(f, "{name}({bits})"),
        }
    }
}

impl Display for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", last_part(&self.type_name))?;
        joined(f, &self.fields, field)?;
        f.write_str(")")
    }
}

impl Display for Exception {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", last_part(&self.type_name))?;
        joined(f, &self.arguments, value)?;
        f.write_str(")")
    }
}

impl Display for Array {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let shape = Value::Tuple(self.shape.iter().map(|length| (*length).into()).collect());
        write!(f, "array(shape={shape}, dtype={})", self.dtype)
    }
}

impl Display for Dtype {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => quoted(f, text),
            Self::Structured(fields) => fields.fmt(f),
        }
    }
}

fn array_scalar(f: &mut Formatter<'_>, dtype: &Dtype, bytes: &[u8]) -> fmt::Result {
    if let (Dtype::Simple(text), Some(number)) = (dtype, number(dtype, bytes)) {
        let kind = match text.as_bytes()[1] {
            b'b' => return write!(f, "numpy.{number}_"),
            b'i' => "int",
            b'u' => "uint",
            _ => "float",
        };
        return write!(f, "numpy.{kind}{}({number})", bytes.len() * 8);
    }
    write!(f, "numpy.scalar({dtype}, ")?;
    byte_string(f, bytes)?;
    f.write_str(")")
}

/// The number in an array scalar of a common type, as a value.
fn number(dtype: &Dtype, bytes: &[u8]) -> Option<Value> {
    let Dtype::Simple(text) = dtype else { return None };
    Some(match (&**text, bytes) {
        ("|b1", [byte]) => Value::Bool(*byte != 0),
        ("<f8", _) => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        ("<f4", _) => Value::Float(shortest(f32::from_le_bytes(bytes.try_into().ok()?))),
        ("|i1", [byte]) => i64::from(*byte as i8).into(),
        ("|u1", [byte]) => u64::from(*byte).into(),
        ("<i2", _) => i16::from_le_bytes(bytes.try_into().ok()?).into(),
        ("<u2", _) => u16::from_le_bytes(bytes.try_into().ok()?).into(),
        ("<i4", _) => i32::from_le_bytes(bytes.try_into().ok()?).into(),
        ("<u4", _) => u32::from_le_bytes(bytes.try_into().ok()?).into(),
        ("<i8", _) => i64::from_le_bytes(bytes.try_into().ok()?).into(),
        ("<u8", _) => u64::from_le_bytes(bytes.try_into().ok()?).into(),
        _ => return None,
    })
}

/// The double that is shown with the digits of the single.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}
