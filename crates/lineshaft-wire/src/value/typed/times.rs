//! Dates and times as text in the form of ISO 8601 and RFC 9557, which the types of date libraries read.

use std::fmt::{self, Display, Formatter};

use crate::value::{Date, DateTime, Time, Zone};

/// Displays as `2026-01-02`.
pub(super) struct DateText(pub(super) Date);

/// Displays as `03:04:05.000006+02:00`.
pub(super) struct TimeText<'a>(pub(super) &'a Time);

/// Displays as `2026-01-02T03:04:05+02:00`, `…05[Europe/Berlin]`.
pub(super) struct DateTimeText<'a>(pub(super) &'a DateTime);

impl Display for DateText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Date { year, month, day } = self.0;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Display for TimeText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Time { hour, minute, second, microsecond, ref zone, .. } = *self.0;
        write!(f, "{hour:02}:{minute:02}:{second:02}")?;
        if microsecond > 0 {
            write!(f, ".{microsecond:06}")?;
        }
        match zone {
            Zone::Naive => Ok(()),
            Zone::Offset { microseconds, .. } => offset(*microseconds, f),
            Zone::Key(key) => write!(f, "[{key}]"),
        }
    }
}

impl Display for DateTimeText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}", DateText(self.0.date), TimeText(&self.0.time))
    }
}

fn offset(microseconds: i64, f: &mut Formatter<'_>) -> fmt::Result {
    let sign = if microseconds < 0 { '-' } else { '+' };
    let seconds = microseconds.unsigned_abs() / 1_000_000;
    write!(f, "{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60)?;
    if !seconds.is_multiple_of(60) {
        write!(f, ":{:02}", seconds % 60)?;
    }
    Ok(())
}
