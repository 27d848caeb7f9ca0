//! Memory of attempts that have a limit: looked at while they run, warned of, and killed for.
//!
//! What counts is what the child's whole process group has, since that is what the machine runs out of. An attempt that
//! shares its child with others is held to account for all of them: who took it cannot be told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lineshaft_ipc::process::rss_peak_bytes;
use lineshaft_ipc::rss::{Rss, group_bytes, group_share_bytes};
use lineshaft_ipc::shared::{Begun, Fence};

use crate::duration::format_size;
use crate::worker::child::Noted;

/// How often the memory of a child is looked at while an attempt with a limit runs in it, and while it grows towards that:
/// what it takes between two looks, it has.
const LOOK: Duration = Duration::from_millis(10);
const LOOK_GROWING: Duration = Duration::from_millis(1);
/// For how long the next such attempt is expected. The child says when one begins, but not each time.
const EXPECTED: Duration = Duration::from_millis(300);
/// How often that of what it started, which takes a look at every process of the host.
const LOOK_GROUP: Duration = Duration::from_millis(200);
/// The part of a limit that is worth a warning, in percent.
const WARN_AT: u64 = 80;

/// The memory of one child and of what it started.
#[derive(Debug)]
pub(super) struct Memory {
    pid: u32,
    rss: Option<Rss>,
    /// What it started had so much, and when that was.
    others: (u64, Option<Instant>),
    /// What all had at the last look.
    last: Option<(u64, Instant)>,
    /// When it is looked at again.
    pace: Duration,
    /// When an attempt with a limit ran last.
    limited: Option<Instant>,
    warned: BTreeSet<Fence>,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// These words are due, once per attempt.
    Warn(String),
    /// This attempt is over its limit.
    Kill(Excess),
}

/// An attempt that took more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    pub(super) fence: Fence,
    pub(super) bytes: u64,
    pub(super) limit: u64,
    pub(super) peak_bytes: u64,
}

impl Memory {
    pub(super) fn new(pid: u32) -> Self {
        Self {
            pid,
            rss: None,
            others: (0, None),
            last: None,
            pace: LOOK,
            limited: None,
            warned: BTreeSet::new(),
        }
    }

    /// An attempt with a limit runs, or is about to.
    pub(super) fn expect(&mut self, now: Instant) {
        self.limited = Some(now);
    }

    /// When to look again, if an attempt with a limit runs or one did a moment ago.
    pub(super) fn pace(&self, now: Instant) -> Option<Duration> {
        self.limited.is_some_and(|limited| now < limited + EXPECTED).then_some(self.pace)
    }

    /// Looks, if one of them has a limit.
    pub(super) fn look(&mut self, begun: &[Begun], now: Instant) -> Verdict {
        let Some(limit) = first_limit(begun) else {
            self.warned.clear();
            (self.last, self.pace) = (None, LOOK);
            return Verdict::Fine;
        };
        self.expect(now);
        self.warned.retain(|fence| begun.iter().any(|begun| begun.fence == *fence));
        let Some(bytes) = self.bytes(now, limit.1) else { return Verdict::Fine };
        if let Some((before, at)) = self.last.replace((bytes, now)) {
            let grown = bytes.saturating_sub(before);
            self.pace = pace(grown, now.saturating_duration_since(at), limit.1.saturating_sub(bytes));
        }
        let verdict = judge(limit, bytes, &mut self.warned);
        match verdict {
            Verdict::Kill(excess) => {
                let peak = rss_peak_bytes(self.pid).ok().flatten().unwrap_or(0);
                Verdict::Kill(Excess { peak_bytes: peak.max(bytes), ..excess })
            }
            other => other,
        }
    }

    /// What the group has. Exact only where it might be above `limit`: the processes of a pool share much, which the
    /// cheap sum counts for each of them.
    fn bytes(&mut self, now: Instant, limit: u64) -> Option<u64> {
        if self.rss.is_none() {
            self.rss = Rss::of(self.pid).ok();
        }
        let own = self.rss.as_ref()?.bytes()?;
        if self.others.1.is_none_or(|at| now >= at + LOOK_GROUP) {
            let all = group_bytes(self.pid).unwrap_or(own);
            self.others = (all.saturating_sub(own), Some(now));
        }
        let all = own + self.others.0;
        if self.others.0 == 0 || all <= limit || own > limit {
            return Some(all);
        }
        let exact = group_share_bytes(self.pid).unwrap_or(all);
        self.others = (exact.saturating_sub(own), Some(now));
        Some(exact.max(own))
    }
}

