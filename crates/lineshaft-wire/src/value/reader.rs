//! Takes values apart, element by element.

use super::memory::Memory;
use super::writer::{FIX_DICT, FIX_LIST, is_numbered};
use super::{DEPTH_MAX, ValueError, ext};

/// Reads one value out of bytes that nobody vouches for.
///
/// An announced length is compared with the bytes that are left before anything is made of it, so a caller may
/// reserve what [`Token::List`] and [`Token::Dict`] announce; [`DEPTH_MAX`] bounds the recursion and
/// [`super::DECODED_BYTES_MAX`] the memory of everything together.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    end: usize,
    memory: Memory,
    depth: u32,
    numbered: u32,
    buffers: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// None, null, nil.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer that fits an `i64`.
    Int(i64),
    /// An integer above `i64::MAX`.
    Uint(u64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Str(&'a str),
    /// A byte string.
    Bytes(&'a [u8]),
    /// So many values follow, then [`Reader::end`] is due.
    List(usize),
    /// So many entries follow, each a key and a value, then [`Reader::end`] is due.
    Dict(usize),
    /// An extension type with so many bytes, to be read with [`Reader::raw`], or between [`Reader::open`] and
    /// [`Reader::close`].
    Ext(i8, usize),
}

impl Token<'_> {
    /// What to call it in a message.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Uint(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Ext(code, _) => super::ext::name(*code),
        }
    }
}

type Skip<'a> = fn(&mut Reader<'a>) -> Result<(), ValueError>;

/// The end of what surrounds an extension type's body; pass it to [`Reader::close`].
#[derive(Debug)]
#[must_use = "the body is bounded until `close`"]
pub struct Enclosing {
    end: usize,
}

