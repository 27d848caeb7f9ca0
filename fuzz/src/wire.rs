//! What comes over a socket: frames, messages, values.

use lineshaft_wire::frame::{Frame, FrameDecoder, FrameError, encode_frame};
use lineshaft_wire::message::Message;
use lineshaft_wire::payload::{PAYLOAD_BYTES_MAX, Payload};
use lineshaft_wire::value::{self, Reader, Value, typed};

use crate::bounded;

/// The limit of these frames: small, so that it is met.
const FRAME_BYTES_MAX: u32 = 1 << 12;
/// Memory for a message whatever its length: of a list that announces more, room for a megabyte is made at once, and a few
/// stand in one another.
const MESSAGE_BESIDE: usize = 8 << 20;

/// A stream of frames gives the same frames however it is cut into reads, and these frames give the same stream.
pub(crate) fn frame(data: &[u8]) -> bool {
    // A read's worth of room is made whatever comes.
    let (frames, error) = bounded((256 << 10) + 64 * data.len(), || frames(data, data.len().max(1)));
    for step in [1, 7, 64] {
        assert_eq!(self::frames(data, step), (frames.clone(), error), "in reads of {step} bytes");
    }
    let mut again = Vec::new();
    for frame in &frames {
        encode_frame(&mut again, frame.header, &frame.map, &[&frame.payload]).expect("it was one");
    }
    assert!(data.starts_with(&again), "the frames are other ones than were read");
    error.is_none() && !frames.is_empty()
}

fn frames(data: &[u8], step: usize) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let mut frames = Vec::new();
    for read in data.chunks(step) {
        decoder.push(read);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_frame(), Err(error), "nothing comes after an error");
                    return (frames, Some(error));
                }
            }
        }
        assert!(decoder.buffered_bytes() <= data.len());
    }
    (frames, None)
}

/// A message that reads can be written, and reads as the same. The first byte is its type.
pub(crate) fn message(data: &[u8]) -> bool {
    let Some((frame_type, map)) = data.split_first() else { return false };
    let message = bounded(MESSAGE_BESIDE + 512 * map.len(), || Message::decode(*frame_type, map));
    let message = match message {
        Ok(message) => message,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    assert_eq!(message.frame_type(), *frame_type);
    let mut written = Vec::new();
    message.encode(&mut written);
    let again = Message::decode(*frame_type, &written).expect("what was written reads");
    assert_eq!(again, message);
    true
}

/// A payload that reads can be written, and reads as the same; whatever it is, it takes no more than a share of its bytes.
pub(crate) fn value(data: &[u8]) -> bool {
    let plain_bytes = Payload::open(data, PAYLOAD_BYTES_MAX).map_or(0, |payload| {
        let buffers = (0..).map_while(|index| payload.buffer(index)).map(<[u8]>::len).sum::<usize>();
        payload.value().len() + buffers
    });
    // Room is made for what a list or dict announces, at every depth: an entry has two values of 32 bytes. Compressed
    // bytes may announce 255 times as many, and be damaged.
    let limit = (64 << 10) + 260 * data.len() + 64 * value::DEPTH_MAX as usize * plain_bytes;
    let limit = limit.min(2 * value::DECODED_BYTES_MAX as usize);
    read_typed(data, limit);
    let decoded = bounded(limit, || value::decode(data));
    let value = match decoded {
        Ok(value) => value,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(value::decode_call(data).is_err(), "a call that is no value");
            return false;
        }
    };
    skips_all(data);
    assert!(value.summary(100).chars().count() <= 100);
    assert_eq!(written_again(&value), value::encode(&value).expect("what was read can be written"));
    if let Ok(call) = value::decode_call(data) {
        let written = value::encode_call(&call).expect("a call that was read can be written");
        // Equal by their bytes: a NaN is not equal to itself.
        let again = value::decode_call(&written).expect("a call that was written reads");
        assert_eq!(value::encode_call(&again).expect("it was written once"), written);
    }
    true
}

fn written_again(value: &Value) -> Vec<u8> {
    let written = value::encode(value).expect("what was read can be written");
    let again = value::decode(&written).expect("what was written reads");
    value::encode(&again).expect("what was read can be written")
}

/// Who only passes over a value comes to the same end.
fn skips_all(data: &[u8]) {
    let payload = Payload::open(data, PAYLOAD_BYTES_MAX).expect("it holds a value");
    let mut reader = Reader::new(payload.value());
    reader.skip().expect("what reads can be passed over");
    reader.finish().expect("nothing follows it");
}

/// Types of Rust take the same bytes or refuse them.
fn read_typed(data: &[u8], limit: usize) {
    type Nested = Vec<(Option<String>, std::collections::BTreeMap<String, Vec<f64>>)>;
    bounded(limit, || {
        let _ = typed::from_payload::<Nested>(data);
        let _ = typed::from_payload::<(i128, bool, char)>(data);
    });
    let Ok(value) = bounded(limit, || typed::from_payload::<Value>(data)) else { return };
    let written = typed::to_payload(&value).expect("what was read can be written");
    let again = typed::from_payload::<Value>(&written).expect("what was written reads");
    assert_eq!(typed::to_payload(&again).expect("it was written once"), written);
}
