//! What a torture came to.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::stage::{Deeds, Victim};
use super::verdict::{Verdict, Violation};

/// What a torture came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What decided who was killed when.
    pub seed: u64,
    /// How long it took, the waiting for the last ends included.
    pub took: Duration,
    /// What was done.
    pub deeds: Deeds,
    /// Jobs that clients were told exist.
    pub acknowledged: u64,
    /// Jobs that completed.
    pub completed: u64,
    /// Jobs whose body began more than once, as it may where attempts are interrupted or retried.
    pub rerun: u64,
    /// Bodies that began or went on under a fence after one of a newer attempt had begun: those of processes that stood
    /// still. What they report is refused, what they do is not undone.
    pub overlapped: u64,
    /// Promises that were broken.
    pub violations: Vec<Violation>,
    /// Where everything was left, if a promise was broken.
    pub kept: Option<PathBuf>,
}

/// What one home came to.
pub(super) struct Round {
    pub(super) took: Duration,
    pub(super) deeds: Deeds,
    pub(super) verdict: Verdict,
}

impl Report {
    pub(super) fn add(&mut self, Round { took, deeds, verdict }: Round) {
        self.took += took;
        self.deeds.add(&deeds);
        self.acknowledged += verdict.acknowledged;
        self.completed += verdict.completed;
        self.rerun += verdict.rerun;
        self.overlapped += verdict.overlapped;
        self.violations.extend(verdict.violations);
    }

    /// What was done, in words.
    pub fn deeds_in_words(&self) -> String {
        words_of(&self.deeds)
    }

    /// The whole of it in a line.
    pub fn summary(&self) -> String {
        let Self { acknowledged, completed, rerun, violations, .. } = self;
        let violations = violations.len();
        format!("acknowledged={acknowledged} completed={completed} rerun={rerun} violations={violations}")
    }

    /// One object.
    pub fn to_json(&self) -> Json {
        let kills: Map<String, Json> = Victim::ALL
            .into_iter()
            .map(|it| (it.as_str().to_owned(), self.deeds.kills.get(&it).copied().unwrap_or_default().into()))
            .collect();
        let violation = |it: &Violation| {
            json!({
                "promise": it.promise.as_str(), "job": it.job.map(|job| job.to_string()), "words": it.words,
            })
        };
        json!({
            "seed": self.seed,
            "seconds": self.took.as_secs(),
            "kills": kills,
            "stops": self.deeds.stops,
            "restarts": self.deeds.restarts,
            "fills": self.deeds.fills,
            "acknowledged": self.acknowledged,
            "completed": self.completed,
            "rerun": self.rerun,
            "overlapped": self.overlapped,
            "violations": self.violations.iter().map(violation).collect::<Vec<_>>(),
            "kept": self.kept.as_ref().map(|path| path.display().to_string()),
        })
    }
}

/// Kills, stops and restarts in words.
pub(super) fn words_of(deeds: &Deeds) -> String {
    let of = deeds.kills.iter().map(|(victim, count)| format!("{} {count}", victim.as_str()));
    let of = of.collect::<Vec<_>>().join(", ");
    let of = if of.is_empty() { of } else { format!(" ({of})") };
    let full = match deeds.fills {
        0 => String::new(),
        fills => format!(", {fills} times a full disk"),
    };
    format!("{} kills{of}, {} stops, {} restarts{full}", deeds.kills(), deeds.stops, deeds.restarts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_by_kind() {
        assert_eq!(words_of(&Deeds::default()), "0 kills, 0 stops, 0 restarts");
        let kills = [(Victim::Child, 3), (Victim::Group, 1)].into();
        let deeds = Deeds { kills, stops: 2, restarts: 5, fills: 6 };
        let expected = "4 kills (child 3, group 1), 2 stops, 5 restarts, 6 times a full disk";
        assert_eq!(words_of(&deeds), expected);
    }
}
