//! The envelope around the bytes of a value: format, compression and out-of-band buffers.
//!
//! Byte 0 is the format: the version (1) in the low four bits, and one bit each for *compressed* (0x10), *has
//! buffers* (0x20) and *has references* (0x40). What follows, all numbers little-endian:
//!
//! | payload | bytes after the format |
//! |---|---|
//! | plain | the value |
//! | with buffers | number of buffers (4), length of the value (4), the length of each buffer (8 each), the value, the buffers |
//! | compressed | length of all of the above (4), the same as one LZ4 block |
//!
//! Each buffer begins at a multiple of [`BUFFER_ALIGNMENT`] from the format byte, after zeros, so that a reader can
//! look at numbers in place. Payloads are compressed from [`COMPRESSION_BYTES_MIN`] on, if that saves an eighth.
//!
//! Between client, journal and worker a payload is opaque; only who makes or uses the value comes here.

use std::borrow::Cow;
use std::ops::Range;

use lz4_flex::block;

use crate::value::ValueError;

/// The greatest payload, before compression and with all buffers, unless an app says otherwise: 64 MiB.
pub const PAYLOAD_BYTES_MAX: u64 = 64 << 20;
/// Smaller payloads are never compressed.
pub const COMPRESSION_BYTES_MIN: usize = 1024;
/// Buffers begin at multiples of this many bytes.
pub const BUFFER_ALIGNMENT: usize = 64;

/// The format byte of a payload with neither buffers nor references nor compression.
pub(crate) const FORMAT_PLAIN: u8 = 1;
const COMPRESSED: u8 = 0x10;
const HAS_BUFFERS: u8 = 0x20;
const HAS_REFERENCES: u8 = 0x40;
const KNOWN: u8 = FORMAT_PLAIN | COMPRESSED | HAS_BUFFERS | HAS_REFERENCES;

const TABLE_BYTES: usize = 1 + 4 + 4;
const BUFFER_LENGTH_BYTES: usize = 8;
/// LZ4 makes at most 255 bytes out of one.
const EXPANSION_MAX: usize = 255;
/// Above this, samples decide whether compression is tried on the whole.
const SAMPLED_BYTES_MIN: usize = 256 << 10;
const SAMPLE_BYTES: usize = 16 << 10;

/// A payload taken apart.
#[derive(Debug)]
pub struct Payload<'a> {
    plain: Cow<'a, [u8]>,
    value: Range<usize>,
    buffers: Vec<Range<usize>>,
}

impl<'a> Payload<'a> {
    /// Opens an envelope; `size_max` bounds what a compressed one may become.
    #[inline]
    pub fn open(bytes: &'a [u8], size_max: u64) -> Result<Self, ValueError> {
        let Some(&format) = bytes.first() else {
            return Err(ValueError::Envelope { reason: "it is empty" });
        };
        if !is_known(format) {
            return Err(ValueError::UnknownFormat { format });
        }
        check_size(bytes.len() as u64, size_max)?;
        let plain = if format & COMPRESSED == 0 {
            Cow::Borrowed(bytes)
        } else {
            Cow::Owned(decompress(bytes, size_max)?)
        };
        if format & HAS_BUFFERS == 0 {
            return Ok(Self { value: 1..plain.len(), buffers: Vec::new(), plain });
        }
        let (value, buffers) = read_table(&plain)?;
        Ok(Self { plain, value, buffers })
    }

    /// The bytes of the value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        &self.plain[self.value.clone()]
    }

    /// An out-of-band buffer.
    pub fn buffer(&self, index: u64) -> Option<&[u8]> {
        let range = self.buffers.get(usize::try_from(index).ok()?)?;
        Some(&self.plain[range.clone()])
    }

    /// Whether the value refers to parts of itself; if not, a reader need not remember what it read.
    #[inline]
    pub fn has_references(&self) -> bool {
        self.plain[0] & HAS_REFERENCES != 0
    }
}

/// As [`Payload::has_references`] of one that is not opened; false of one that does not open.
#[inline]
pub(crate) fn has_references(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|format| format & HAS_REFERENCES != 0 && is_known(*format))
}

