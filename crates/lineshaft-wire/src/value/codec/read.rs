//! From bytes to [`Value`].

use super::{Reader, Token, Value, ValueError};
use crate::id::JobId;
use crate::payload::Payload;
use crate::value::ext;
use crate::value::model::{
    Array, Date, DateTime, Dtype, EnumMember, Exception, Record, Table, Time, TimeDelta, Zone,
};

type Read<T> = Result<T, ValueError>;

/// The next value.
pub(in crate::value) fn value(reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<Value> {
    Ok(match reader.next_token()? {
        Token::None => Value::None,
        Token::Bool(value) => Value::Bool(value),
        Token::Int(value) => Value::Int(value.into()),
        Token::Uint(value) => Value::Int(value.into()),
        Token::Float(value) => Value::Float(value),
        Token::Str(text) => Value::Str(text.into()),
        Token::Bytes(bytes) => Value::Bytes(bytes.into()),
        Token::List(length) => Value::List(elements(reader, payload, length)?),
        Token::Dict(length) => Value::Dict(entries(reader, payload, length)?),
        Token::Ext(code, length) => extension(code, length, reader, payload)?,
    })
}

/// The value of an extension type whose token was taken.
pub(in crate::value) fn extension(
    code: i8,
    length: usize,
    reader: &mut Reader<'_>,
    payload: &Payload<'_>,
) -> Read<Value> {
    match code {
        ext::REFERENCE => reference(length, reader, payload),
        _ if is_raw(code) => raw(code, reader, length),
        _ => {
            let enclosing = reader.open(length)?;
            let value = structure(code, reader, payload)?;
            reader.close(enclosing)?;
            Ok(value)
        }
    }
}

/// Only where the envelope announces some: who finds none there does not look for them.
fn reference(length: usize, reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<Value> {
    let offset = reader.offset();
    let number = reader.reference(length)?;
    if !payload.has_references() {
        let reason = "the payload says that it has none";
        return Err(ValueError::Invalid { offset, what: "reference", reason });
    }
    Ok(Value::Reference(number))
}

pub(in crate::value) const fn is_raw(code: i8) -> bool {
    use ext::{BYTE_ARRAY, DECIMAL, ELLIPSIS, INTEGER, JOB, PICKLE, SURROGATE_TEXT, UUID};
    matches!(code, BYTE_ARRAY | DECIMAL | ELLIPSIS | INTEGER | JOB | PICKLE | SURROGATE_TEXT | UUID)
}

fn raw(code: i8, reader: &mut Reader<'_>, length: usize) -> Read<Value> {
    let offset = reader.offset();
    let bytes = reader.raw_ext(code, length)?;
    let invalid = |reason| ValueError::Invalid { offset, what: ext::name(code), reason };
    match code {
        ext::BYTE_ARRAY => Ok(Value::ByteArray(bytes.into())),
        ext::SURROGATE_TEXT => Ok(Value::SurrogateText(bytes.into())),
        ext::PICKLE => Ok(Value::Pickle(bytes.into())),
        ext::INTEGER => Ok(integer(bytes)),
        ext::DECIMAL => {
            let text = std::str::from_utf8(bytes).map_err(|_| invalid("it is not text"))?;
            Ok(Value::Decimal(text.into()))
        }
        ext::UUID => {
            let uuid = uuid::Uuid::from_slice(bytes).map_err(|_| invalid("it is not 16 bytes"))?;
            Ok(Value::Uuid(uuid))
        }
        ext::JOB => {
            let job = bytes.try_into().ok().and_then(JobId::from_bytes);
            job.map(Value::Job).ok_or_else(|| invalid("it is not the id of a job"))
        }
        _ if bytes.is_empty() => Ok(Value::Ellipsis),
        _ => Err(invalid("it is not empty")),
    }
}

fn integer(bytes: &[u8]) -> Value {
    let bytes = crate::value::minimal(bytes);
    crate::value::integer::to_i128(bytes).map_or_else(|| Value::BigInt(bytes.into()), Value::Int)
}

fn structure(code: i8, reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<Value> {
    let offset = reader.offset();
    let (sequence, length): (fn(Vec<Value>) -> Value, _) = match code {
        ext::TUPLE => (Value::Tuple, reader.plain_list()?),
        ext::SET => (Value::Set, reader.set()?),
        ext::FROZEN_SET => (Value::FrozenSet, reader.set()?),
        _ => {
            let length = reader.parts()?;
            let value = shape(code, offset, reader, payload, length)?;
            reader.end();
            return Ok(value);
        }
    };
    elements(reader, payload, length).map(sequence)
}

/// Extension types whose body is a list of a fixed length. The caller ends that list.
fn shape(
    code: i8,
    offset: usize,
    reader: &mut Reader<'_>,
    payload: &Payload<'_>,
    length: usize,
) -> Read<Value> {
    Ok(match (code, length) {
        (ext::DATE_TIME, 9) => {
            Value::DateTime(Box::new(DateTime { date: date(reader)?, time: time(reader)? }))
        }
        (ext::DATE, 3) => Value::Date(date(reader)?),
        (ext::TIME, 6) => Value::Time(Box::new(time(reader)?)),
        (ext::TIME_DELTA, 3) => Value::TimeDelta(time_delta(reader)?),
        (ext::COMPLEX, 2) => Value::Complex(reader.float()?, reader.float()?),
        (ext::RANGE, 3) => Value::Range(Box::new(range(reader, payload)?)),
        (ext::ENUM, 2) => Value::Enum(Box::new(enum_member(reader, payload)?)),
        (ext::RECORD, 2 | 3) => Value::Record(Box::new(record(reader, payload, length == 3)?)),
        (ext::EXCEPTION, 3) => Value::Exception(Box::new(exception(reader, payload)?)),
        (ext::ARRAY, 4) => Value::Array(Box::new(array(reader, payload)?)),
        (ext::ARRAY_SCALAR, 2) => {
            Value::ArrayScalar(Box::new((dtype(reader, payload)?, reader.bytes()?.into())))
        }
        (ext::TABLE, 2) => Value::Table(Box::new(table(reader, payload)?)),
        _ if ext::has_parts(code) => {
            let reason = "it has the wrong number of parts";
            return Err(ValueError::Invalid { offset, what: ext::name(code), reason });
        }
        _ => return Err(ValueError::UnknownExtension { offset, code }),
    })
}

fn elements(reader: &mut Reader<'_>, payload: &Payload<'_>, length: usize) -> Read<Vec<Value>> {
    let mut values = Vec::with_capacity(length);
    for _ in 0..length {
        values.push(value(reader, payload)?);
    }
    reader.end();
    Ok(values)
}

fn entries(reader: &mut Reader<'_>, payload: &Payload<'_>, length: usize) -> Read<Vec<(Value, Value)>> {
    let mut entries = Vec::with_capacity(length);
    for _ in 0..length {
        entries.push((value(reader, payload)?, value(reader, payload)?));
    }
    reader.end();
    Ok(entries)
}

fn fields(reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<Vec<(Box<str>, Value)>> {
    let length = reader.plain_dict()?;
    let mut fields = Vec::with_capacity(length);
    for _ in 0..length {
        fields.push((reader.str()?.into(), value(reader, payload)?));
    }
    reader.end();
    Ok(fields)
}

fn date(reader: &mut Reader<'_>) -> Read<Date> {
    let offset = reader.offset();
    let (year, month, day) = (reader.small("date")?, reader.small("date")?, reader.small("date")?);
    let invalid = ValueError::Invalid { offset, what: "date", reason: "there is no such day" };
    Date::new(year, month, day).ok_or(invalid)
}

fn time(reader: &mut Reader<'_>) -> Read<Time> {
    let offset = reader.offset();
    let time = Time {
        hour: reader.small("time")?,
        minute: reader.small("time")?,
        second: reader.small("time")?,
        microsecond: reader.small("time")?,
        fold: reader.small("time")?,
        zone: zone(reader)?,
    };
    time.check(offset)?;
    Ok(time)
}

fn zone(reader: &mut Reader<'_>) -> Read<Zone> {
    let offset = reader.offset();
    Ok(match reader.plain_token()? {
        Token::None => Zone::Naive,
        Token::Int(microseconds) => Zone::Offset { microseconds, name: None },
        Token::Str(key) => Zone::Key(key.into()),
        Token::List(2) => {
            let zone = Zone::Offset { microseconds: reader.int()?, name: Some(reader.str()?.into()) };
            reader.end();
            zone
        }
        token => return Err(ValueError::Unexpected { offset, expected: "a zone", found: token.name() }),
    })
}

fn time_delta(reader: &mut Reader<'_>) -> Read<TimeDelta> {
    let offset = reader.offset();
    let what = "timedelta";
    let delta = TimeDelta {
        days: reader.small(what)?,
        seconds: reader.small(what)?,
        microseconds: reader.small(what)?,
    };
    let in_range =
        delta.days.unsigned_abs() < 1_000_000_000 && delta.seconds < 86_400 && delta.microseconds < 1_000_000;
    if !in_range {
        return Err(ValueError::Invalid { offset, what, reason: "a number out of range" });
    }
    Ok(delta)
}

fn range(reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<[Value; 3]> {
    let offset = reader.offset();
    let bounds = [value(reader, payload)?, value(reader, payload)?, value(reader, payload)?];
    let is_integer = |bound: &Value| matches!(bound, Value::Int(_) | Value::BigInt(_));
    if !bounds.iter().all(is_integer) || bounds[2] == Value::Int(0) {
        return Err(ValueError::Invalid {
            offset,
            what: "range",
            reason: "a bound is not an integer or the step is 0",
        });
    }
    Ok(bounds)
}

fn enum_member(reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<EnumMember> {
    let offset = reader.offset();
    let member = EnumMember { type_name: reader.str()?.into(), member: value(reader, payload)? };
    if !matches!(member.member, Value::Str(_) | Value::Int(_) | Value::BigInt(_)) {
        return Err(ValueError::Invalid {
            offset,
            what: "enum",
            reason: "a member is named by text or an integer",
        });
    }
    Ok(member)
}

fn record(reader: &mut Reader<'_>, payload: &Payload<'_>, has_state: bool) -> Read<Record> {
    Ok(Record {
        type_name: reader.str()?.into(),
        fields: fields(reader, payload)?,
        state: if has_state { fields(reader, payload)? } else { Vec::new() },
    })
}

fn exception(reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<Exception> {
    let type_name = reader.str()?.into();
    let length = reader.plain_list()?;
    let arguments = elements(reader, payload, length)?;
    Ok(Exception { type_name, arguments, attributes: fields(reader, payload)? })
}

fn array(reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<Array> {
    let dtype = dtype(reader, payload)?;
    let shape = (0..reader.plain_list()?).map(|_| reader.small("array")).collect::<Read<Vec<u64>>>()?;
    reader.end();
    let offset = reader.offset();
    let is_fortran = match reader.str()? {
        "C" => false,
        "F" => true,
        _ => {
            return Err(ValueError::Invalid {
                offset,
                what: "array",
                reason: "the order is neither C nor F",
            });
        }
    };
    let index = reader.buffer_index()?;
    // Of fields, nobody here knows how long they are.
    let needed_bytes =
        dtype.item_bytes().map(|item_bytes| Array::size_bytes(&shape, item_bytes).unwrap_or(u64::MAX));
    let buffer = payload.buffer(index);
    let actual_bytes = buffer.map(|buffer| buffer.len() as u64);
    match buffer {
        Some(buffer) if needed_bytes.is_none() || needed_bytes == actual_bytes => {
            Ok(Array { dtype, shape, is_fortran, data: bytes::Bytes::copy_from_slice(buffer) })
        }
        _ => Err(ValueError::Buffer { index, needed_bytes: needed_bytes.unwrap_or(0), actual_bytes }),
    }
}

fn table(reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<Table> {
    let kind = reader.str()?.into();
    let index = reader.buffer_index()?;
    let missing = ValueError::Buffer { index, needed_bytes: 0, actual_bytes: None };
    let stream = payload.buffer(index).ok_or(missing)?;
    Ok(Table { kind, stream: bytes::Bytes::copy_from_slice(stream) })
}

fn dtype(reader: &mut Reader<'_>, payload: &Payload<'_>) -> Read<Dtype> {
    let offset = reader.offset();
    match value(reader, payload)? {
        Value::Str(text) => Ok(Dtype::Simple(text)),
        fields @ Value::List(_) => Ok(Dtype::Structured(fields)),
        _ => {
            Err(ValueError::Invalid { offset, what: "array", reason: "its type is neither text nor a list" })
        }
    }
}
