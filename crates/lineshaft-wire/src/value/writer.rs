//! Appends values to a payload, element by element.

use super::memory::Memory;
use super::{DEPTH_MAX, Reader, ValueError, ext};
use crate::payload::{self, Envelope, PAYLOAD_BYTES_MAX};

/// Writes one value into a payload.
///
/// The caller keeps the promises a container makes: after `begin_list(n)` come n values and an `end`. Numbers of
/// references are counted here, in the order in which the numbered values begin.
///
/// Out-of-band buffers stay with the caller, who announces each with [`Self::buffer`] and hands them to
/// [`Self::finish`], which copies them once.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    buffer_bytes: u64,
    buffer_count: u64,
    size_max: u64,
    memory: Memory,
    depth: u32,
    numbered: u32,
    references: bool,
}

/// An extension type whose body is being written, or a list or dict that was begun without its length; pass it to
/// [`Writer::end_ext`] or [`Writer::end_counted`].
#[derive(Debug)]
#[must_use = "the length is filled in at the end"]
pub struct Open {
    start: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new(PAYLOAD_BYTES_MAX)
    }
}

impl Writer {
    /// A writer that gives up when the payload, before compression, gets larger than `size_max` bytes (2 GiB at most).
    pub fn new(size_max: u64) -> Self {
        Self::in_buffer(size_max, Vec::new())
    }

    /// As [`Self::new`], in the room of a buffer, whose content is lost: who writes many values need not allocate each.
    #[inline]
    pub fn in_buffer(size_max: u64, buffer: Vec<u8>) -> Self {
        let mut writer = Self {
            bytes: buffer,
            buffer_bytes: 0,
            buffer_count: 0,
            size_max: size_max.min(SIZE_BYTES_MAX),
            memory: Memory::NONE,
            depth: 0,
            numbered: 0,
            references: false,
        };
        writer.reset();
        writer
    }

    /// Begins anew, in the same room.
    #[inline]
    pub fn reset(&mut self) {
        self.bytes.clear();
        self.bytes.reserve(128);
        self.bytes.push(payload::FORMAT_PLAIN);
        (self.buffer_bytes, self.buffer_count, self.memory) = (0, 0, Memory::NONE);
        (self.depth, self.numbered, self.references) = (0, 0, false);
    }

    /// The finished payload, compressed where that helps. `buffers` are those announced, in the same order.
    /// Fails if it is too large.
    pub fn finish(self, buffers: &[&[u8]]) -> Result<Vec<u8>, ValueError> {
        let sizes: Vec<usize> = buffers.iter().map(|buffer| buffer.len()).collect();
        self.finish_with(&sizes, |index, room| {
            room.copy_from_slice(buffers[index]);
            Ok(())
        })
    }

    /// As [`Self::finish`], but never compressed.
    pub fn finish_plain(mut self, buffers: &[&[u8]]) -> Result<Vec<u8>, ValueError> {
        self.plain(buffers)?;
        Ok(self.bytes)
    }

    /// As [`Self::finish_plain`], for who copies the payload or takes it away; then [`Self::reset`] is due.
    #[inline]
    pub fn plain(&mut self, buffers: &[&[u8]]) -> Result<&mut Vec<u8>, ValueError> {
        if buffers.is_empty() {
            self.check_closed(0)?;
            payload::mark(&mut self.bytes, self.references);
            self.make_room(0)?;
            return Ok(&mut self.bytes);
        }
        let sizes: Vec<usize> = buffers.iter().map(|buffer| buffer.len()).collect();
        self.bytes = self.closed(&sizes)?.seal_plain(|index, room| {
            room.copy_from_slice(buffers[index]);
            Ok::<_, ValueError>(())
        })?;
        Ok(&mut self.bytes)
    }

