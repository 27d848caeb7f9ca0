//! From [`Value`] to bytes.

use super::{Call, Value, ValueError, Writer};
use crate::payload::PAYLOAD_BYTES_MAX;
use crate::value::ext;
use crate::value::model::{
    Array, Date, DateTime, Dtype, EnumMember, Exception, Record, Table, Time, TimeDelta, Zone,
};

/// A payload on its way: the bytes of a value, and the buffers of its arrays, which are copied once at the end.
#[derive(Debug, Default)]
pub(in crate::value) struct Encoder<'v> {
    pub(in crate::value) writer: Writer,
    buffers: Vec<bytes::Bytes>,
    /// What references stand for, where copies are to be written in their place.
    copied: &'v [&'v Value],
    /// Copies that are being written, the outermost first.
    copying: Vec<u32>,
}

type Done = Result<(), ValueError>;

impl<'v> Encoder<'v> {
    /// An encoder that writes in the room of a buffer, see [`Writer::in_buffer`].
    #[inline]
    pub(in crate::value) fn in_buffer(buffer: Vec<u8>) -> Self {
        let writer = Writer::in_buffer(PAYLOAD_BYTES_MAX, buffer);
        Self { writer, buffers: Vec::new(), copied: &[], copying: Vec::new() }
    }

    /// An encoder that writes copies of `numbered` values in place of references to them.
    pub(in crate::value) fn copying(numbered: &'v [&'v Value]) -> Self {
        Self { copied: numbered, ..Self::default() }
    }

    pub(in crate::value) fn finish(self) -> Result<Vec<u8>, ValueError> {
        let buffers: Vec<&[u8]> = self.buffers.iter().map(|buffer| &buffer[..]).collect();
        self.writer.finish(&buffers)
    }

    /// Begins anew, in the same room.
    #[inline]
    pub(in crate::value) fn reset(&mut self) {
        self.writer.reset();
        self.buffers.clear();
        self.copied = &[];
        self.copying.clear();
    }

    /// The payload, never compressed; then [`Self::reset`] is due.
    pub(in crate::value) fn plain(&mut self) -> Result<&mut Vec<u8>, ValueError> {
        let buffers: Vec<&[u8]> = self.buffers.iter().map(|buffer| &buffer[..]).collect();
        self.writer.plain(&buffers)
    }

    /// A call, of a version of its task.
    pub(super) fn call(&mut self, call: &Call, version: u32) -> Done {
        self.writer.begin_list(if version > 1 { 3 } else { 2 })?;
        self.list(&call.positional)?;
        self.writer.begin_dict(call.keywords.len())?;
        for (name, value) in &call.keywords {
            self.writer.str(name)?;
            self.value(value)?;
        }
        self.writer.end();
        if version > 1 {
            self.writer.int(i64::from(version));
        }
        self.writer.end();
        Ok(())
    }

    pub(in crate::value) fn value(&mut self, value: &Value) -> Done {
        let writer = &mut self.writer;
        match value {
            Value::None => writer.none(),
            Value::Bool(value) => writer.bool(*value),
            Value::Int(value) => writer.big_int(&value.to_be_bytes())?,
            Value::BigInt(bytes) => writer.big_int(bytes)?,
            Value::Float(value) => writer.float(*value),
            Value::Str(text) => writer.str(text)?,
            Value::SurrogateText(bytes) => writer.raw_ext(ext::SURROGATE_TEXT, bytes)?,
            Value::Bytes(bytes) => writer.bytes(bytes)?,
            Value::ByteArray(bytes) => writer.raw_ext(ext::BYTE_ARRAY, bytes)?,
            Value::Pickle(bytes) => writer.raw_ext(ext::PICKLE, bytes)?,
            Value::Decimal(text) => writer.raw_ext(ext::DECIMAL, text.as_bytes())?,
            Value::Uuid(uuid) => writer.raw_ext(ext::UUID, uuid.as_bytes())?,
            Value::Job(job) => writer.raw_ext(ext::JOB, &job.to_bytes())?,
            Value::Ellipsis => writer.raw_ext(ext::ELLIPSIS, &[])?,
            Value::Reference(number) => self.reference(*number)?,
            Value::List(values) => self.list(values)?,
            Value::Dict(entries) => self.dict(entries)?,
            Value::Tuple(values) => self.elements(ext::TUPLE, values)?,
            Value::Set(values) => self.elements(ext::SET, values)?,
            Value::FrozenSet(values) => self.elements(ext::FROZEN_SET, values)?,
            Value::Range(bounds) => self.elements(ext::RANGE, &**bounds)?,
            _ => self.structure(value)?,
        }
        Ok(())
    }

    fn reference(&mut self, number: u32) -> Done {
        let Some(value) = self.copied.get(number as usize) else {
            self.writer.reference(number);
            return Ok(());
        };
        if self.copying.contains(&number) {
            let reason = "the object is inside itself, which no type here can hold";
            return Err(ValueError::Invalid { offset: 0, what: "reference", reason });
        }
        self.copying.push(number);
        self.value(value)?;
        self.copying.pop();
        Ok(())
    }

    fn structure(&mut self, value: &Value) -> Done {
        match value {
            Value::DateTime(moment) => self.ext(ext::DATE_TIME, 9, |to| to.date_time(moment)),
            Value::Date(date) => self.ints_ext(ext::DATE, date_parts(*date)),
            Value::Time(time) => self.ext(ext::TIME, 6, |to| to.time(time)),
            Value::TimeDelta(delta) => self.ints_ext(ext::TIME_DELTA, delta_parts(*delta)),
            Value::Complex(real, imaginary) => self.ext(ext::COMPLEX, 2, |to| {
                to.writer.float(*real);
                to.writer.float(*imaginary);
                Ok(())
            }),
            Value::Enum(member) => self.ext(ext::ENUM, 2, |to| to.enum_member(member)),
            Value::Record(record) if record.state.is_empty() => {
                self.ext(ext::RECORD, 2, |to| to.record(record))
            }
            Value::Record(record) => self.ext(ext::RECORD, 3, |to| {
                to.record(record)?;
                to.writer.begin_plain_dict(record.state.len())?;
                to.fields(&record.state)
            }),
            Value::Exception(exception) => self.ext(ext::EXCEPTION, 3, |to| to.exception(exception)),
            Value::Array(array) => self.ext(ext::ARRAY, 4, |to| to.array(array)),
            Value::ArrayScalar(scalar) => self.ext(ext::ARRAY_SCALAR, 2, |to| to.array_scalar(scalar)),
            Value::Table(table) => self.ext(ext::TABLE, 2, |to| to.table(table)),
            other => unreachable!("{other:?} is written by `value`"),
        }
    }

    /// An extension type whose body is an array of `length`.
    fn ext(&mut self, code: i8, length: usize, write: impl FnOnce(&mut Self) -> Done) -> Done {
        let open = self.writer.begin_ext(code);
        match code {
            ext::SET | ext::FROZEN_SET => self.writer.begin_set(length)?,
            ext::TUPLE => self.writer.begin_plain_list(length)?,
            _ => self.writer.begin_parts(length)?,
        }
        write(self)?;
        self.writer.end();
        self.writer.end_ext(open);
        Ok(())
    }

    fn elements(&mut self, code: i8, values: &[Value]) -> Done {
        self.ext(code, values.len(), |to| values.iter().try_for_each(|value| to.value(value)))
    }

    fn list(&mut self, values: &[Value]) -> Done {
        self.writer.begin_list(values.len())?;
        values.iter().try_for_each(|value| self.value(value))?;
        self.writer.end();
        Ok(())
    }

    fn dict(&mut self, entries: &[(Value, Value)]) -> Done {
        self.writer.begin_dict(entries.len())?;
        for (key, value) in entries {
            self.value(key)?;
            self.value(value)?;
        }
        self.writer.end();
        Ok(())
    }

    /// The fields of a map that was begun, and its end.
    fn fields(&mut self, fields: &[(Box<str>, Value)]) -> Done {
        for (name, value) in fields {
            self.writer.name(name)?;
            self.value(value)?;
        }
        self.writer.end();
        Ok(())
    }

    fn ints<const N: usize>(&mut self, numbers: [i64; N]) {
        for number in numbers {
            self.writer.int(number);
        }
    }

    fn ints_ext<const N: usize>(&mut self, code: i8, numbers: [i64; N]) -> Done {
        self.ext(code, N, |to| {
            to.ints(numbers);
            Ok(())
        })
    }

    fn date_time(&mut self, moment: &DateTime) -> Done {
        self.ints(date_parts(moment.date));
        self.time(&moment.time)
    }

    fn time(&mut self, time: &Time) -> Done {
        let parts =
            [time.hour.into(), time.minute.into(), time.second.into(), time.microsecond, time.fold.into()];
        self.ints(parts.map(|part: u32| part.into()));
        self.zone(&time.zone)
    }

    fn zone(&mut self, zone: &Zone) -> Done {
        match zone {
            Zone::Naive => self.writer.none(),
            Zone::Offset { microseconds, name: None } => self.writer.int(*microseconds),
            Zone::Offset { microseconds, name: Some(name) } => {
                self.writer.begin_plain_list(2)?;
                self.writer.int(*microseconds);
                self.writer.str(name)?;
                self.writer.end();
            }
            Zone::Key(key) => self.writer.name(key)?,
        }
        Ok(())
    }

    fn enum_member(&mut self, member: &EnumMember) -> Done {
        self.writer.name(&member.type_name)?;
        self.value(&member.member)
    }

    fn record(&mut self, record: &Record) -> Done {
        self.writer.name(&record.type_name)?;
        self.writer.begin_plain_dict(record.fields.len())?;
        self.fields(&record.fields)
    }

    fn exception(&mut self, exception: &Exception) -> Done {
        self.writer.name(&exception.type_name)?;
        self.writer.begin_plain_list(exception.arguments.len())?;
        exception.arguments.iter().try_for_each(|value| self.value(value))?;
        self.writer.end();
        self.writer.begin_plain_dict(exception.attributes.len())?;
        self.fields(&exception.attributes)
    }

    fn array(&mut self, array: &Array) -> Done {
        self.dtype(&array.dtype)?;
        self.writer.begin_plain_list(array.shape.len())?;
        for length in &array.shape {
            self.writer.uint(*length);
        }
        self.writer.end();
        self.writer.name(if array.is_fortran { "F" } else { "C" })?;
        let index = self.writer.buffer(array.data.len())?;
        self.buffers.push(array.data.clone());
        self.writer.uint(index);
        Ok(())
    }

    fn table(&mut self, table: &Table) -> Done {
        self.writer.name(&table.kind)?;
        let index = self.writer.buffer(table.stream.len())?;
        self.buffers.push(table.stream.clone());
        self.writer.uint(index);
        Ok(())
    }

    fn array_scalar(&mut self, (dtype, bytes): &(Dtype, Box<[u8]>)) -> Done {
        self.dtype(dtype)?;
        self.writer.bytes(bytes)
    }

    fn dtype(&mut self, dtype: &Dtype) -> Done {
        match dtype {
            Dtype::Simple(text) => self.writer.str(text),
            Dtype::Structured(fields) => self.value(fields),
        }
    }
}

fn date_parts(date: Date) -> [i64; 3] {
    [date.year.into(), date.month.into(), date.day.into()]
}

fn delta_parts(delta: TimeDelta) -> [i64; 3] {
    [delta.days.into(), delta.seconds.into(), delta.microseconds.into()]
}