#[inline]
const fn is_known(format: u8) -> bool {
    format & 0x0f == FORMAT_PLAIN && format & !KNOWN == 0
}

/// A payload that is complete but for the elements of its buffers, which are copied straight to where it shall stand.
#[derive(Debug)]
pub struct Envelope {
    /// The format and, where there are buffers, their table.
    head: Vec<u8>,
    /// A byte of room, then the value.
    value: Vec<u8>,
    sizes: Vec<usize>,
}

impl Envelope {
    /// Closes the envelope of a value that has a byte of room before it. Fails if it is too large.
    pub(crate) fn new(
        mut value: Vec<u8>,
        has_references: bool,
        sizes: &[usize],
        size_max: u64,
    ) -> Result<Self, ValueError> {
        mark(&mut value, has_references);
        check_size(sealed_bytes(value.len(), sizes), size_max)?;
        Ok(Self { head: table(&value, sizes), value, sizes: sizes.to_vec() })
    }

    /// How long the payload is before compression.
    pub fn size_bytes(&self) -> usize {
        sealed_bytes(self.value.len(), &self.sizes) as usize
    }

    /// The whole payload, if it has no buffers.
    pub fn without_buffers(&self) -> Option<&[u8]> {
        self.sizes.is_empty().then_some(&self.value)
    }

    /// Writes the payload into `room`, [`Self::size_bytes`] zeros; `fill` is called once for each of the buffers, in
    /// order, with the place it belongs to.
    pub fn write<E>(
        &self,
        room: &mut [u8],
        mut fill: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.sizes.is_empty() {
            room.copy_from_slice(&self.value);
            return Ok(());
        }
        let value = &self.value[1..];
        let mut end = self.head.len() + value.len();
        room[..self.head.len()].copy_from_slice(&self.head);
        room[self.head.len()..end].copy_from_slice(value);
        for (index, size) in self.sizes.iter().enumerate() {
            let start = end.next_multiple_of(BUFFER_ALIGNMENT);
            end = start + size;
            fill(index, &mut room[start..end])?;
        }
        Ok(())
    }

    /// The finished payload, compressed where that helps.
    pub fn seal<E>(self, fill: impl FnMut(usize, &mut [u8]) -> Result<(), E>) -> Result<Vec<u8>, E> {
        let plain = self.seal_plain(fill)?;
        Ok(compressed(&plain).unwrap_or(plain))
    }

    /// The finished payload as it is: for a reader on the same host, whom compression would only cost time.
    pub fn seal_plain<E>(self, fill: impl FnMut(usize, &mut [u8]) -> Result<(), E>) -> Result<Vec<u8>, E> {
        if self.sizes.is_empty() {
            return Ok(self.value);
        }
        // Zeroed by the allocator, which for large sizes costs nothing until the pages are filled.
        let mut plain = vec![0; self.size_bytes()];
        self.write(&mut plain, fill)?;
        Ok(plain)
    }
}

/// A plain payload in compressed form, `None` where that saves less than an eighth.
pub fn compressed(plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() < COMPRESSION_BYTES_MIN || !is_compressible(plain) {
        return None;
    }
    compress(plain)
}

/// Fills in the byte of room before a value.
#[inline]
pub(crate) fn mark(value: &mut [u8], has_references: bool) {
    value[0] = FORMAT_PLAIN | if has_references { HAS_REFERENCES } else { 0 };
}

#[inline]
fn check_size(actual_bytes: u64, limit_bytes: u64) -> Result<(), ValueError> {
    if actual_bytes > limit_bytes {
        return Err(ValueError::TooLarge { actual_bytes, limit_bytes });
    }
    Ok(())
}

/// The size of the plain payload, computed before anything is copied.
fn sealed_bytes(value_bytes: usize, sizes: &[usize]) -> u64 {
    if sizes.is_empty() {
        return value_bytes as u64;
    }
    let start = (TABLE_BYTES - 1 + sizes.len() * BUFFER_LENGTH_BYTES + value_bytes) as u64;
    sizes.iter().fold(start, |end, size| end.next_multiple_of(BUFFER_ALIGNMENT as u64) + *size as u64)
}

