//! What a value takes in memory once it is decoded: an estimate that who writes and who reads make alike.
//!
//! A byte of a payload can become a hundred bytes of objects: an empty list is one byte, and a `list` of Python 88 with
//! the place that holds it. So bytes are refused by what would become of them. Counted is what the objects of Python
//! take, or those of [`super::Value`] where they take more, as measured: `docs/values.md` has the table. Who writes
//! counts the same, so that what encodes can be decoded.

use super::{ValueError, ext};
use crate::payload::PAYLOAD_BYTES_MAX;

/// What a value may take in memory once it is decoded: twelve times the greatest payload, so that one of numbers of four
/// bytes, of texts of ten or a million dataclasses with four fields still can be read.
pub const DECODED_BYTES_MAX: u64 = 12 * PAYLOAD_BYTES_MAX;

/// An element of a list or tuple: its place, and a number in it.
const ELEMENT: u64 = 40;
const LIST: u64 = 64;
/// An entry of a dict: a key and a value, and their part of a table that may be half empty.
const ENTRY: u64 = 128;
const DICT: u64 = 176;
/// An element of a set, whose table may be a quarter full.
const HASHED: u64 = 144;
const SET: u64 = 192;
/// A field of a record, with its name.
const FIELD: u64 = 112;
/// Text or bytes, beside what the place counts.
const TEXT: u64 = 32;
/// More for text beyond ASCII.
const WIDE_TEXT: u64 = 24;
/// Characters are as wide as the widest of them.
const WIDEST_CHAR: u64 = 4;
/// A record, which may be a model of pydantic.
const RECORD: u64 = 240;
/// What else has an extension type.
const OBJECT: u64 = 160;

/// How much was counted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) struct Memory {
    bytes: u64,
}

impl Memory {
    pub(super) const NONE: Self = Self { bytes: 0 };

    /// Fails once it is too much.
    #[inline]
    pub(super) fn check(self) -> Result<(), ValueError> {
        if self.bytes <= DECODED_BYTES_MAX { Ok(()) } else { Err(too_much()) }
    }

    #[inline]
    pub(super) const fn list(&mut self, length: usize) {
        self.add(LIST, length, ELEMENT);
    }

    #[inline]
    pub(super) const fn element(&mut self) {
        self.add(ELEMENT, 0, 0);
    }

    #[inline]
    pub(super) const fn dict(&mut self, length: usize) {
        self.add(DICT, length, ENTRY);
    }

    /// A key or a value of a dict.
    #[inline]
    pub(super) const fn half_entry(&mut self) {
        self.add(ENTRY / 2, 0, 0);
    }

    pub(super) const fn set(&mut self, length: usize) {
        self.add(SET, length, HASHED);
    }

    pub(super) const fn fields(&mut self, length: usize) {
        self.add(0, length, FIELD);
    }

    #[inline]
    pub(super) const fn text(&mut self, text: &str) {
        if text.is_ascii() {
            self.bytes += TEXT + text.len() as u64;
        } else {
            self.add(TEXT + WIDE_TEXT, text.len(), WIDEST_CHAR);
        }
    }

    pub(super) const fn bytes(&mut self, length: usize) {
        self.add(TEXT, length, 1);
    }

    /// A value of an extension type, without what is in it.
    pub(super) const fn ext(&mut self, code: i8) {
        match code {
            ext::TUPLE | ext::SET | ext::FROZEN_SET | ext::REFERENCE => {}
            ext::RECORD => self.add(RECORD, 0, 0),
            _ => self.add(OBJECT, 0, 0),
        }
    }

    /// The body of an extension type that is no value.
    pub(super) const fn raw(&mut self, code: i8, length: usize) {
        match code {
            ext::REFERENCE => {}
            ext::SURROGATE_TEXT => self.add(0, length, WIDEST_CHAR),
            _ => self.add(0, length, 1),
        }
    }

    #[inline]
    const fn add(&mut self, bytes: u64, count: usize, each_bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes + (count as u64).saturating_mul(each_bytes));
    }
}

#[cold]
fn too_much() -> ValueError {
    ValueError::TooMuchMemory { limit_bytes: DECODED_BYTES_MAX }
}

#[cfg(test)]
mod tests {
    use crate::value::Reader;

    /// Every element counted the same, so 16 million short texts were read and took 1.1 GB.
    #[test]
    fn what_is_counted_is_about_what_objects_take() {
        let cases: [(&[u8], u64, &str); 18] = [
            (&[0xc0], 0, "None"),
            (&[0xcd, 3, 232], 0, "a number is counted with its place"),
            (&[0xa2, b'a', b'b'], 34, "text"),
            (&[0xa2, 0xc3, 0xa9], 64, "text beyond ASCII"),
            (&[0xc4, 2, 0, 0], 34, "bytes"),
            (&[0x90], 64, "a list"),
            (&[0x92, 1, 2], 144, "a list of two"),
            (&[0x80], 176, "a dict"),
            (&[0x81, 1, 0xa1, b'a'], 176 + 128 + 33, "a dict of one"),
            (&[0xc7, 2, 1, 0x91, 1], 104, "a tuple"),
            (&[0xc7, 2, 2, 0x91, 1], 192 + 144, "a set"),
            (&[0xd4, 21, 0], 0, "a reference"),
            (&[0xc7, 4, 9, 0x93, 1, 1, 1], 160, "a date"),
            (&[0xc7, 3, 4, 1, 2, 3], 163, "a bytearray"),
            (&[0xc7, 3, 20, 0xed, 0xa0, 0x80], 172, "text with a surrogate"),
            (&[0xc7, 7, 16, 0x92, 0xa1, b'a', 0x81, 0xa1, b'b', 1], 240 + 112, "a record"),
            (&[0xc7, 6, 17, 0x93, 0xa1, b'a', 0x91, 1, 0x80], 160 + 104, "an exception"),
            (
                &[0xc7, 10, 18, 0x94, 0xa3, b'|', b'u', b'1', 0x91, 4, 0xa1, b'C', 0],
                160 + 35 + 104,
                "an array",
            ),
        ];
        for (bytes, expected, what) in cases {
            assert_eq!(Reader::memory_of(bytes).map(|memory| memory.bytes), Ok(expected), "{what}");
        }
    }
}