impl<'a> Reader<'a> {
    /// A reader of the bytes of one value, see [`crate::payload::Payload::value`].
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, end: bytes.len(), memory: Memory::NONE, depth: 0, numbered: 0, buffers: 0 }
    }

    /// How much a whole value takes once it is decoded.
    pub(super) fn memory_of(bytes: &[u8]) -> Result<Memory, ValueError> {
        let mut reader = Reader::new(bytes);
        reader.skip()?;
        Ok(reader.memory)
    }

    /// Where the next element begins.
    pub const fn offset(&self) -> usize {
        self.position
    }

    /// The number of the numbered value that began last. Call it right after its token.
    pub const fn last_number(&self) -> u32 {
        self.numbered.wrapping_sub(1)
    }

    /// Fails unless everything was read.
    #[inline]
    pub fn finish(&self) -> Result<(), ValueError> {
        let extra_bytes = self.bytes.len() - self.position;
        if extra_bytes > 0 {
            return Err(ValueError::Trailing { offset: self.position, extra_bytes });
        }
        debug_assert!(
            !Self::memory_of(self.bytes).is_ok_and(|memory| self.memory > memory),
            "nobody counts more than who writes"
        );
        Ok(())
    }

    /// The next element where a value stands.
    #[inline]
    pub fn next_token(&mut self) -> Result<Token<'a>, ValueError> {
        let token = self.token()?;
        match token {
            Token::Str(text) => self.memory.text(text),
            Token::List(length) => {
                self.numbered += 1;
                self.memory.list(length);
            }
            Token::Dict(length) => {
                self.numbered += 1;
                self.memory.dict(length);
            }
            Token::Ext(code, _) => {
                self.numbered += u32::from(is_numbered(code));
                return Ok(token);
            }
            _ => return Ok(token),
        }
        self.memory.check()?;
        Ok(token)
    }

    /// Whether none, null, nil comes next.
    pub fn is_none_next(&self) -> bool {
        self.position < self.end && self.bytes[self.position] == 0xc0
    }

    /// Passes over a value without making anything of it.
    #[inline]
    pub fn skip(&mut self) -> Result<(), ValueError> {
        if self.skip_number() {
            return Ok(());
        }
        let token = self.next_token()?;
        self.skip_rest(token, Self::skip)
    }

    /// Passes over a number, of which nothing is counted; whether a whole one came next. No token is made of it, since most of
    /// what is passed over are numbers.
    #[inline]
    fn skip_number(&mut self) -> bool {
        let rest = &self.bytes[self.position..self.end];
        let length = match rest.first() {
            Some(0x00..=0x7f | 0xe0..=0xff) => 1,
            Some(0xcc | 0xd0) => 2,
            Some(0xcd | 0xd1) => 3,
            Some(0xca | 0xce | 0xd2) => 5,
            Some(0xcb | 0xcf | 0xd3) => 9,
            _ => return false,
        };
        if length > rest.len() {
            return false;
        }
        self.position += length;
        true
    }

    /// As [`Self::skip`] for a part of an extension type's body that is no value: names, and fields with names.
    pub(super) fn skip_part(&mut self) -> Result<(), ValueError> {
        let token = self.plain_token()?;
        self.skip_rest(token, Self::skip_part)
    }

    fn skip_rest(&mut self, token: Token<'a>, skip_key: Skip<'a>) -> Result<(), ValueError> {
        let (length, is_dict) = match token {
            Token::List(length) => (length, false),
            Token::Dict(length) => (length, true),
            Token::Ext(code, length) => return self.skip_ext(code, length),
            _ => return Ok(()),
        };
        for _ in 0..length {
            if is_dict {
                skip_key(self)?;
            }
            self.skip()?;
        }
        self.end();
        Ok(())
    }

    fn skip_ext(&mut self, code: i8, length: usize) -> Result<(), ValueError> {
        let is_sequence = matches!(code, ext::TUPLE | ext::SET | ext::FROZEN_SET);
        if !is_sequence && !ext::has_parts(code) {
            return self.raw_ext(code, length).map(drop);
        }
        // Whether it has a buffer.
        self.buffers += u64::from(matches!(code, ext::ARRAY | ext::TABLE));
        let enclosing = self.open(length)?;
        let length = match code {
            ext::TUPLE => self.plain_list()?,
            ext::SET | ext::FROZEN_SET => self.set()?,
            _ => self.parts()?,
        };
        for part in 0..length {
            // The member of an enumeration, the type of elements.
            let is_value =
                is_sequence || matches!((code, part), (ext::ENUM, 1) | (ext::ARRAY | ext::ARRAY_SCALAR, 0));
            if is_value { self.skip() } else { self.skip_part() }?;
        }
        self.end();
        self.close(enclosing)
    }

    /// Ends the innermost list or dict.
    #[inline]
    pub const fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// The raw body of an extension type.
    pub fn raw_ext(&mut self, code: i8, length: usize) -> Result<&'a [u8], ValueError> {
        let bytes = self.raw(length)?;
        self.memory.raw(code, length);
        self.memory.check()?;
        Ok(bytes)
    }

    fn raw(&mut self, length: usize) -> Result<&'a [u8], ValueError> {
        if length > self.end - self.position {
            return Err(self.truncated(length));
        }
        let start = self.position;
        self.position += length;
        Ok(&self.bytes[start..self.position])
    }

    /// Begins to read the body of an extension type: nothing is read beyond its end until [`Self::close`].
    pub fn open(&mut self, length: usize) -> Result<Enclosing, ValueError> {
        if length > self.end - self.position {
            return Err(self.truncated(length));
        }
        let enclosing = Enclosing { end: self.end };
        self.end = self.position + length;
        Ok(enclosing)
    }

    /// Ends the body of an extension type; fails unless all of it was read.
    pub fn close(&mut self, Enclosing { end }: Enclosing) -> Result<(), ValueError> {
        if self.position != self.end {
            let (offset, extra_bytes) = (self.position, self.end - self.position);
            return Err(ValueError::Trailing { offset, extra_bytes });
        }
        self.end = end;
        Ok(())
    }

    /// The bare array of values inside an extension type, which is not numbered; [`Self::end`] is due as always.
    #[inline]
    pub fn plain_list(&mut self) -> Result<usize, ValueError> {
        let length = self.parts()?;
        self.memory.list(length);
        self.memory.check()?;
        Ok(length)
    }

    /// As [`Self::plain_list`] for the elements of a set, which are hashed and so take more memory.
    pub fn set(&mut self) -> Result<usize, ValueError> {
        let length = self.parts()?;
        self.memory.set(length);
        self.memory.check()?;
        Ok(length)
    }

    /// As [`Self::plain_list`] for the parts of something that is not made as a list: a date, a record.
    #[inline]
    pub fn parts(&mut self) -> Result<usize, ValueError> {
        if let Some(length) = self.short_length(FIX_LIST) {
            return self.descend(length).map(|()| length);
        }
        let offset = self.position;
        match self.token()? {
            Token::List(length) => Ok(length),
            token => Err(unexpected(offset, "a list", token)),
        }
    }

    /// The bare map inside an extension type, which is not numbered; [`Self::end`] is due as always.
    #[inline]
    pub fn plain_dict(&mut self) -> Result<usize, ValueError> {
        if let Some(length) = self.short_length(FIX_DICT) {
            self.descend(2 * length)?;
            self.memory.fields(length);
            return self.memory.check().map(|()| length);
        }
        let offset = self.position;
        match self.plain_token()? {
            Token::Dict(length) => Ok(length),
            token => Err(unexpected(offset, "a dict", token)),
        }
    }

    /// The length of a list or dict of 15 at most, if one comes next: without a token, as most come.
    #[inline]
    fn short_length(&mut self, tag: u8) -> Option<usize> {
        let next = *self.bytes[..self.end].get(self.position)?;
        (next & 0xf0 == tag).then(|| {
            self.position += 1;
            usize::from(next & 0x0f)
        })
    }

    /// A name, inside an extension type.
    pub fn str(&mut self) -> Result<&'a str, ValueError> {
        let offset = self.position;
        match self.token()? {
            Token::Str(text) => Ok(text),
            token => Err(unexpected(offset, "text", token)),
        }
    }

    /// A byte string, inside an extension type.
    pub fn bytes(&mut self) -> Result<&'a [u8], ValueError> {
        let offset = self.position;
        match self.token()? {
            Token::Bytes(bytes) => Ok(bytes),
            token => Err(unexpected(offset, "bytes", token)),
        }
    }

    /// An integer, inside an extension type.
    pub fn int(&mut self) -> Result<i64, ValueError> {
        let offset = self.position;
        match self.token()? {
            Token::Int(value) => Ok(value),
            token => Err(unexpected(offset, "an integer", token)),
        }
    }

    /// An integer of `T`'s range, inside an extension type.
    pub fn small<T: TryFrom<i64>>(&mut self, what: &'static str) -> Result<T, ValueError> {
        let offset = self.position;
        let value = self.int()?;
        T::try_from(value).map_err(|_| ValueError::Invalid { offset, what, reason: "a number out of range" })
    }

    /// A floating-point number, inside an extension type.
    pub fn float(&mut self) -> Result<f64, ValueError> {
        let offset = self.position;
        match self.token()? {
            Token::Float(value) => Ok(value),
            token => Err(unexpected(offset, "a float", token)),
        }
    }

    /// The number a reference names: one of those that began before it.
    pub fn reference(&mut self, length: usize) -> Result<u32, ValueError> {
        let offset = self.position;
        let enclosing = self.open(length)?;
        let number = self.int()?;
        self.close(enclosing)?;
        let known = u32::try_from(number).ok().filter(|number| *number < self.numbered);
        known.ok_or(ValueError::DanglingReference { offset, number: number as u64 })
    }

    /// The index of a buffer. Each is used once, in order: bytes that use one buffer a thousand times would become a
    /// thousand copies.
    pub fn buffer_index(&mut self) -> Result<u64, ValueError> {
        let offset = self.position;
        let index = self.small("array")?;
        if index != self.buffers {
            return Err(ValueError::Invalid {
                offset,
                what: "array",
                reason: "its buffer is not the next one",
            });
        }
        self.buffers += 1;
        Ok(index)
    }

    /// The next element inside the body of an extension type, where lists and dicts are not numbered.
    #[inline]
    pub fn plain_token(&mut self) -> Result<Token<'a>, ValueError> {
        let token = self.token()?;
        match token {
            Token::List(length) => self.memory.list(length),
            Token::Dict(length) => self.memory.fields(length),
            _ => return Ok(token),
        }
        self.memory.check()?;
        Ok(token)
    }

    #[inline]
    fn token(&mut self) -> Result<Token<'a>, ValueError> {
        let tag = self.byte()?;
        Ok(match tag {
            0x00..=0x7f => Token::Int(tag.into()),
            0xe0..=0xff => Token::Int(i64::from(tag as i8)),
            0xa0..=0xbf => self.text(usize::from(tag & 0x1f))?,
            0x80..=0x8f => self.dict(usize::from(tag & 0x0f))?,
            0x90..=0x9f => self.list(usize::from(tag & 0x0f))?,
            0xc0 => Token::None,
            0xc2 | 0xc3 => Token::Bool(tag == 0xc3),
            0xcb => Token::Float(f64::from_be_bytes(self.take()?)),
            0xcc => Token::Int(self.byte()?.into()),
            0xcd => Token::Int(u16::from_be_bytes(self.take()?).into()),
            0xce => Token::Int(u32::from_be_bytes(self.take()?).into()),
            0xcf => unsigned(u64::from_be_bytes(self.take()?)),
            _ => self.long_token(tag)?,
        })
    }

    fn long_token(&mut self, tag: u8) -> Result<Token<'a>, ValueError> {
        Ok(match tag {
            0xc4 => self.byte_string(1)?,
            0xc5 => self.byte_string(2)?,
            0xc6 => self.byte_string(4)?,
            0xc7 => self.ext(1)?,
            0xc8 => self.ext(2)?,
            0xc9 => self.ext(4)?,
            0xca => Token::Float(f32::from_be_bytes(self.take()?).into()),
            0xd0 => Token::Int(i8::from_be_bytes(self.take()?).into()),
            0xd1 => Token::Int(i16::from_be_bytes(self.take()?).into()),
            0xd2 => Token::Int(i32::from_be_bytes(self.take()?).into()),
            0xd3 => Token::Int(i64::from_be_bytes(self.take()?)),
            0xd4..=0xd8 => self.ext_of(1 << (tag - 0xd4))?,
            0xd9 => self.long_text(1)?,
            0xda => self.long_text(2)?,
            0xdb => self.long_text(4)?,
            0xdc => self.long_list(2)?,
            0xdd => self.long_list(4)?,
            0xde => self.long_dict(2)?,
            0xdf => self.long_dict(4)?,
            _ => {
                let (offset, found) = (self.position - 1, "a byte that MessagePack never uses");
                return Err(ValueError::Unexpected { offset, expected: "a value", found });
            }
        })
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, ValueError> {
        let [byte] = self.take()?;
        Ok(byte)
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let rest = &self.bytes[self.position..self.end];
        let Some(bytes) = rest.first_chunk::<N>() else { return Err(self.truncated(N)) };
        self.position += N;
        Ok(*bytes)
    }

    fn length(&mut self, length_bytes: usize) -> Result<usize, ValueError> {
        Ok(match length_bytes {
            1 => self.byte()?.into(),
            2 => u16::from_be_bytes(self.take()?).into(),
            _ => u32::from_be_bytes(self.take()?) as usize,
        })
    }

    #[inline]
    fn text(&mut self, length: usize) -> Result<Token<'a>, ValueError> {
        let offset = self.position;
        let bytes = self.raw(length)?;
        std::str::from_utf8(bytes).map(Token::Str).map_err(|_| ValueError::NotUtf8 { offset })
    }

    fn long_text(&mut self, length_bytes: usize) -> Result<Token<'a>, ValueError> {
        let length = self.length(length_bytes)?;
        self.text(length)
    }

    fn byte_string(&mut self, length_bytes: usize) -> Result<Token<'a>, ValueError> {
        let length = self.length(length_bytes)?;
        let bytes = self.raw(length)?;
        self.memory.bytes(length);
        self.memory.check()?;
        Ok(Token::Bytes(bytes))
    }

    fn ext(&mut self, length_bytes: usize) -> Result<Token<'a>, ValueError> {
        let length = self.length(length_bytes)?;
        self.ext_of(length)
    }

    fn ext_of(&mut self, length: usize) -> Result<Token<'a>, ValueError> {
        let code = self.byte()? as i8;
        self.memory.ext(code);
        self.memory.check()?;
        Ok(Token::Ext(code, length))
    }

    fn long_list(&mut self, length_bytes: usize) -> Result<Token<'a>, ValueError> {
        let length = self.length(length_bytes)?;
        self.list(length)
    }

    fn long_dict(&mut self, length_bytes: usize) -> Result<Token<'a>, ValueError> {
        let length = self.length(length_bytes)?;
        self.dict(length)
    }

    #[inline]
    fn list(&mut self, length: usize) -> Result<Token<'a>, ValueError> {
        self.descend(length)?;
        Ok(Token::List(length))
    }

    #[inline]
    fn dict(&mut self, length: usize) -> Result<Token<'a>, ValueError> {
        self.descend(length.saturating_mul(2))?;
        Ok(Token::Dict(length))
    }

    #[inline]
    fn descend(&mut self, elements: usize) -> Result<(), ValueError> {
        // Every element takes a byte at least.
        if elements > self.end - self.position {
            return Err(self.truncated(elements));
        }
        if self.depth == DEPTH_MAX {
            return Err(ValueError::TooDeep { limit: DEPTH_MAX });
        }
        self.depth += 1;
        Ok(())
    }

    const fn truncated(&self, needed: usize) -> ValueError {
        let left = self.end - self.position;
        ValueError::Truncated { offset: self.position, needed_bytes: needed.saturating_sub(left) as u64 }
    }
}

fn unsigned(value: u64) -> Token<'static> {
    i64::try_from(value).map_or(Token::Uint(value), Token::Int)
}

fn unexpected(offset: usize, expected: &'static str, token: Token<'_>) -> ValueError {
    ValueError::Unexpected { offset, expected, found: token.name() }
}
