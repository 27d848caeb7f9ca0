//! Durations and sizes as people write them: `30s`, `1h30m`, `512MiB`.

use std::fmt::Write;
use std::time::Duration;

use crate::Error;

/// The longest duration that is accepted anywhere: ten years.
pub const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The forms of a duration, for errors and help.
pub const DURATION_FORMS: &str = "a number of seconds (`30`, `0.5`), or numbers with ms, s, m, h, d, w, largest first (`250ms`, `1h30m`, `7d`)";
/// The forms of a size, for errors and help.
pub const SIZE_FORMS: &str =
    "a number of bytes (`4096`), or a number with KiB, MiB, GiB, kB, MB, GB (`512MiB`)";

const NANOS_PER_MS: u128 = 1_000_000;
/// Units of a duration in nanoseconds, largest first.
const DURATION_UNITS: [(&str, u128); 6] = [
    ("w", 7 * 86_400_000 * NANOS_PER_MS),
    ("d", 86_400_000 * NANOS_PER_MS),
    ("h", 3_600_000 * NANOS_PER_MS),
    ("m", 60_000 * NANOS_PER_MS),
    ("s", 1_000 * NANOS_PER_MS),
    ("ms", NANOS_PER_MS),
];
const SIZE_UNITS: [(&str, u128); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];
/// Digits of one number; more than anything sensible needs, few enough never to overflow.
const DIGITS_MAX: usize = 15;

/// Reads a duration; the error names `option`, the value and the accepted forms.
pub fn parse_duration(option: &str, text: &str) -> Result<Duration, Error> {
    match read_duration(text.trim()) {
        Some(nanos) if nanos <= DURATION_MAX.as_nanos() => Ok(duration_of(nanos)),
        Some(_) => Err(bad(option, text, "within ten years", DURATION_FORMS)),
        None => Err(bad(option, text, "a duration", DURATION_FORMS)),
    }
}

/// Reads a size in bytes, at most 2^63; the error names `option`, the value and the accepted forms.
pub fn parse_size(option: &str, text: &str) -> Result<u64, Error> {
    match read_size(text.trim()) {
        Some(bytes) if bytes <= 1 << 63 => Ok(bytes as u64),
        Some(_) => Err(bad(option, text, "below 2^63 bytes", SIZE_FORMS)),
        None => Err(bad(option, text, "a size", SIZE_FORMS)),
    }
}

/// A duration in the shortest of these forms, exact to the millisecond: `1h30m`, `250ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let mut left = duration.as_millis() * NANOS_PER_MS;
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, nanos) in DURATION_UNITS {
        if left >= nanos {
            let _ = write!(text, "{}{unit}", left / nanos);
            left %= nanos;
        }
    }
    text
}

fn read_duration(text: &str) -> Option<u128> {
    let (number, unit, mut rest) = take_part(text)?;
    if unit.is_empty() {
        return rest.is_empty().then(|| number.times(DURATION_UNITS[4].1)).flatten();
    }
    let mut at = position(unit, &DURATION_UNITS)?;
    let mut total = number.times(DURATION_UNITS[at].1)?;
    while !rest.is_empty() {
        let (number, unit, tail) = take_part(rest)?;
        let next = position(unit, &DURATION_UNITS).filter(|next| *next > at)?;
        total += number.times(DURATION_UNITS[next].1)?;
        (at, rest) = (next, tail);
    }
    Some(total)
}

fn read_size(text: &str) -> Option<u128> {
    let (number, unit, rest) = take_part(text)?;
    let unit = if unit.is_empty() { "B" } else { unit };
    if !rest.is_empty() || (unit == "B" && number.decimals > 0) {
        return None;
    }
    number.times(SIZE_UNITS[position(unit, &SIZE_UNITS)?].1)
}

fn position(unit: &str, units: &[(&str, u128)]) -> Option<usize> {
    units.iter().position(|(name, _)| *name == unit)
}

