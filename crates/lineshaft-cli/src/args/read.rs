//! How values on the command line are read, and what is said about those that do not read.

use std::time::Duration;

use jiff::Timestamp;
use lineshaft::config::did_you_mean;
use lineshaft::duration::{DURATION_FORMS, SIZE_FORMS, parse_duration, parse_size};
use lineshaft_wire::JobState;
use lineshaft_wire::code::{CODES, Code};
use lineshaft_wire::message::{NAME_FORM, RunAfter, is_name};

/// Forms of a point in time.
const WHEN_FORMS: &str =
    "a duration such as 90s, 1h30m or 7d, or a time with its zone such as 2026-01-31T08:00Z";

/// What other queues call the states of jobs.
const OTHER_WORDS: [(&str, JobState); 16] = [
    ("waiting", JobState::Available),
    ("queued", JobState::Available),
    ("ready", JobState::Available),
    ("delayed", JobState::Scheduled),
    ("blocked", JobState::Pending),
    ("active", JobState::Running),
    ("started", JobState::Running),
    ("executing", JobState::Running),
    ("retrying", JobState::Retryable),
    ("success", JobState::Completed),
    ("succeeded", JobState::Completed),
    ("done", JobState::Completed),
    ("failed", JobState::Discarded),
    ("dead", JobState::Discarded),
    ("canceled", JobState::Cancelled),
    ("revoked", JobState::Cancelled),
];

/// A point in time: so far from now, or a time of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So far from now, in the direction that makes sense.
    Away(Duration),
    /// Unix milliseconds.
    At(u64),
}

impl When {
    /// As a time to come.
    pub(crate) fn ahead(self) -> RunAfter {
        match self {
            Self::Away(distance) => RunAfter::In(distance.as_millis() as u64),
            Self::At(ms) => RunAfter::At(ms),
        }
    }

    /// As a time that has passed, in Unix milliseconds.
    pub(crate) fn before(self, now_ms: u64) -> u64 {
        match self {
            Self::Away(distance) => now_ms.saturating_sub(distance.as_millis() as u64),
            Self::At(ms) => ms,
        }
    }
}

/// A number from 1 to 9, or a word for one.
pub(crate) fn priority(text: &str) -> Result<u8, String> {
    let number = match text {
        "high" => Some(2),
        "normal" => Some(5),
        "low" => Some(8),
        _ => text.parse().ok(),
    };
    number
        .filter(|number| (1..=9).contains(number))
        .ok_or_else(|| "accepted: 1 (first) to 9, high, normal or low".to_owned())
}

/// The name of a queue or a task.
pub(crate) fn name(text: &str) -> Result<String, String> {
    if is_name(text) { Ok(text.to_owned()) } else { Err(format!("accepted: {NAME_FORM}")) }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration("duration", text).map_err(|_| format!("accepted: {}", DURATION_FORMS.replace('`', "")))
}

/// How long an attempt may take, if there is a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Option<Duration>);

/// A duration, or `none`.
pub(crate) fn timeout(text: &str) -> Result<Timeout, String> {
    if text == "none" {
        return Ok(Timeout(None));
    }
    duration(text).map(|timeout| Timeout(Some(timeout))).map_err(|accepted| format!("{accepted}, or none"))
}

/// The task that handles a failure, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler(pub Option<String>);

/// The name of a task, or `none`.
pub(crate) fn handler(text: &str) -> Result<Handler, String> {
    if text == "none" { Ok(Handler(None)) } else { name(text).map(|name| Handler(Some(name))) }
}

/// Bytes a second: a size above nothing.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    match parse_size("rate", text) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        Ok(_) => Err("nothing would ever be copied; leave it out to copy as fast as possible".to_owned()),
        Err(_) => Err(format!("accepted: {}", SIZE_FORMS.replace('`', ""))),
    }
}

/// The number of a commit.
pub(crate) fn lsn(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        "accepted: the number of a commit, which `store backup`, `store stats` and `status --json` show"
            .to_owned()
    })
}