    /// As [`Self::finish`] for buffers that are not slices: `fill` is called once for each of the sizes announced,
    /// in order, with the place in the payload where the buffer belongs.
    pub fn finish_with<E: From<ValueError>>(
        self,
        sizes: &[usize],
        fill: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<Vec<u8>, E> {
        self.close(sizes)?.seal(fill)
    }

    /// The payload without its buffers, for who wants to place it; `sizes` are those of the buffers announced, in order.
    /// Fails if it is too large.
    pub fn close(mut self, sizes: &[usize]) -> Result<Envelope, ValueError> {
        self.closed(sizes)
    }

    fn closed(&mut self, sizes: &[usize]) -> Result<Envelope, ValueError> {
        self.check_closed(sizes.len() as u64)?;
        Envelope::new(std::mem::take(&mut self.bytes), self.references, sizes, self.size_max)
    }

    #[inline]
    fn check_closed(&self, buffers: u64) -> Result<(), ValueError> {
        debug_assert_eq!(buffers, self.buffer_count, "each buffer is announced");
        debug_assert_eq!(self.depth, 0, "each container is ended");
        self.memory.check()?;
        debug_assert_eq!(Reader::memory_of(&self.bytes[1..]), Ok(self.memory), "who reads counts alike");
        Ok(())
    }

    /// None, null, nil.
    pub fn none(&mut self) {
        self.bytes.push(0xc0);
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(if value { 0xc3 } else { 0xc2 });
    }

    /// An integer in the fewest bytes.
    #[inline]
    pub fn int(&mut self, value: i64) {
        match value {
            0.. => self.uint(value as u64),
            -32..=-1 => self.bytes.push(value as u8),
            -128..=-33 => self.tagged(0xd0, [value as u8]),
            -0x8000..=-129 => self.tagged(0xd1, (value as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => self.tagged(0xd2, (value as i32).to_be_bytes()),
            _ => self.tagged(0xd3, value.to_be_bytes()),
        }
    }

    /// A non-negative integer in the fewest bytes.
    #[inline]
    pub fn uint(&mut self, value: u64) {
        match value {
            0..=0x7f => self.bytes.push(value as u8),
            0x80..=0xff => self.tagged(0xcc, [value as u8]),
            0x100..=0xffff => self.tagged(0xcd, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.tagged(0xce, (value as u32).to_be_bytes()),
            _ => self.tagged(0xcf, value.to_be_bytes()),
        }
    }

    /// A floating-point number, always with 64 bits, the bits of a NaN kept.
    pub fn float(&mut self, value: f64) {
        self.tagged(0xcb, value.to_be_bytes());
    }

    /// Text.
    pub fn str(&mut self, value: &str) -> Result<(), ValueError> {
        self.memory.text(value);
        self.memory.check()?;
        self.utf8(value)
    }

    /// A name inside an extension type, which is no value of its own.
    pub fn name(&mut self, value: &str) -> Result<(), ValueError> {
        self.utf8(value)
    }

    #[inline]
    fn utf8(&mut self, value: &str) -> Result<(), ValueError> {
        self.make_room(value.len())?;
        match value.len() {
            length @ 0..=31 => self.bytes.push(0xa0 | length as u8),
            length @ 32..=0xff => self.tagged(0xd9, [length as u8]),
            length @ 0x100..=0xffff => self.tagged(0xda, (length as u16).to_be_bytes()),
            length => self.tagged(0xdb, (length as u32).to_be_bytes()),
        }
        self.bytes.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> Result<(), ValueError> {
        self.memory.bytes(value.len());
        self.memory.check()?;
        self.make_room(value.len())?;
        match value.len() {
            length @ 0..=0xff => self.tagged(0xc4, [length as u8]),
            length @ 0x100..=0xffff => self.tagged(0xc5, (length as u16).to_be_bytes()),
            length => self.tagged(0xc6, (length as u32).to_be_bytes()),
        }
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// Begins a list whose length is told when it ends with [`Self::end_counted`], which is numbered. Each of its
    /// values is announced with [`Self::count`].
    #[inline]
    pub fn begin_counted_list(&mut self) -> Result<Open, ValueError> {
        self.memory.list(0);
        self.begin_counted(FIX_LIST)
    }

    /// Begins a dict whose length is told when it ends with [`Self::end_counted`], which is numbered. Each key and
    /// each value is announced with [`Self::count`].
    #[inline]
    pub fn begin_counted_dict(&mut self) -> Result<Open, ValueError> {
        self.memory.dict(0);
        self.begin_counted(FIX_DICT)
    }

    #[inline]
    fn begin_counted(&mut self, tag: u8) -> Result<Open, ValueError> {
        self.numbered += 1;
        self.descend(0)?;
        let start = self.bytes.len();
        self.bytes.push(tag);
        Ok(Open { start })
    }

    /// Another element of a list, or key or value of a dict, that was begun without a length.
    #[inline]
    pub fn count(&mut self, in_dict: bool) -> Result<(), ValueError> {
        if in_dict {
            self.memory.half_entry();
        } else {
            self.memory.element();
        }
        self.memory.check()?;
        self.make_room(1)
    }

    /// Ends a list or dict that was begun without a length: so many values, or entries.
    #[inline]
    pub fn end_counted(&mut self, Open { start }: Open, length: usize) {
        self.depth -= 1;
        let tag = self.bytes[start];
        if length <= 15 {
            self.bytes[start] = tag | length as u8;
            return;
        }
        let is_list = tag == FIX_LIST;
        let (tag, length): (u8, &[u8]) = match u16::try_from(length) {
            Ok(length) => (if is_list { 0xdc } else { 0xde }, &length.to_be_bytes()),
            Err(_) => (if is_list { 0xdd } else { 0xdf }, &(length as u32).to_be_bytes()),
        };
        self.bytes[start] = tag;
        self.bytes.splice(start + 1..=start, length.iter().copied());
    }

    /// Begins a list of `length` values, which is numbered.
    #[inline]
    pub fn begin_list(&mut self, length: usize) -> Result<(), ValueError> {
        self.numbered += 1;
        self.begin_plain_list(length)
    }

    /// Begins the bare array of values inside an extension type. Not numbered, otherwise as [`Self::begin_list`].
    #[inline]
    pub fn begin_plain_list(&mut self, length: usize) -> Result<(), ValueError> {
        self.memory.list(length);
        self.begin_parts(length)
    }

    /// As [`Self::begin_plain_list`] for the parts of something that is not made as a list: a date, a record.
    #[inline]
    pub fn begin_parts(&mut self, length: usize) -> Result<(), ValueError> {
        self.descend(length)?;
        match length {
            0..=15 => self.bytes.push(FIX_LIST | length as u8),
            16..=0xffff => self.tagged(0xdc, (length as u16).to_be_bytes()),
            _ => self.tagged(0xdd, (length as u32).to_be_bytes()),
        }
        Ok(())
    }

    /// Begins the bare array inside a set. Its elements are hashed and so take more memory, otherwise as
    /// [`Self::begin_plain_list`].
    pub fn begin_set(&mut self, length: usize) -> Result<(), ValueError> {
        self.memory.set(length);
        self.begin_parts(length)
    }

    /// Begins a dict of `length` entries, each a key and a value, which is numbered.
    pub fn begin_dict(&mut self, length: usize) -> Result<(), ValueError> {
        self.numbered += 1;
        self.memory.dict(length);
        self.begin_map(length)
    }

    /// Begins the bare map inside an extension type. Not numbered, otherwise as [`Self::begin_dict`].
    pub fn begin_plain_dict(&mut self, length: usize) -> Result<(), ValueError> {
        self.memory.fields(length);
        self.begin_map(length)
    }

    fn begin_map(&mut self, length: usize) -> Result<(), ValueError> {
        self.descend(length.saturating_mul(2))?;
        match length {
            0..=15 => self.bytes.push(FIX_DICT | length as u8),
            16..=0xffff => self.tagged(0xde, (length as u16).to_be_bytes()),
            _ => self.tagged(0xdf, (length as u32).to_be_bytes()),
        }
        Ok(())
    }

    /// Ends the innermost list or dict.
    #[inline]
    pub fn end(&mut self) {
        self.depth -= 1;
    }

    /// Begins an extension type; its body is written with the other calls. Numbered if its code is.
    pub fn begin_ext(&mut self, code: i8) -> Open {
        self.numbered += u32::from(is_numbered(code));
        self.memory.ext(code);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0xc7, 0, code as u8]);
        Open { start }
    }

    /// Ends an extension type and fills in the length of its body.
    pub fn end_ext(&mut self, Open { start }: Open) {
        let length = self.bytes.len() - start - EXT_HEAD_BYTES;
        if let Ok(length) = u8::try_from(length) {
            self.bytes[start + 1] = length;
            return;
        }
        // Rare enough that moving the body beats reserving four bytes of length for every tuple.
        let code = self.bytes[start + 2];
        let head = [(length as u32).to_be_bytes().as_slice(), &[code]].concat();
        self.bytes[start] = 0xc9;
        self.bytes.splice(start + 1..start + EXT_HEAD_BYTES, head);
    }

    /// An extension type with a raw body.
    pub fn raw_ext(&mut self, code: i8, body: &[u8]) -> Result<(), ValueError> {
        self.memory.raw(code, body.len());
        self.memory.check()?;
        self.make_room(body.len())?;
        let open = self.begin_ext(code);
        self.bytes.extend_from_slice(body);
        self.end_ext(open);
        Ok(())
    }

    /// An integer of any size, given in two's complement, most significant byte first.
    pub fn big_int(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        let minimal = super::minimal(bytes);
        match super::integer::to_i128(minimal) {
            Some(value) if i64::try_from(value).is_ok() => self.int(value as i64),
            Some(value) if u64::try_from(value).is_ok() => self.uint(value as u64),
            _ => self.raw_ext(ext::INTEGER, minimal)?,
        }
        Ok(())
    }

    /// The number that the next numbered value will get.
    pub fn next_number(&self) -> u32 {
        self.numbered
    }

    /// The same object as the one with this number.
    pub fn reference(&mut self, number: u32) {
        self.references = true;
        let open = self.begin_ext(ext::REFERENCE);
        self.uint(number.into());
        self.end_ext(open);
    }

    /// Announces an out-of-band buffer; returns its index.
    pub fn buffer(&mut self, size_bytes: usize) -> Result<u64, ValueError> {
        self.make_room(size_bytes)?;
        self.buffer_bytes += size_bytes as u64;
        self.buffer_count += 1;
        Ok(self.buffer_count - 1)
    }

    #[inline]
    fn tagged<const N: usize>(&mut self, tag: u8, bytes: [u8; N]) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&bytes);
    }

    #[inline]
    fn descend(&mut self, elements: usize) -> Result<(), ValueError> {
        self.memory.check()?;
        if self.depth == DEPTH_MAX {
            return Err(ValueError::TooDeep { limit: DEPTH_MAX });
        }
        self.depth += 1;
        self.make_room(elements)
    }

    #[inline]
    fn make_room(&mut self, more: usize) -> Result<(), ValueError> {
        let actual_bytes = self.bytes.len() as u64 + self.buffer_bytes + more as u64;
        if actual_bytes <= self.size_max { Ok(()) } else { Err(self.too_large(actual_bytes)) }
    }

    #[cold]
    const fn too_large(&self, actual_bytes: u64) -> ValueError {
        ValueError::TooLarge { actual_bytes, limit_bytes: self.size_max }
    }
}

const EXT_HEAD_BYTES: usize = 3;
/// A list and a dict of up to 15 elements; the length is in the low bits.
pub(super) const FIX_LIST: u8 = 0x90;
pub(super) const FIX_DICT: u8 = 0x80;
/// Lengths on the wire have 32 bits; half of that leaves room for what is written between two checks.
const SIZE_BYTES_MAX: u64 = 2 << 30;

/// Whether values of this extension type count for references.
pub(super) const fn is_numbered(code: i8) -> bool {
    matches!(code, ext::SET | ext::BYTE_ARRAY | ext::RECORD | ext::EXCEPTION | ext::ARRAY | ext::TABLE)
}
