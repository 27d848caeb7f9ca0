//! Frames: what goes over a socket between a client and the engine.
//!
//! A frame is a 16-byte [`Header`], the message as one `MessagePack` map, and an opaque payload. All numbers around
//! the map are little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | length of everything after the header |
//! | 4 | 1 | kind of the message, never 0 |
//! | 5 | 1 | flags; a bit outside [`FLAGS_KNOWN`] is refused |
//! | 6 | 2 | channel |
//! | 8 | 8 | request id |
//! | 16 | 4 | length of the map |
//! | 20 | … | the map, then the payload up to the end of the frame |
//!
//! The length of the map is written out because finding the end of a map by walking it costs more than four bytes,
//! and a forwarder then needs no `MessagePack` at all.
//!
//! [`FrameDecoder`] cuts frames out of a stream without copying them and without trusting an announced length;
//! [`encode_frame`] and [`encode_frame_with`] append them to a buffer. Nothing here knows what a message means.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a [`Header`].
pub const HEADER_BYTES: usize = 16;
/// Bytes in front of the map: the header and the map's length.
pub const HEAD_BYTES: usize = HEADER_BYTES + MAP_LENGTH_BYTES;
/// The greatest length a header may announce unless a connection agrees on another: a payload of 64 MiB and room
/// for its message.
pub const FRAME_LENGTH_MAX: u32 = 72 << 20;
/// The flag bits that have a meaning; none yet.
pub const FLAGS_KNOWN: u8 = 0;

const MAP_LENGTH_BYTES: usize = 4;
const BODY_LENGTH_MIN: u32 = MAP_LENGTH_BYTES as u32 + 1;
/// Room made for one read, however little is known about what comes.
const READ_BYTES: usize = 64 << 10;

/// Why bytes are not a frame. The stream cannot be used any further: nobody knows where the next frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The announced length is above the limit.
    #[error("frame of {length} bytes is longer than the limit of {limit} bytes")]
    TooLong {
        /// What the header announces, or what was to be sent.
        length: u64,
        /// What the connection allows.
        limit: u32,
    },
    /// The announced length has no room for a message.
    #[error("frame of {length} bytes has no room for a message: at least {BODY_LENGTH_MIN} are needed")]
    TooShort {
        /// What the header announces.
        length: u32,
    },
    /// The map would be empty or reach beyond the frame.
    #[error("message of {map_length} bytes does not fit a frame of {length} bytes")]
    MapLength {
        /// The announced length of the map.
        map_length: u32,
        /// The announced length of the frame.
        length: u32,
    },
    /// A flag that this version does not know.
    #[error("frame has unknown flags {flags:#010b}")]
    UnknownFlags {
        /// All flags of the header.
        flags: u8,
    },
    /// The bytes were not written by a Lineshaft peer.
    #[error("not a Lineshaft frame: the peer sent \"{}\"", start.escape_ascii())]
    Garbage {
        /// The first bytes of the supposed header.
        start: [u8; 8],
    },
}

/// What stands in front of every message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Bytes after the header.
    pub length: u32,
    /// Which message the map holds; never 0.
    pub kind: u8,
    /// Bits of [`FLAGS_KNOWN`].
    pub flags: u8,
    /// One of the streams that share the connection.
    pub channel: u16,
    /// Chosen by the asking side, repeated in the answer; 0 where there is no answer.
    pub request_id: u64,
}

impl Header {
    /// The header's bytes.
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&self.channel.to_le_bytes());
        bytes[8..].copy_from_slice(&self.request_id.to_le_bytes());
        bytes
    }

    /// Reads a header and refuses one that no peer of this version would send.
    pub fn decode(bytes: [u8; HEADER_BYTES], length_max: u32) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, kind, flags, c0, c1, request_id @ ..] = bytes;
        let header = Self {
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            kind,
            flags,
            channel: u16::from_le_bytes([c0, c1]),
            request_id: u64::from_le_bytes(request_id),
        };
        header.check(length_max).map_err(|error| explain(error, bytes))?;
        Ok(header)
    }

    fn check(self, length_max: u32) -> Result<(), FrameError> {
        let Self { length, kind, flags, .. } = self;
        if length > length_max {
            return Err(FrameError::TooLong { length: length.into(), limit: length_max });
        }
        if length < BODY_LENGTH_MIN {
            return Err(FrameError::TooShort { length });
        }
        if kind == 0 {
            return Err(FrameError::Garbage { start: [0; 8] });
        }
        if flags & !FLAGS_KNOWN != 0 {
            return Err(FrameError::UnknownFlags { flags });
        }
        Ok(())
    }
}

/// Shows what was sent where a wrong header is plainly something else, such as the first line of an HTTP request.
fn explain(error: FrameError, bytes: [u8; HEADER_BYTES]) -> FrameError {
    let [start @ .., _, _, _, _, _, _, _, _] = bytes;
    let is_text = start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if is_text || matches!(error, FrameError::Garbage { .. }) { FrameError::Garbage { start } } else { error }
}

/// A complete frame. `map` and `payload` are views into the bytes as they were read and keep those alive, up to a
/// read's worth around a small frame: copy what is kept for long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The header.
    pub header: Header,
    /// The message, one `MessagePack` map; not looked at here.
    pub map: Bytes,
    /// The bytes after the map; often empty.
    pub payload: Bytes,
}

/// Cuts frames out of a stream of bytes.
///
/// It holds at most one incomplete frame beside what was pushed, and its memory follows the bytes that arrived, not
/// the length that was announced.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    header: Option<Header>,
    length_max: u32,
    failed: Option<FrameError>,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new(FRAME_LENGTH_MAX)
    }
}

