//! What is written outside of the engine: what clients were told, and what bodies did.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use lineshaft_wire::{Fence, JobId, JobState};

/// What is asked of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    /// It has to complete, however often it is interrupted.
    Completes,
    /// It fails at its first attempts, and has to complete all the same.
    Retries,
    /// It may not run twice, and may be given up for that.
    Once,
    /// Somebody cancels it.
    Cancelled,
}

impl Wish {
    pub(super) const ALL: [Self; 4] = [Self::Completes, Self::Retries, Self::Once, Self::Cancelled];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Completes => "completes",
            Self::Retries => "retries",
            Self::Once => "once",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A client's own name of a job, which the job carries: `completes.3.17` is the seventeenth of client 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token {
    pub(super) wish: Wish,
    pub(super) client: u32,
    pub(super) number: u64,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.wish.as_str(), self.client, self.number)
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split('.').collect();
        let read = || {
            let [wish, client, number] = words[..] else { return None };
            let wish = Wish::ALL.into_iter().find(|it| it.as_str() == wish)?;
            Some(Self { wish, client: client.parse().ok()?, number: number.parse().ok()? })
        };
        read().ok_or_else(|| text.to_owned())
    }
}

/// A line of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The server said that it has this job.
    Acknowledged(Token, JobId),
    /// The server said that it ended so.
    Ended(JobId, JobState),
    /// The server said that it completed, but its result was another job's.
    WrongResult(JobId),
    /// The server said that there is no such job.
    Missing(JobId),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged(token, job) => write!(f, "acknowledged {token} {job}"),
            Self::Ended(job, state) => write!(f, "ended {job} {state}"),
            Self::WrongResult(job) => write!(f, "wrong_result {job}"),
            Self::Missing(job) => write!(f, "missing {job}"),
        }
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let job = |word: &str| word.parse::<JobId>().map_err(|_| text.to_owned());
        match words[..] {
            ["acknowledged", token, id] => Ok(Self::Acknowledged(token.parse()?, job(id)?)),
            ["ended", id, state] => Ok(Self::Ended(job(id)?, state.parse()?)),
            ["wrong_result", id] => Ok(Self::WrongResult(job(id)?)),
            ["missing", id] => Ok(Self::Missing(job(id)?)),
            _ => Err(text.to_owned()),
        }
    }
}

/// What all clients were told.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) acknowledged: BTreeMap<JobId, Token>,
    pub(super) ended: Vec<(JobId, JobState)>,
    pub(super) wrong_results: Vec<JobId>,
    pub(super) missing: Vec<JobId>,
}

impl Ledger {
    pub(super) fn add(&mut self, line: Line) {
        match line {
            Line::Acknowledged(token, job) => _ = self.acknowledged.insert(job, token),
            Line::Ended(job, state) => self.ended.push((job, state)),
            Line::WrongResult(job) => self.wrong_results.push(job),
            Line::Missing(job) => self.missing.push(job),
        }
    }
}

/// What a body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It began.
    Begun,
    /// It had done all of its work, and was about to return.
    Returned,
    /// It was about to fail, as it was told to.
    Failed,
}

impl Act {
    const ALL: [Self; 3] = [Self::Begun, Self::Returned, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Returned => "returned",
            Self::Failed => "failed",
        }
    }
}

/// A line that a body left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) act: Act,
    pub(super) job: JobId,
    pub(super) fence: Fence,
    pub(super) attempt: u32,
    pub(super) pid: u32,
    /// Unix microseconds.
    pub(super) at_us: u64,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { act, job, fence, attempt, pid, at_us } = self;
        write!(f, "{} {job} {fence} {attempt} {pid} {at_us}", act.as_str())
    }
}

impl FromStr for Effect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let read = || {
            let [act, job, fence, attempt, pid, at_us] = words[..] else { return None };
            let (epoch, counter) = fence.split_once('.')?;
            Some(Self {
                act: Act::ALL.into_iter().find(|it| it.as_str() == act)?,
                job: job.parse().ok()?,
                fence: Fence { epoch: epoch.parse().ok()?, counter: counter.parse().ok()? },
                attempt: attempt.parse().ok()?,
                pid: pid.parse().ok()?,
                at_us: at_us.parse().ok()?,
            })
        };
        read().ok_or_else(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_as_it_was() {
        let job = JobId::direct(1, 0, 7, 0);
        let token = |wish| Token { wish, client: 2, number: 17 };
        for wish in Wish::ALL {
            let line = Line::Acknowledged(token(wish), job);
            assert_eq!(line.to_string().parse(), Ok(line));
        }
        for line in [Line::Ended(job, JobState::Discarded), Line::WrongResult(job), Line::Missing(job)] {
            assert_eq!(line.to_string().parse(), Ok(line));
        }
        for act in Act::ALL {
            let fence = Fence { epoch: 3, counter: 4 };
            let effect = Effect { act, job, fence, attempt: 5, pid: 6, at_us: 7 };
            assert_eq!(effect.to_string().parse(), Ok(effect));
        }
    }

    #[test]
    fn what_does_not_read_is_named() {
        for line in ["", "ended", "ended x completed", "acknowledged once.1 y", "acknowledged twice.1.1 y"] {
            assert!(line.parse::<Line>().is_err(), "{line}");
        }
        assert_eq!("begun x".parse::<Effect>(), Err("begun x".to_owned()));
    }
}
