//! Numbers and texts as bytes: LEB128 varints, lengths before contents.

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A number near zero of either sign.
    pub(crate) fn i64(&mut self, value: i64) {
        self.u64(((value << 1) ^ (value >> 63)) as u64);
    }

    /// A time by its distance from another.
    pub(crate) fn time(&mut self, time: u64, base: u64) {
        self.i64(time.wrapping_sub(base) as i64);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn fixed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, encode: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            encode(self, value);
        }
    }
}

/// Bytes that are not what was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

pub(crate) type Decoded<T> = Result<T, Malformed>;

/// Takes values from the front of a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Decoded<u8> {
        Ok(self.fixed(1)?[0])
    }

    pub(crate) fn u64(&mut self) -> Decoded<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(crate) fn u32(&mut self) -> Decoded<u32> {
        self.u64()?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn length(&mut self) -> Decoded<usize> {
        self.u64()?.try_into().map_err(|_| Malformed)
    }

    /// A count of things that take a byte each at least, so that a bad one never reserves much memory.
    pub(crate) fn count(&mut self) -> Decoded<usize> {
        let count = self.length()?;
        if count <= self.rest.len() { Ok(count) } else { Err(Malformed) }
    }

    pub(crate) fn i64(&mut self) -> Decoded<i64> {
        let value = self.u64()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn time(&mut self, base: u64) -> Decoded<u64> {
        Ok(base.wrapping_add(self.i64()? as u64))
    }

    pub(crate) fn fixed(&mut self, length: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        self.fixed(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let length = self.length()?;
        self.fixed(length)
    }

    pub(crate) fn text(&mut self) -> Decoded<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    pub(crate) fn option<T>(&mut self, decode: impl FnOnce(&mut Self) -> Decoded<T>) -> Decoded<Option<T>> {
        match self.u8()? {
            0 => Ok(None),
            1 => decode(self).map(Some),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut encoder = Encoder::default();
            encoder.u64(value);
            encoder.i64(value as i64);
            encoder.time(value, 1_790_000_000_000);
            let mut decoder = Decoder::new(&encoder.bytes);
            assert_eq!((decoder.u64(), decoder.i64()), (Ok(value), Ok(value as i64)));
            assert_eq!(decoder.time(1_790_000_000_000), Ok(value));
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn hostile_lengths_are_refused() {
        assert_eq!(Decoder::new(&[0xff; 11]).u64(), Err(Malformed));
        assert_eq!(Decoder::new(&[5, 1]).bytes(), Err(Malformed));
        assert_eq!(Decoder::new(&[200, 200, 3]).count(), Err(Malformed));
        assert_eq!(Decoder::new(&[2]).option(Decoder::u8), Err(Malformed));
    }
}
