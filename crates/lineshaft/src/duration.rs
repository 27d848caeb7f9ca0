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
/// The place of seconds among them, for numbers without a unit.
const SECONDS: usize = 4;
/// Units of a size, bytes first.
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
/// Digits of one number: as many as the largest size has.
const DIGITS_MAX: usize = 19;

/// Reads a duration; the error names `option`, the value and the accepted forms.
pub fn parse_duration(option: &str, text: &str) -> Result<Duration, Error> {
    match read_duration(text.trim().as_bytes()) {
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

/// A size as [`parse_size`] reads it, in the largest unit that gives a whole number.
pub fn format_size(bytes: u64) -> String {
    let units = SIZE_UNITS[..4].iter().rev();
    let whole = |unit: &u128| bytes > 0 && u128::from(bytes) % unit == 0;
    match units.into_iter().find(|(_, unit)| whole(unit)) {
        Some((name, unit)) if *unit > 1 => format!("{}{name}", u128::from(bytes) / unit),
        _ => bytes.to_string(),
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

/// The duration of a literal, at compile time too, for `#[lineshaft::task(timeout = "30s")]`. Panics if it is none.
pub const fn literal(text: &str) -> Duration {
    match read_duration(text.as_bytes()) {
        Some(nanos) if nanos <= DURATION_MAX.as_nanos() => duration_of(nanos),
        _ => panic!("not a duration: write \"30s\", \"1h30m\" or a number of seconds, at most ten years"),
    }
}

const fn read_duration(text: &[u8]) -> Option<u128> {
    let Some(first) = take_part(text, 0) else { return None };
    if first.unit.0 == first.unit.1 {
        return if first.end == text.len() { first.times(DURATION_UNITS[SECONDS].1) } else { None };
    }
    let (mut part, mut least, mut total) = (first, 0, 0);
    loop {
        let Some(unit) = position(text, part.unit, &DURATION_UNITS, least) else { return None };
        let Some(nanos) = part.times(DURATION_UNITS[unit].1) else { return None };
        total = match nanos.checked_add(total) {
            Some(sum) => sum,
            None => return None,
        };
        least = unit + 1;
        if part.end == text.len() {
            return Some(total);
        }
        let Some(next) = take_part(text, part.end) else { return None };
        part = next;
    }
}

fn read_size(text: &str) -> Option<u128> {
    let text = text.as_bytes();
    let part = take_part(text, 0).filter(|part| part.end == text.len())?;
    let unit = match part.unit {
        (start, end) if start == end => 0,
        unit => position(text, unit, &SIZE_UNITS, 0)?,
    };
    if unit == 0 && part.decimals > 0 {
        return None;
    }
    part.times(SIZE_UNITS[unit].1)
}

/// The place of the unit at `start..end` of `text` in `units`, from the place `least` on.
const fn position(
    text: &[u8],
    (start, end): (usize, usize),
    units: &[(&str, u128)],
    least: usize,
) -> Option<usize> {
    let mut place = least;
    while place < units.len() {
        if is_equal(text, start, end, units[place].0.as_bytes()) {
            return Some(place);
        }
        place += 1;
    }
    None
}

const fn is_equal(text: &[u8], start: usize, end: usize, other: &[u8]) -> bool {
    let mut index = 0;
    while index < other.len() && start + index < end && text[start + index] == other[index] {
        index += 1;
    }
    index == other.len() && start + index == end
}

/// A decimal number, exactly, with its unit: `1.5m`.
struct Part {
    digits: u128,
    decimals: u32,
    /// Where the unit begins and ends; empty if there is none.
    unit: (usize, usize),
    /// Where the next part begins.
    end: usize,
}

impl Part {
    const fn times(&self, unit: u128) -> Option<u128> {
        match self.digits.checked_mul(unit) {
            Some(product) => Some(product / 10u128.pow(self.decimals)),
            None => None,
        }
    }
}

/// The number and unit that begin at `start`.
const fn take_part(text: &[u8], start: usize) -> Option<Part> {
    let (mut at, mut digits, mut count, mut point) = (start, 0_u128, 0, None);
    while at < text.len() && (text[at].is_ascii_digit() || text[at] == b'.') {
        if text[at] == b'.' {
            if point.is_some() {
                return None;
            }
            point = Some(at);
        } else {
            if count == DIGITS_MAX {
                return None;
            }
            digits = digits * 10 + (text[at] - b'0') as u128;
            count += 1;
        }
        at += 1;
    }
    let decimals = match point {
        None => 0,
        // Digits on both sides.
        Some(point) if point > start && point + 1 < at => (at - point - 1) as u32,
        Some(_) => return None,
    };
    if count == 0 {
        return None;
    }
    let unit_start = skip_spaces(text, at);
    let mut unit_end = unit_start;
    while unit_end < text.len() && text[unit_end].is_ascii_alphabetic() {
        unit_end += 1;
    }
    Some(Part { digits, decimals, unit: (unit_start, unit_end), end: skip_spaces(text, unit_end) })
}

const fn skip_spaces(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && text[at].is_ascii_whitespace() {
        at += 1;
    }
    at
}

const fn duration_of(nanos: u128) -> Duration {
    Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
}

/// Characters of a value that are shown.
const SHOWN: usize = 80;

fn bad(option: &str, value: &str, kind: &'static str, accepted: &'static str) -> Error {
    let (shown, rest) = value.split_at(value.char_indices().nth(SHOWN).map_or(value.len(), |(at, _)| at));
    let value = if rest.is_empty() { shown.to_owned() } else { format!("{shown}…") };
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
    fn a_value_that_is_cut_shows_that_it_is() {
        let shown = |count: usize| match parse_duration("timeout", &"é".repeat(count)) {
            Err(Error::BadOption { value, .. }) => value,
            other => panic!("{other:?}"),
        };
        assert_eq!((shown(80), shown(81)), ("é".repeat(80), "é".repeat(80) + "…"));
    }

    #[test]
    fn literals_are_read_at_compile_time() {
        const TIMEOUT: Duration = literal("1h30m");
        assert_eq!(TIMEOUT, Duration::from_secs(5_400));
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
        // More than fits, as a number and as a sum.
        for text in ["9999999999999999999w", "500000000000000000w500000000000000000d", "99999999999999999999"]
        {
            assert!(parse_duration("run_after", text).is_err(), "{text}");
        }
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
    fn sizes_are_written_as_they_are_read() {
        for (bytes, text) in
            [(0, "0"), (1_000, "1000"), (1 << 10, "1KiB"), (10 << 30, "10GiB"), (3 << 29, "1536MiB")]
                .into_iter()
                .chain([(999_999_969_000_000_000, "999999969000000000"), (1 << 63, "8589934592GiB")])
        {
            assert_eq!(format_size(bytes), text);
            assert_eq!(parse_size("", text).unwrap(), bytes);
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
