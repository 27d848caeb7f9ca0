//! Frames survive any chunking; what is not a frame is refused with a reason and without memory.

use lineshaft_wire::frame::{
    FRAME_LENGTH_MAX, Frame, FrameDecoder, FrameError, HEADER_BYTES, Header, encode_frame, encode_frame_with,
    encode_head,
};
use proptest::prelude::*;

fn header(kind: u8, channel: u16, request_id: u64) -> Header {
    Header { kind, channel, request_id, ..Header::default() }
}

fn frame_bytes(map: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, header(7, 1, 42), map, &[payload]).unwrap();
    bytes
}

fn decode_all(chunks: &[&[u8]]) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = FrameDecoder::new(FRAME_LENGTH_MAX);
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

fn refused(bytes: &[u8]) -> String {
    decode_all(&[bytes]).unwrap_err().to_string()
}

#[test]
fn the_bytes_of_a_frame_are_as_documented() {
    let expected =
        [&[11, 0, 0, 0, 7, 0, 1, 0, 42, 0, 0, 0, 0, 0, 0, 0][..], &[4, 0, 0, 0, 0x81, 0xa1, b'a', 1], b"xyz"];
    assert_eq!(frame_bytes(b"\x81\xa1a\x01", b"xyz"), expected.concat());
}

#[test]
fn a_map_written_in_place_gives_the_same_bytes() {
    let mut bytes = b"before".to_vec();
    let write_map = |buffer: &mut Vec<u8>| {
        buffer.extend_from_slice(b"\x80");
        Ok::<_, FrameError>(())
    };
    encode_frame_with(&mut bytes, header(7, 1, 42), write_map, &[b"pay", b"load"]).unwrap();
    assert_eq!(bytes, [b"before".to_vec(), frame_bytes(b"\x80", b"payload")].concat());
}

#[test]
fn a_failed_message_leaves_the_buffer_as_it_was() {
    let mut bytes = b"before".to_vec();
    let empty = |_: &mut Vec<u8>| Ok::<_, FrameError>(());
    let error = encode_frame_with(&mut bytes, header(7, 0, 0), empty, &[]).unwrap_err();
    assert_eq!(error, FrameError::MapLength { map_length: 0, length: 4 });
    assert_eq!(bytes, b"before");
}

#[test]
fn a_header_is_refused_with_the_reason() {
    let two_gibibytes = [0, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        refused(&two_gibibytes),
        "frame of 2147483648 bytes is longer than the limit of 75497472 bytes"
    );
    assert_eq!(
        refused(b"GET /api/v1/jobs HTTP/1.1\r\n"),
        "not a Lineshaft frame: the peer sent \"GET /api\"",
    );
    assert_eq!(refused(&[0; 16]), "frame of 0 bytes has no room for a message: at least 5 are needed");
    let unknown_kind = [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(refused(&unknown_kind).starts_with("not a Lineshaft frame"));
    let unknown_flags = [5, 0, 0, 0, 1, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(refused(&unknown_flags), "frame has unknown flags 0b10000001");
}

#[test]
fn a_map_that_does_not_fit_its_frame_is_refused() {
    let mut bytes = frame_bytes(b"\x80", b"");
    bytes[HEADER_BYTES] = 2;
    assert_eq!(refused(&bytes), "message of 2 bytes does not fit a frame of 5 bytes");
    bytes[HEADER_BYTES] = 0;
    assert_eq!(refused(&bytes), "message of 0 bytes does not fit a frame of 5 bytes");
}

#[test]
fn an_announced_length_reserves_nothing() {
    let mut decoder = FrameDecoder::new(u32::MAX);
    let bytes =
        [&[0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[9, 0, 0, 0], b"half"].concat();
    decoder.push(&bytes);
    assert_eq!(decoder.next_frame(), Ok(None));
    assert!(decoder.is_inside_frame());
    assert!(decoder.read_buffer().capacity() <= 128 << 10, "{}", decoder.read_buffer().capacity());
}

#[test]
fn after_an_error_there_is_only_that_error() {
    let mut decoder = FrameDecoder::default();
    decoder.push(&[0; 16]);
    let error = decoder.next_frame().unwrap_err();
    decoder.push(&frame_bytes(b"\x80", b""));
    assert_eq!(decoder.next_frame(), Err(error));
}

#[test]
fn a_large_frame_arrives_through_the_read_buffer() {
    let bytes = frame_bytes(b"\x80", &vec![7; 3 << 20]);
    let mut decoder = FrameDecoder::default();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let buffer = decoder.read_buffer();
        let room = (buffer.capacity() - buffer.len()).min(rest.len());
        buffer.extend_from_slice(&rest[..room]);
        rest = &rest[room..];
    }
    let frame = decoder.next_frame().unwrap().unwrap();
    assert_eq!((frame.map.len(), frame.payload.len()), (1, 3 << 20));
    assert!(!decoder.is_inside_frame());
}

fn any_frame() -> impl Strategy<Value = (Header, Vec<u8>, Vec<u8>)> {
    let bytes = |range| proptest::collection::vec(any::<u8>(), range);
    (1_u8.., any::<u16>(), any::<u64>(), bytes(1..40), bytes(0..80)).prop_map(
        |(kind, channel, request_id, map, payload)| (header(kind, channel, request_id), map, payload),
    )
}

fn chunks<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (chunk, after) = rest.split_at((*cut).min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks.push(rest);
    chunks
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_frames(
        frames in proptest::collection::vec(any_frame(), 0..8),
        cuts in proptest::collection::vec(0_usize..60, 0..40),
    ) {
        let mut bytes = Vec::new();
        for (header, map, payload) in &frames {
            let (front, back) = payload.split_at(payload.len() / 2);
            encode_frame(&mut bytes, *header, map, &[front, back]).unwrap();
        }
        let decoded = decode_all(&chunks(&bytes, &cuts)).unwrap();
        prop_assert_eq!(decoded.len(), frames.len());
        for (frame, (header, map, payload)) in decoded.iter().zip(&frames) {
            prop_assert_eq!(frame.header, Header { length: frame.header.length, ..*header });
            prop_assert_eq!((&frame.map[..], &frame.payload[..]), (&map[..], &payload[..]));
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
        let _ = decode_all(&chunks(&bytes, &[cut]));
    }
}

#[test]
fn a_frame_longer_than_its_header_can_say_is_refused() {
    let error = encode_head(header(1, 0, 1), 10, u32::MAX as usize).unwrap_err();
    assert_eq!(error, FrameError::TooLong { length: u64::from(u32::MAX) + 14, limit: u32::MAX });
}
