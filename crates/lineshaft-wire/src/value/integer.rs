//! Integers of any size in two's complement, most significant byte first.

use std::borrow::Cow;

/// Above this, an integer is shown in hexadecimal: the way to decimal takes quadratic time.
const DECIMAL_BYTES_MAX: usize = 1024;
const CHUNK: u64 = 1_000_000_000_000_000_000;
const CHUNK_DIGITS: usize = 18;

/// The same integer in the fewest bytes; empty for 0.
pub fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let repeats_sign = (*first == 0 && *second < 0x80) || (*first == 0xff && *second >= 0x80);
        if !repeats_sign {
            return rest;
        }
        rest = &rest[1..];
    }
    if rest == [0] { &[] } else { rest }
}

/// The integer, if it fits.
pub(super) fn to_i128(bytes: &[u8]) -> Option<i128> {
    let bytes = minimal(bytes);
    let start = 16_usize.checked_sub(bytes.len())?;
    let mut wide = [if is_negative(bytes) { 0xff } else { 0 }; 16];
    wide[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

/// The integer in decimal, or in hexadecimal above 1 KiB.
pub fn decimal_text(bytes: &[u8]) -> String {
    if let Some(value) = to_i128(bytes) {
        return value.to_string();
    }
    let sign = if is_negative(bytes) { "-" } else { "" };
    let magnitude = magnitude(bytes);
    if magnitude.len() > DECIMAL_BYTES_MAX {
        return format!("{sign}0x{}", hexadecimal(&magnitude));
    }
    format!("{sign}{}", decimal(&magnitude))
}

fn is_negative(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| *byte >= 0x80)
}

fn magnitude(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !is_negative(bytes) {
        return Cow::Borrowed(bytes);
    }
    let mut inverted: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    for byte in inverted.iter_mut().rev() {
        let (sum, carries) = byte.overflowing_add(1);
        *byte = sum;
        if !carries {
            break;
        }
    }
    Cow::Owned(inverted)
}

fn hexadecimal(magnitude: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(magnitude.len() * 2);
    for byte in magnitude.iter().skip_while(|byte| **byte == 0) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn decimal(magnitude: &[u8]) -> String {
    let mut limbs: Vec<u32> = magnitude.rchunks(4).rev().map(limb).collect();
    let mut chunks = Vec::new();
    while !limbs.is_empty() {
        chunks.push(divide(&mut limbs));
        let zeros = limbs.iter().take_while(|limb| **limb == 0).count();
        limbs.drain(..zeros);
    }
    let first = chunks.pop().unwrap_or(0).to_string();
    chunks.iter().rev().fold(first, |text, chunk| format!("{text}{chunk:0CHUNK_DIGITS$}"))
}

fn limb(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |limb, byte| (limb << 8) | u32::from(*byte))
}

/// Divides by [`CHUNK`] in place, returns the remainder.
fn divide(limbs: &mut [u32]) -> u64 {
    let mut remainder = 0_u128;
    for limb in limbs {
        let dividend = (remainder << 32) | u128::from(*limb);
        *limb = (dividend / u128::from(CHUNK)) as u32;
        remainder = dividend % u128::from(CHUNK);
    }
    remainder as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimal_keeps_the_sign() {
        assert_eq!(minimal(&[0, 0, 0x7f]), [0x7f]);
        assert_eq!(minimal(&[0, 0x80]), [0, 0x80]);
        assert_eq!(minimal(&[0xff, 0xff, 0x80]), [0x80]);
        assert_eq!(minimal(&[0xff, 0x7f]), [0xff, 0x7f]);
        assert!(minimal(&[0]).is_empty());
    }

    #[test]
    fn numbers_beyond_128_bits_are_shown_in_decimal() {
        let mut two_to_200 = vec![1];
        two_to_200.extend([0; 25]);
        let expected = "1606938044258990275541962092341162602522202993782792835301376";
        assert_eq!(decimal_text(&two_to_200), expected);
        let mut negative = vec![0xff];
        negative.extend([0; 25]);
        assert_eq!(decimal_text(&negative), format!("-{expected}"));
    }

    #[test]
    fn huge_numbers_are_shown_in_hexadecimal() {
        let text = decimal_text(&[0x12; 1025]);
        assert!(text.starts_with("0x1212") && text.len() == 2052);
    }
}
