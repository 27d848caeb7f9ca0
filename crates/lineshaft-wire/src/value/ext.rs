//! Codes of the extension types, with what their bodies hold.
//!
//! *Raw* bodies are bytes; all others are exactly one `MessagePack` value. The numbers are part of the format and
//! never change their meaning; 0 is never used, 64 to 127 are free for applications, the negative ones belong to
//! `MessagePack` and are refused.

/// A tuple: an array of its elements.
pub const TUPLE: i8 = 1;
/// A set: an array of its elements.
pub const SET: i8 = 2;
/// A frozen set: an array of its elements.
pub const FROZEN_SET: i8 = 3;
/// A changeable byte string. Raw.
pub const BYTE_ARRAY: i8 = 4;
/// An integer outside 64 bits. Raw: two's complement, most significant byte first, as few bytes as hold it.
pub const INTEGER: i8 = 5;
/// A decimal number. Raw: its text (`1.20`, `-0E+3`, `NaN`).
pub const DECIMAL: i8 = 6;
/// A UUID. Raw: 16 bytes.
pub const UUID: i8 = 7;
/// A date with a time of day: `[year, month, day, hour, minute, second, microsecond, fold, zone]`. The zone is nil
/// (naive), an integer (microseconds east of UTC), a string (a key of the time zone database), or
/// `[microseconds, name]`.
pub const DATE_TIME: i8 = 8;
/// A date: `[year, month, day]`.
pub const DATE: i8 = 9;
/// A time of day: `[hour, minute, second, microsecond, fold, zone]`.
pub const TIME: i8 = 10;
/// A duration: `[days, seconds, microseconds]` with 0 <= seconds < 86,400 and 0 <= microseconds < 1,000,000.
pub const TIME_DELTA: i8 = 11;
/// A complex number: `[real, imaginary]`.
pub const COMPLEX: i8 = 12;
/// A range of integers: `[start, stop, step]`.
pub const RANGE: i8 = 13;
/// Python's `...`. Raw, empty.
pub const ELLIPSIS: i8 = 14;
/// A member of an enumeration: `[type, name]`, or `[type, bits]` for flags.
pub const ENUM: i8 = 15;
/// Named fields under a type's name: `[type, {field: value}]`, or `[type, {field: value}, {name: value}]` with what an
/// instance keeps beside its fields.
pub const RECORD: i8 = 16;
/// An exception as data: `[type, [argument], {attribute: value}]`.
pub const EXCEPTION: i8 = 17;
/// An n-dimensional array whose elements are in a buffer of the payload: `[dtype, [length], order, buffer]`, with
/// the element type as numpy writes it (`"<f8"`, or a list of fields), order `"C"` or `"F"`, and the buffer's index.
pub const ARRAY: i8 = 18;
/// One element outside an array: `[dtype, bytes]`.
pub const ARRAY_SCALAR: i8 = 19;
/// Text with surrogates that UTF-8 has no place for. Raw: generalized UTF-8, surrogates as three bytes.
pub const SURROGATE_TEXT: i8 = 20;
/// The same object as an earlier one: the number of a numbered value, in the order in which they begin. Numbered
/// are lists, dicts, sets, byte arrays, records, exceptions, arrays and tables, wherever a value may stand.
pub const REFERENCE: i8 = 21;
/// Reserved for an explicit definition that a reference may name: `[number, value]`.
pub const DEFINITION: i8 = 22;
/// Reserved for a record whose fields are positions of a known schema: `[schema, [value]]`.
pub const SCHEMA_RECORD: i8 = 23;
/// A table, batch, array or schema in Arrow's stream format: `[kind, buffer]`, with the kind `"table"`, `"batch"`,
/// `"array"`, `"chunks"` or `"schema"`, and the index of the buffer that holds the stream, uncompressed.
pub const TABLE: i8 = 24;
/// A pickled object, which a reader accepts only where it was told to. Raw.
pub const PICKLE: i8 = 25;
/// A job. Raw: the 16 bytes of its id.
pub const JOB: i8 = 26;

/// Whether the body is an array of a fixed number of parts.
pub const fn has_parts(code: i8) -> bool {
    matches!(code, DATE_TIME..=COMPLEX | RANGE | ENUM..=ARRAY_SCALAR | TABLE)
}

/// The name of an extension type in messages.
pub const fn name(code: i8) -> &'static str {
    match code {
        TUPLE => "tuple",
        SET => "set",
        FROZEN_SET => "frozenset",
        BYTE_ARRAY => "bytearray",
        INTEGER => "integer",
        DECIMAL => "decimal",
        UUID => "uuid",
        DATE_TIME => "datetime",
        DATE => "date",
        TIME => "time",
        TIME_DELTA => "timedelta",
        COMPLEX => "complex",
        RANGE => "range",
        ELLIPSIS => "ellipsis",
        ENUM => "enum",
        RECORD => "record",
        EXCEPTION => "exception",
        ARRAY => "array",
        ARRAY_SCALAR => "array scalar",
        SURROGATE_TEXT => "text",
        REFERENCE => "reference",
        DEFINITION => "definition",
        SCHEMA_RECORD => "schema record",
        TABLE => "table",
        PICKLE => "pickle",
        JOB => "job",
        _ => "unknown extension",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let names: BTreeSet<_> = (TUPLE..=JOB).map(name).collect();
        assert_eq!(names.len(), (TUPLE..=JOB).len());
        assert!(!names.contains("unknown extension"), "{names:?}");
        assert_eq!([0, JOB + 1, -1].map(name), ["unknown extension"; 3]);
    }
}
