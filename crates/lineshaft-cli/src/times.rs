//! Times for people (`3 s ago`) and for programs (RFC 3339).

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

pub(crate) use lineshaft_insight::choice::text::took;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The wall clock in Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// `3 s ago`, `in 2 min`.
pub(crate) fn relative(at_ms: u64, now_ms: u64) -> String {
    if at_ms > now_ms {
        return format!("in {}", length(at_ms - now_ms));
    }
    format!("{} ago", length(now_ms - at_ms))
}

/// A length of time in its largest unit.
pub(crate) fn length(ms: u64) -> String {
    match ms {
        0..SECOND => format!("{ms} ms"),
        SECOND..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => format!("{} h", ms / HOUR),
        _ => format!("{} d", ms / DAY),
    }
}

/// `2026-01-31T08:00:00.123Z`.
pub(crate) fn rfc3339(at_ms: u64) -> String {
    let timestamp = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| at_ms.to_string(), |at| format!("{at:.3}"))
}

/// `2026-01-31T08:00:00.123456Z`.
pub(crate) fn rfc3339_us(at_us: u64) -> String {
    let timestamp = i64::try_from(at_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    timestamp.map_or_else(|| at_us.to_string(), |at| format!("{at:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_show_in_their_largest_unit() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (7_200_000, "2 h"),
            (900 * DAY, "900 d"),
        ] {
            assert_eq!(length(ms), text);
        }
        assert_eq!((relative(1_000, 4_000), relative(5_000, 4_000)), ("3 s ago".into(), "in 1 s".into()));
    }

    #[test]
    fn programs_get_milliseconds_in_utc() {
        assert_eq!(rfc3339(1_700_000_000_120), "2023-11-14T22:13:20.120Z");
        assert_eq!(rfc3339(u64::MAX), u64::MAX.to_string());
    }
}
