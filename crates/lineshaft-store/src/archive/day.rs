//! UTC days, which name the archive's files: a day has one, and more if it is a full one.

use std::fmt;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A UTC day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Day(u32);

impl Day {
    /// The day of a time in Unix milliseconds; the last day with a four-digit year for times beyond it.
    pub(crate) fn of(unix_ms: u64) -> Self {
        const LAST: u64 = 2_932_896;
        Self((unix_ms / DAY_MS).min(LAST) as u32)
    }

    /// The day with this file name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('-').collect();
        let [year, month, day] = parts[..] else { return None };
        let number = |text: &str| text.parse::<u32>().ok();
        let day = Self::from_date(number(year)?, number(month)?, number(day)?)?;
        // Only the one right spelling: other files are not ours.
        (day.to_string() == name).then_some(day)
    }

    /// Years from March on, as in "chrono-Compatible Low-Level Date Algorithms" by Howard Hinnant.
    fn from_date(year: u32, month: u32, day: u32) -> Option<Self> {
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let year = year - u32::from(month <= 2);
        let (era, year_of_era) = (year / 400, year % 400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        (era * 146_097 + day_of_era).checked_sub(719_468).map(Self)
    }

    fn date(self) -> (u32, u32, u32) {
        let days = self.0 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = (shifted_month + 2) % 12 + 1;
        (era * 400 + year_of_era + u32::from(month <= 2), month, day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A file of a day; those of a full one are numbered on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DayFile {
    pub(crate) day: Day,
    number: u32,
}

impl DayFile {
    pub(crate) fn first_of(day: Day) -> Self {
        Self { day, number: 0 }
    }

    /// The day's file after this one.
    pub(crate) fn next(self) -> Self {
        Self { number: self.number.saturating_add(1), ..self }
    }

    /// The file with this name: that of the day, or the day's with `.1` and so on behind it.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (day, number) = name.split_once('.').unwrap_or((name, "0"));
        let file = Self { day: Day::parse(day)?, number: number.parse().ok()? };
        (file.to_string() == name).then_some(file)
    }
}

impl fmt::Display for DayFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => self.day.fmt(f),
            number => write!(f, "{}.{number}", self.day),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_dates() {
        let check = |days: u64, expected: &str| {
            assert_eq!(Day::of(days * DAY_MS + 5).to_string(), expected);
            assert_eq!(Day::parse(expected), Some(Day::of(days * DAY_MS)));
        };
        check(0, "1970-01-01");
        check(59, "1970-03-01");
        check(10_957, "2000-01-01");
        check(11_016, "2000-02-29");
        check(20_451, "2025-12-29");
        check(2_932_896, "9999-12-31");
        assert_eq!(Day::of(u64::MAX).to_string(), "9999-12-31");
    }

    #[test]
    fn every_day_comes_back_from_its_name() {
        for days in (0..=2_932_896).step_by(97) {
            assert_eq!(Day::parse(&Day(days).to_string()), Some(Day(days)));
        }
    }

    #[test]
    fn other_names_are_no_days() {
        for name in ["", "2025-02-30", "2025-1-01", "1969-12-31", "2025-12-29.tmp", "+025-12-29"] {
            assert_eq!(Day::parse(name), None, "{name}");
            assert_eq!(DayFile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn files_of_a_day_follow_one_another_and_come_before_the_next_day() {
        let mut file = DayFile::first_of(Day(20_451));
        let mut names = Vec::new();
        for _ in 0..12 {
            assert_eq!(DayFile::parse(&file.to_string()), Some(file));
            assert!(file < file.next() && file.next() < DayFile::first_of(Day(20_452)));
            names.push(file.to_string());
            file = file.next();
        }
        assert_eq!((&*names[0], &*names[1], &*names[11]), ("2025-12-29", "2025-12-29.1", "2025-12-29.11"));
        for name in
            ["2025-12-29.0", "2025-12-29.01", "2025-12-29.", "2025-12-29.1.2", "2025-12-29.4294967296"]
        {
            assert_eq!(DayFile::parse(name), None, "{name}");
        }
    }
}
