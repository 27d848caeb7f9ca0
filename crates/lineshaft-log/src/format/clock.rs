//! Times as texts.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Where the clock of a text hangs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Zone {
    /// Nowhere: `2026-11-28T05:17:22.123456Z`.
    #[default]
    Utc,
    /// Where the machine says it is: `2026-11-28T06:17:22.123456+01:00`.
    Local,
}

/// Writes times. What two of them have in common, if they are of one second, is written once.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    is_utc: bool,
    /// The second of what is in `text`.
    second: i64,
    text: String,
}

const FRACTION: std::ops::Range<usize> = 20..26;

impl Clock {
    pub(super) fn new(zone: Zone) -> Self {
        let is_utc = zone == Zone::Utc;
        let zone = if is_utc { TimeZone::UTC } else { TimeZone::system() };
        Self { zone, is_utc, second: i64::MIN, text: String::new() }
    }

    /// An instant in nanoseconds since 1970.
    pub(super) fn text(&mut self, time_ns: i64) -> &str {
        let second = time_ns.div_euclid(1_000_000_000);
        let micros = time_ns.rem_euclid(1_000_000_000) / 1_000;
        if second != self.second {
            let form = if self.is_utc { "%Y-%m-%dT%H:%M:%S.000000Z" } else { "%Y-%m-%dT%H:%M:%S.000000%:z" };
            // Every number of nanoseconds of 64 bits is a time that there is.
            let instant = Timestamp::from_second(second).unwrap_or_default();
            self.text = instant.to_zoned(self.zone.clone()).strftime(form).to_string();
            self.second = second;
        }
        let mut digits = [b'0'; 6];
        let mut rest = micros;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let digits = std::str::from_utf8(&digits).unwrap_or("000000");
        self.text.replace_range(FRACTION, digits);
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_microseconds() {
        let mut clock = Clock::new(Zone::Utc);
        for (time_ns, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_842_000_123_456_789, "2026-11-28T05:00:00.123456Z"),
            (1_795_842_000_000_001_999, "2026-11-28T05:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775Z"),
        ] {
            assert_eq!(clock.text(time_ns), expected);
        }
    }
}