impl FrameDecoder {
    /// A decoder that refuses frames of more than `length_max` bytes after the header.
    pub fn new(length_max: u32) -> Self {
        Self { buffer: BytesMut::new(), header: None, length_max, failed: None }
    }

    /// Appends bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer to read into, with room for one read: at least 64 KiB and, inside a large frame, as much as has
    /// arrived already. Append to it, then call [`Self::next_frame`] until it gives `None`.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        let room = READ_BYTES.max(self.missing_bytes().min(self.buffer.len()));
        // Asking for the whole room each time would move the few bytes of a half frame over and over.
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 8 {
            self.buffer.reserve(room);
        }
        &mut self.buffer
    }

    /// Bytes pushed and not yet given out.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len() + if self.header.is_some() { HEADER_BYTES } else { 0 }
    }

    /// Whether a frame has begun and not ended: a peer that stays silent now, or closes, has broken off.
    pub fn is_inside_frame(&self) -> bool {
        self.buffered_bytes() > 0
    }

    /// The next complete frame, `None` if more bytes are needed. After an error only that error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.take_frame().inspect_err(|error| self.fail(*error))
    }

    fn take_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.take_header()? else { return Ok(None) };
        if self.buffer.len() < MAP_LENGTH_BYTES {
            return Ok(None);
        }
        let map_length = map_length(&self.buffer, header.length)?;
        if self.buffer.len() < header.length as usize {
            return Ok(None);
        }
        self.header = None;
        Ok(Some(cut(&mut self.buffer, header, map_length)))
    }

    fn take_header(&mut self) -> Result<Option<Header>, FrameError> {
        if self.header.is_none() {
            let Some(bytes) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
            self.header = Some(Header::decode(*bytes, self.length_max)?);
            bytes::Buf::advance(&mut self.buffer, HEADER_BYTES);
        }
        Ok(self.header)
    }

    fn missing_bytes(&self) -> usize {
        self.header.map_or(0, |header| (header.length as usize).saturating_sub(self.buffer.len()))
    }

    fn fail(&mut self, error: FrameError) {
        self.failed = Some(error);
        self.buffer = BytesMut::new();
        self.header = None;
    }
}

fn map_length(body: &[u8], length: u32) -> Result<usize, FrameError> {
    let map_length = u32::from_le_bytes([body[0], body[1], body[2], body[3]]);
    if map_length == 0 || map_length > length - MAP_LENGTH_BYTES as u32 {
        return Err(FrameError::MapLength { map_length, length });
    }
    Ok(map_length as usize)
}

fn cut(buffer: &mut BytesMut, header: Header, map_length: usize) -> Frame {
    let mut map = buffer.split_to(header.length as usize).freeze();
    bytes::Buf::advance(&mut map, MAP_LENGTH_BYTES);
    // A split at the end would count a reference for nothing.
    let payload = if map.len() == map_length { Bytes::new() } else { map.split_off(map_length) };
    Frame { header, map, payload }
}

/// Appends one frame. `header.length` is ignored and computed; `payload` is a list of parts so that a caller need
/// not join them. Refuses an empty map and a frame above 4 GiB; a peer's own limit is the caller's to keep.
pub fn encode_frame<B: BufMut>(
    buffer: &mut B,
    header: Header,
    map: &[u8],
    payload: &[&[u8]],
) -> Result<(), FrameError> {
    let payload_bytes = payload.iter().map(|part| part.len()).sum();
    buffer.put_slice(&encode_head(header, map.len(), payload_bytes)?);
    buffer.put_slice(map);
    for part in payload {
        buffer.put_slice(part);
    }
    Ok(())
}

/// The bytes in front of a map of `map_bytes` and a payload of `payload_bytes`, for writing the parts of a large
/// frame one by one. Errors as [`encode_frame`].
pub fn encode_head(
    header: Header,
    map_bytes: usize,
    payload_bytes: usize,
) -> Result<[u8; HEAD_BYTES], FrameError> {
    let length = (MAP_LENGTH_BYTES + map_bytes) as u64 + payload_bytes as u64;
    let Ok(length) = u32::try_from(length) else {
        return Err(FrameError::TooLong { length, limit: u32::MAX });
    };
    if map_bytes == 0 {
        return Err(FrameError::MapLength { map_length: 0, length });
    }
    let mut head = [0; HEAD_BYTES];
    head[..HEADER_BYTES].copy_from_slice(&Header { length, ..header }.encode());
    head[HEADER_BYTES..].copy_from_slice(&(map_bytes as u32).to_le_bytes());
    Ok(head)
}

/// Appends one frame whose map `write_map` appends itself, so that a message is serialized in place. What was
/// appended is taken back if `write_map` or the frame fails.
pub fn encode_frame_with<E: From<FrameError>>(
    buffer: &mut Vec<u8>,
    header: Header,
    write_map: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    payload: &[&[u8]],
) -> Result<(), E> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEAD_BYTES]);
    let payload_bytes = payload.iter().map(|part| part.len()).sum();
    let head = write_map(buffer)
        .and_then(|()| Ok(encode_head(header, buffer.len() - start - HEAD_BYTES, payload_bytes)?))
        .inspect_err(|_| buffer.truncate(start))?;
    buffer[start..start + HEAD_BYTES].copy_from_slice(&head);
    for part in payload {
        buffer.extend_from_slice(part);
    }
    Ok(())
}
