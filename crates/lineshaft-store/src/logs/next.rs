//! The number below which no record is kept any more, in a file of its own: where no block is left, nothing else tells which
//! numbers were given.

use crc32c::crc32c;

use super::store::DIRECTORY;
use crate::Error;
use crate::disk::{Disk, join, publish, read_if_there};

/// Its name in the directory.
pub(crate) const NAME: &str = "NEXT";

/// Writes it, durable on return.
pub(crate) fn write<D: Disk>(disk: &D, number: u64) -> Result<(), Error> {
    let text = text(number);
    let written = publish(disk, DIRECTORY, NAME, &[text.as_bytes()]);
    written.map_err(Error::io("write", &join(DIRECTORY, NAME), text.len() as u64))
}

/// The number that was written; 0 if there is none, or none that reads.
pub(crate) fn read<D: Disk>(disk: &D) -> Result<u64, Error> {
    let path = join(DIRECTORY, NAME);
    let Some(bytes) = read_if_there(disk, &path)? else { return Ok(0) };
    let number = parse(&bytes);
    if number.is_none() {
        tracing::warn!(path, "the number of the first log record that is kept does not read any more");
    }
    Ok(number.unwrap_or(0))
}

fn text(number: u64) -> String {
    format!("{number} {:08x}\n", crc32c(&number.to_le_bytes()))
}

fn parse(bytes: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(bytes).ok()?.split_once(' ')?.0.parse().ok()?;
    // As far from the greatest number as a block's must be.
    (text(number).as_bytes() == bytes && number < u64::MAX / 2).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_and_every_flipped_bit_is_noticed() {
        let bytes = text(40_961).into_bytes();
        assert_eq!(parse(&bytes), Some(40_961));
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bytes), None, "bit {bit}");
        }
        assert_eq!(parse(b""), None);
    }
}