/// A decimal number, exactly.
struct Number {
    digits: u128,
    decimals: u32,
}

impl Number {
    fn times(&self, unit: u128) -> Option<u128> {
        Some(self.digits.checked_mul(unit)? / 10u128.pow(self.decimals))
    }
}

/// The number and unit at the beginning of `text`, and what follows.
fn take_part(text: &str) -> Option<(Number, &str, &str)> {
    let (number, rest) = text.split_at(end_of(text, |byte| byte.is_ascii_digit() || byte == b'.'));
    let rest = rest.trim_start();
    let (unit, rest) = rest.split_at(end_of(rest, |byte| byte.is_ascii_alphabetic()));
    Some((read_number(number)?, unit, rest.trim_start()))
}

fn end_of(text: &str, is_part: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len())
}

fn read_number(text: &str) -> Option<Number> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_complete = !whole.is_empty() && (!fraction.is_empty() || !text.contains('.'));
    if !is_complete || whole.len() + fraction.len() > DIGITS_MAX || fraction.contains('.') {
        return None;
    }
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some(Number { digits, decimals: fraction.len() as u32 })
}

fn duration_of(nanos: u128) -> Duration {
    Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
}

fn bad(option: &str, value: &str, kind: &'static str, accepted: &'static str) -> Error {
    let value = value.chars().take(80).collect();
    Error::BadOption { option: option.to_owned(), value, kind, accepted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected_ms: u64) {
        assert_eq!(parse_duration("timeout", text).unwrap(), Duration::from_millis(expected_ms), "{text}");
    }

    fn check_bad(text: &str) {
        assert!(parse_duration("timeout", text).is_err(), "{text}");
    }

    #[test]
    fn durations_read_in_every_form() {
        check("30s", 30_000);
        check("1h30m", 5_400_000);
        check("1h 30m", 5_400_000);
        check("250ms", 250);
        check("1.5m", 90_000);
        check("0.5", 500);
        check("30", 30_000);
        check(" 7d ", 7 * 86_400_000);
        check("2w1d", 15 * 86_400_000);
        check("0", 0);
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "s",
            "30 sekunds",
            "-1s",
            "1h1h",
            "1m1h",
            "1..5s",
            "1.s",
            ".5s",
            "1e3",
            "30S",
            "1h30",
            "١s",
            "∞",
        ] {
            check_bad(text);
        }
        check_bad("99999999999999999999999s");
        check_bad("999999999999999w");
    }

    #[test]
    fn the_error_names_option_value_and_forms() {
        let error = parse_duration("timeout", "30 sekunds").unwrap_err();
        assert_eq!(error.to_string(), "option `timeout`: \"30 sekunds\" is not a duration");
        assert_eq!(error.hint().unwrap(), format!("accepted: {DURATION_FORMS}"));
        let error = parse_duration("run_after", "11000d").unwrap_err();
        assert_eq!(error.to_string(), "option `run_after`: \"11000d\" is not within ten years");
    }

    #[test]
    fn sizes_read_in_every_form() {
        for (text, bytes) in
            [("4096", 4096), ("512MiB", 512 << 20), ("1.5 KiB", 1536), ("2GB", 2_000_000_000), ("7B", 7)]
        {
            assert_eq!(parse_size("memory", text).unwrap(), bytes, "{text}");
        }
        for text in ["", "MiB", "1.5", "1.5B", "512mib", "1MiB2KiB", "-1", "999999999999999GiB"] {
            assert!(parse_size("memory", text).is_err(), "{text}");
        }
    }

    #[test]
    fn formatted_durations_read_back() {
        for (ms, text) in [(0, "0s"), (5_400_000, "1h30m"), (250, "250ms"), (90_061_001, "1d1h1m1s1ms")] {
            let duration = Duration::from_millis(ms);
            assert_eq!(format_duration(duration), text);
            assert_eq!(parse_duration("x", text).unwrap(), duration);
        }
    }
}