/// What stands before the value where there are buffers.
fn table(value: &[u8], sizes: &[usize]) -> Vec<u8> {
    if sizes.is_empty() {
        return Vec::new();
    }
    let mut head = Vec::with_capacity(TABLE_BYTES + sizes.len() * BUFFER_LENGTH_BYTES);
    head.push(value[0] | HAS_BUFFERS);
    head.extend_from_slice(&(sizes.len() as u32).to_le_bytes());
    head.extend_from_slice(&(value.len() as u32 - 1).to_le_bytes());
    for size in sizes {
        head.extend_from_slice(&(*size as u64).to_le_bytes());
    }
    head
}

type Table = (Range<usize>, Vec<Range<usize>>);

fn read_table(plain: &[u8]) -> Result<Table, ValueError> {
    let count = number_at(plain, 1)? as usize;
    let value_bytes = number_at(plain, 5)? as usize;
    let lengths_end = count.checked_mul(BUFFER_LENGTH_BYTES).and_then(|bytes| bytes.checked_add(TABLE_BYTES));
    let lengths = lengths_end
        .and_then(|end| plain.get(TABLE_BYTES..end))
        .ok_or(ValueError::Envelope { reason: "its table of buffers is cut off" })?;
    let value_start = TABLE_BYTES + lengths.len();
    let value = cut(plain, value_start, value_bytes as u64)?;
    let mut end = value.end;
    let mut buffers = Vec::with_capacity(count);
    for length in lengths.as_chunks::<BUFFER_LENGTH_BYTES>().0 {
        let buffer = cut(plain, end.next_multiple_of(BUFFER_ALIGNMENT), u64::from_le_bytes(*length))?;
        end = buffer.end;
        buffers.push(buffer);
    }
    if end != plain.len() {
        return Err(ValueError::Envelope { reason: "bytes follow its last buffer" });
    }
    Ok((value, buffers))
}

fn cut(plain: &[u8], start: usize, length: u64) -> Result<Range<usize>, ValueError> {
    let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
    match end {
        Some(end) if end <= plain.len() => Ok(start..end),
        _ => Err(ValueError::Envelope { reason: "it is cut off" }),
    }
}

fn number_at(bytes: &[u8], offset: usize) -> Result<u32, ValueError> {
    let number = bytes.get(offset..).and_then(<[u8]>::first_chunk::<4>);
    number.map(|bytes| u32::from_le_bytes(*bytes)).ok_or(ValueError::Envelope { reason: "it is cut off" })
}

fn is_compressible(plain: &[u8]) -> bool {
    if plain.len() < SAMPLED_BYTES_MIN {
        return true;
    }
    let last = plain.len() - SAMPLE_BYTES;
    let saved: usize = [0, last / 2, last]
        .map(|start| {
            let sample = &plain[start..start + SAMPLE_BYTES];
            SAMPLE_BYTES.saturating_sub(block::compress(sample).len())
        })
        .into_iter()
        .sum();
    saved >= 3 * SAMPLE_BYTES / 8
}

/// The compressed payload, `None` if it saves less than an eighth.
fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    let body = &plain[1..];
    let mut bytes = vec![0; 5 + block::get_maximum_output_size(body.len())];
    let length = block::compress_into(body, &mut bytes[5..]).ok()?;
    if length > body.len() - body.len() / 8 {
        return None;
    }
    bytes[0] = plain[0] | COMPRESSED;
    bytes[1..5].copy_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.truncate(5 + length);
    Some(bytes)
}

fn decompress(bytes: &[u8], size_max: u64) -> Result<Vec<u8>, ValueError> {
    let length = number_at(bytes, 1)? as usize;
    check_size(1 + length as u64, size_max)?;
    let block = &bytes[5..];
    if length / EXPANSION_MAX > block.len() {
        return Err(ValueError::Envelope { reason: "it is too short for what it claims to hold" });
    }
    let mut plain = vec![0; 1 + length];
    match block::decompress_into(block, &mut plain[1..]) {
        Ok(actual) if actual == length => {}
        _ => return Err(ValueError::Envelope { reason: "its compressed bytes are damaged" }),
    }
    plain[0] = bytes[0] & !COMPRESSED;
    Ok(plain)
}