/// Half of the time in which what has `grown` by so much since the last look takes what is `left`.
fn pace(grown: u64, since: Duration, left: u64) -> Duration {
    if grown == 0 {
        return LOOK;
    }
    let full_in = since.as_secs_f64() * left as f64 / grown as f64;
    Duration::try_from_secs_f64(full_in / 2.0).unwrap_or(LOOK).clamp(LOOK_GROWING, LOOK)
}

/// The attempt whose limit is the first to be reached, and that limit; of several the oldest.
fn first_limit(begun: &[Begun]) -> Option<(&Begun, u64)> {
    let limited = begun.iter().map(|begun| (begun, Noted::of(begun).memory));
    limited.filter(|(_, limit)| *limit > 0).min_by_key(|(begun, limit)| (*limit, begun.started_ms))
}

fn judge((begun, limit): (&Begun, u64), bytes: u64, warned: &mut BTreeSet<Fence>) -> Verdict {
    if bytes > limit {
        return Verdict::Kill(Excess { fence: begun.fence, bytes, limit, peak_bytes: bytes });
    }
    let is_near = bytes >= limit / 100 * WARN_AT;
    if !is_near || !warned.insert(begun.fence) {
        return Verdict::Fine;
    }
    let job = Noted::of(begun).job.map_or_else(|| "?".to_owned(), |job| job.to_string());
    let (has, of) = (mebibytes(bytes), format_size(limit));
    Verdict::Warn(format!("job {job} has taken {has} of memory, its task may take {of}"))
}

impl Excess {
    /// What happened, in words.
    pub(super) fn words(&self) -> String {
        let (bytes, limit) = (mebibytes(self.bytes), format_size(self.limit));
        format!("took {bytes} of memory, more than its limit of {limit}")
    }
}

/// Memory for people.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::JobId;

    use super::*;

    fn begun(counter: u64, memory: u64) -> Begun {
        let job = Some(JobId::direct(1, 0, counter as u32, 0));
        let note = Noted { job, started_at: 0, at_most_once: false, memory }.words();
        let fence = Fence { epoch: 1, counter };
        Begun { place: counter as u32, fence, started_ms: counter, timeout_ms: 0, note }
    }

    #[test]
    fn the_least_limit_counts_and_of_equal_ones_the_oldest_attempt() {
        let check = |attempts: &[Begun], expected: Option<u64>| {
            let found = first_limit(attempts).map(|(begun, _)| begun.fence.counter);
            assert_eq!(found, expected, "{attempts:?}");
        };
        check(&[begun(1, 0), begun(2, 0)], None);
        check(&[begun(1, 900), begun(2, 500), begun(3, 500)], Some(2));
        check(&[begun(1, 0), begun(2, 500)], Some(2));
    }

    #[test]
    fn an_attempt_is_warned_of_once_and_killed_above_its_limit() {
        let (attempt, mut warned) = (begun(1, 1_000), BTreeSet::new());
        let mut at = |bytes| judge((&attempt, 1_000), bytes, &mut warned);
        assert_eq!(at(799), Verdict::Fine);
        assert!(matches!(at(800), Verdict::Warn(words) if words.contains("may take 1000")));
        assert_eq!(at(1_000), Verdict::Fine);
        assert!(matches!(at(1_001), Verdict::Kill(Excess { bytes: 1_001, limit: 1_000, .. })));
    }

    #[test]
    fn what_grows_is_looked_at_more_often_the_nearer_its_limit_is() {
        let check = |grown_mib: u64, left_mib: u64, expected_ms: u64| {
            let found = pace(grown_mib << 20, Duration::from_millis(10), left_mib << 20);
            assert_eq!(found, Duration::from_millis(expected_ms), "{grown_mib} {left_mib}");
        };
        check(0, 0, 10);
        check(1, 1_000, 10);
        check(20, 20, 5);
        check(20, 8, 2);
        check(20, 1, 1);
        check(20, 0, 1);
    }

    #[test]
    fn it_is_looked_at_closely_for_a_while_after_an_attempt_with_a_limit() {
        let (mut memory, start) = (Memory::new(std::process::id()), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(memory.pace(start), None);
        memory.expect(start);
        assert_eq!([299, 300].map(|millis| memory.pace(at(millis))), [Some(LOOK), None]);
        assert_eq!(memory.look(&[begun(1, u64::MAX)], at(400)), Verdict::Fine);
        assert_eq!(memory.look(&[], at(500)), Verdict::Fine);
        assert_eq!([600, 700].map(|millis| memory.pace(at(millis)).is_some()), [true, false]);
    }

    #[test]
    fn the_own_process_is_measured_with_what_it_started() {
        let mut memory = Memory::new(std::process::id());
        let bytes = memory.bytes(Instant::now(), u64::MAX).unwrap();
        assert!(bytes > 1 << 20, "{bytes}");
    }
}
