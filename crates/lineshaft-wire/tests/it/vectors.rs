//! The vectors that Python reads too (`tests/python/test_values.py`): the same bytes, the same values, both ways.

use lineshaft_wire::value::{decode, decode_call, encode, encode_call};

const COMPRESSED: u8 = 0x10;

#[derive(serde::Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) hex: String,
    /// An expression of Python for (arguments, keyword arguments), where the payload is a call.
    call: Option<String>,
    /// What the value looks like, in at most 1,000 characters.
    shows: Option<String>,
}

pub(crate) fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn values_are_read_shown_and_written_alike() {
    for vector in vectors() {
        let payload = from_hex(&vector.hex);
        let value = decode(&payload).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        if let Some(shows) = &vector.shows {
            assert_eq!(value.summary(1000), *shows, "{}", vector.name);
        }
        // Compressed bytes belong to the version of the compressor.
        if payload[0] & COMPRESSED == 0 {
            assert_eq!(encode(&value).unwrap(), payload, "{}", vector.name);
        }
    }
}

#[test]
fn calls_are_read_and_written_alike() {
    for vector in vectors().into_iter().filter(|vector| vector.call.is_some()) {
        let payload = from_hex(&vector.hex);
        let call = decode_call(&payload).unwrap();
        assert_eq!(encode_call(&call).unwrap(), payload, "{}", vector.name);
    }
}

#[test]
fn every_extension_type_in_use_has_a_vector() {
    let payloads: Vec<Vec<u8>> = vectors().iter().map(|vector| from_hex(&vector.hex)).collect();
    for code in (1..=21_u8).chain([24, 25]) {
        let has_code = |payload: &Vec<u8>| {
            payload.windows(3).any(|bytes| bytes[0] == 0xc7 && bytes[2] == code)
                || payload.windows(6).any(|bytes| bytes[0] == 0xc9 && bytes[5] == code)
        };
        assert!(payloads.iter().any(has_code), "extension type {code}");
    }
}
