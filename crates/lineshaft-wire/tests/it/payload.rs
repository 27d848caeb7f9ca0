//! The envelope: buffers are aligned, large values are compressed, damage is an error.

use bytes::Bytes;
use lineshaft_wire::payload::{BUFFER_ALIGNMENT, COMPRESSION_BYTES_MIN, PAYLOAD_BYTES_MAX, Payload};
use lineshaft_wire::value::{Array, Dtype, Value, ValueError, Writer, decode, encode};
use proptest::prelude::*;

const COMPRESSED: u8 = 0x10;

fn array(bytes: &[u8]) -> Value {
    Value::Array(Box::new(Array {
        dtype: Dtype::Simple("|u1".into()),
        shape: vec![bytes.len() as u64],
        is_fortran: false,
        data: Bytes::copy_from_slice(bytes),
    }))
}

#[test]
fn a_small_value_costs_one_byte_of_envelope() {
    assert_eq!(encode(&Value::Int(5)).unwrap(), [0x01, 0x05]);
}

#[test]
fn buffers_begin_at_multiples_of_64() {
    let value = Value::List(vec![array(&[1; 100]), array(&[]), array(&[3; 7])]);
    let bytes = encode(&value).unwrap();
    let payload = Payload::open(&bytes, PAYLOAD_BYTES_MAX).unwrap();
    for (index, expected) in [&[1; 100][..], &[], &[3; 7]].into_iter().enumerate() {
        let buffer = payload.buffer(index as u64).unwrap();
        assert_eq!(buffer, expected);
        let offset = buffer.as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(offset % BUFFER_ALIGNMENT, 0, "buffer {index}");
    }
    assert_eq!(payload.buffer(3), None);
    assert_eq!(decode(&bytes).unwrap(), value);
}

#[test]
fn compression_starts_at_a_kibibyte() {
    let payload = |length: usize| encode(&Value::from("a".repeat(length))).unwrap();
    let small = payload(COMPRESSION_BYTES_MIN - 5);
    assert_eq!((small[0], small.len()), (0x01, COMPRESSION_BYTES_MIN - 1));
    let large = payload(COMPRESSION_BYTES_MIN - 4);
    assert_eq!(large[0], 0x01 | COMPRESSED);
    assert!(large.len() < 64);
    assert_eq!(decode(&large).unwrap(), "a".repeat(COMPRESSION_BYTES_MIN - 4).into());
}

#[test]
fn what_does_not_get_smaller_stays_plain() {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    for length in [2_000, 600_000] {
        let value = Value::Bytes((0..length).map(|_| noise()).collect());
        let bytes = encode(&value).unwrap();
        assert_eq!(bytes[0] & COMPRESSED, 0);
        assert_eq!(decode(&bytes).unwrap(), value);
    }
}

#[test]
fn too_large_names_size_and_limit() {
    let error = encode(&Value::Bytes(vec![0; 70 << 20].into())).unwrap_err();
    assert_eq!(error.to_string(), "payload of 73400321 bytes is above the limit of 64 MiB");
}

#[test]
fn a_small_payload_cannot_claim_to_hold_gigabytes() {
    let claim = |length: u32, block: &[u8]| [&[0x11][..], &length.to_le_bytes(), block].concat();
    let error = Payload::open(&claim(1 << 30, &[0; 64]), PAYLOAD_BYTES_MAX).unwrap_err();
    assert!(matches!(error, ValueError::TooLarge { .. }), "{error}");
    let error = Payload::open(&claim(60 << 20, &[0; 64]), PAYLOAD_BYTES_MAX).unwrap_err();
    assert_eq!(error.to_string(), "not a payload: it is too short for what it claims to hold");
}

#[test]
fn formats_of_the_future_are_refused() {
    let refused = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
    assert_eq!(refused(&[0x02, 0xc0]), "payload has format 0x02, which this version cannot read");
    assert_eq!(refused(&[0x81, 0xc0]), "payload has format 0x81, which this version cannot read");
    assert_eq!(refused(&[]), "not a payload: it is empty");
    assert_eq!(refused(&[0x21, 9, 9, 9, 9, 1, 0, 0, 0]), "not a payload: its table of buffers is cut off");
}

#[test]
fn a_writer_gives_up_at_its_limit() {
    let mut writer = Writer::new(100);
    writer.begin_list(2).unwrap();
    writer.str(&"x".repeat(60)).unwrap();
    let error = writer.str(&"y".repeat(60)).unwrap_err();
    assert_eq!(error.to_string(), "payload of 124 bytes is above the limit of 100 bytes");
}

/// As a language binding writes it: into room of its own, without a copy in between.
#[test]
fn an_envelope_is_written_into_the_room_that_it_asks_for() {
    let closed = |text: &str, sizes: &[usize]| {
        let mut writer = Writer::default();
        writer.str(text).unwrap();
        for size in sizes {
            writer.buffer(*size).unwrap();
        }
        writer.close(sizes).unwrap()
    };
    let envelope = closed("plain", &[]);
    let mut room = vec![0; envelope.size_bytes()];
    envelope.write(&mut room, |_, _| -> Result<(), ValueError> { unreachable!("it has none") }).unwrap();
    assert_eq!(room, encode(&"plain".into()).unwrap());
    assert_eq!(envelope.without_buffers(), Some(&room[..]));

    let envelope = closed("two", &[3, 2]);
    let mut room = vec![0; envelope.size_bytes()];
    let fill = |index: usize, buffer: &mut [u8]| {
        buffer.fill(index as u8 + 1);
        Ok::<(), ValueError>(())
    };
    envelope.write(&mut room, fill).unwrap();
    let payload = Payload::open(&room, PAYLOAD_BYTES_MAX).unwrap();
    assert_eq!((payload.buffer(0), payload.buffer(1)), (Some(&[1; 3][..]), Some(&[2; 2][..])));
    assert_eq!(envelope.without_buffers(), None);

    room.push(0);
    let error = Payload::open(&room, PAYLOAD_BYTES_MAX).unwrap_err();
    assert_eq!(error.to_string(), "not a payload: bytes follow its last buffer");
}

proptest! {
    #[test]
    fn damaged_payloads_never_panic(
        text in "[ab]{1000,1100}",
        flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        kept in 0.0..1.0,
    ) {
        let mut bytes = encode(&Value::List(vec![text.into(), array(&[5; 300])])).unwrap();
        for (at, byte) in flips {
            let index = at % bytes.len();
            bytes[index] = byte;
        }
        let _ = decode(&bytes);
        let _ = decode(&bytes[..(bytes.len() as f64 * kept) as usize]);
    }
}