/// A point in time.
pub(crate) fn when(text: &str) -> Result<When, String> {
    if let Ok(distance) = parse_duration("time", text) {
        return Ok(When::Away(distance));
    }
    match text.trim().parse::<Timestamp>() {
        Ok(at) => {
            u64::try_from(at.as_millisecond()).map(When::At).map_err(|_| "it is before 1970".to_owned())
        }
        Err(_) if text.trim().parse::<jiff::civil::DateTime>().is_ok() => {
            Err(format!("it names no zone; accepted: {WHEN_FORMS}"))
        }
        Err(_) => Err(format!("accepted: {WHEN_FORMS}")),
    }
}

/// A state of jobs.
pub(crate) fn state(text: &str) -> Result<JobState, String> {
    text.parse().map_err(|_| {
        let words = JobState::ALL.map(JobState::as_str);
        let lower = text.to_lowercase();
        let other = OTHER_WORDS.iter().find(|(word, _)| *word == lower).map(|(_, state)| state.as_str());
        let meant = other.or_else(|| did_you_mean(text, words));
        let meant = meant.map_or_else(String::new, |meant| format!("did you mean {meant}? "));
        format!("{meant}accepted: {}", words.join(", "))
    })
}

/// The code of an error: `LS0007`, or its number.
pub(crate) fn code(text: &str) -> Result<(Code, &'static str), String> {
    let bare = text.trim_matches(|char: char| !char.is_ascii_alphanumeric()).to_ascii_uppercase();
    let number = bare.strip_prefix("LS").unwrap_or(&bare).trim_start_matches('0');
    let found = CODES.iter().find(|(code, _)| code.to_string()[2..].trim_start_matches('0') == number);
    found.copied().ok_or_else(|| "`lineshaft explain` lists them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_distance_or_an_instant_with_its_zone() {
        assert_eq!(when("1h30m"), Ok(When::Away(Duration::from_secs(5_400))));
        assert_eq!(when("90"), Ok(When::Away(Duration::from_secs(90))));
        for text in [
            "2026-01-31T08:00:00Z",
            "2026-01-31T08:00Z",
            "2026-01-31 09:00+01:00",
            "2026-01-31T08:00:00.000Z",
        ] {
            assert_eq!(when(text), Ok(When::At(1_769_846_400_000)), "{text}");
        }
        for text in ["2026-01-31T08:00", "2026-01-31", "2026-01-31 08:00:00"] {
            assert!(when(text).unwrap_err().starts_with("it names no zone; accepted: a duration"), "{text}");
        }
        for text in ["", "soon", "-5m", "2026-13-31T08:00Z", "1969-12-31T00:00Z", "9999999999999999999"] {
            assert!(when(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timeout_is_a_duration_or_none() {
        assert_eq!(timeout("90s"), Ok(Timeout(Some(Duration::from_secs(90)))));
        assert_eq!(timeout("none"), Ok(Timeout(None)));
        assert!(timeout("never").unwrap_err().ends_with(", or none"));
    }

    #[test]
    fn a_past_time_counts_back_from_now() {
        assert_eq!(When::Away(Duration::from_secs(1)).before(5_000), 4_000);
        assert_eq!(When::Away(Duration::from_secs(9)).before(5_000), 0);
        assert_eq!(When::At(7).before(5_000), 7);
    }

    #[test]
    fn words_of_other_queues_and_slips_are_answered_with_ours() {
        for (text, meant) in [
            ("failed", "discarded"),
            ("Success", "completed"),
            ("canceled", "cancelled"),
            ("runing", "running"),
            ("AVAILABLE", "available"),
        ] {
            let error = state(text).unwrap_err();
            assert!(error.starts_with(&format!("did you mean {meant}? accepted: pending, ")), "{error}");
        }
        assert!(state("xyz").unwrap_err().starts_with("accepted: pending, scheduled, "));
        assert_eq!(state("retryable"), Ok(JobState::Retryable));
    }

    #[test]
    fn a_code_is_read_however_it_was_copied() {
        for text in ["LS0007", "ls0007", "7", "LS7", "[LS0007]", "error[LS0007]:"] {
            let found = code(text.trim_start_matches("error"));
            assert_eq!(found.map(|(code, _)| code.to_string()), Ok("LS0007".to_owned()), "{text}");
        }
        for text in ["", "LS", "LS9999", "0", "seven"] {
            assert!(code(text).is_err(), "{text}");
        }
    }
}
