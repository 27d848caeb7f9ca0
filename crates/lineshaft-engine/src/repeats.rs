//! How many calls of a task come with arguments that it was called with in the hour before.
//!
//! Of each call a fingerprint of 32 bits is kept with the time when it came last, in sets of eight that its hash chooses;
//! a new one takes the place of the one that came longest ago. So a call is taken for a repeated one by mistake once in
//! some hundred millions, and a repeated one is missed if so many others came in between that its place was needed: the
//! figure is a lower bound, and sharp up to about 100,000 different calls an hour. It ends with the process.

use std::sync::Arc;

use lineshaft_jobs::TASKS_MAX;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Sets of fingerprints: 2 MiB together.
const SETS: usize = 1 << 15;
const WAYS: usize = 8;
const HOUR_MS: u64 = 3_600_000;
/// Calls are counted by parts of the hour.
const PARTS: usize = 12;
const PART_MS: u64 = HOUR_MS / PARTS as u64;
/// Of longer arguments this much is looked at, and the length: a call must not hold up the others.
const HASHED_BYTES: usize = 1 << 20;

/// A fingerprint, and the second of the process in which it came last, from 1; 0 is none.
type Way = (u32, u32);

/// Calls of the last hour.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// Empty until the first call.
    sets: Vec<[Way; WAYS]>,
    tasks: FxHashMap<Arc<str>, Calls>,
}

/// Those of one task.
#[derive(Debug, Default)]
struct Calls {
    /// The number of the part that is counted now.
    part: u64,
    /// Calls and repeated ones in each part, by its number.
    counts: [(u32, u32); PARTS],
}

impl Repeats {
    /// Calls of `task` with these arguments came at `now_ms`.
    pub(crate) fn count<'a>(
        &mut self,
        task: &Arc<str>,
        arguments: impl IntoIterator<Item = &'a [u8]>,
        now_ms: u64,
    ) {
        let (mut calls, mut repeated) = (0, 0);
        for arguments in arguments {
            calls += 1;
            repeated += u32::from(self.note(task, arguments, now_ms));
        }
        if !self.tasks.contains_key(task) {
            self.make_room();
        }
        self.tasks.entry(Arc::clone(task)).or_default().count((calls, repeated), now_ms);
    }

    /// Calls in the hour before `now_ms`, and those of them whose arguments had come in the hour before them.
    pub(crate) fn of(&self, task: &str, now_ms: u64) -> (u64, u64) {
        self.tasks.get(task).map_or((0, 0), |calls| calls.of(now_ms))
    }

    /// Whether this came within the hour; it has come now.
    fn note(&mut self, task: &str, arguments: &[u8], now_ms: u64) -> bool {
        if self.sets.is_empty() {
            self.sets = vec![[(0, 0); WAYS]; SETS];
        }
        let hash = hash_of(task, arguments);
        let (fingerprint, second) = (hash as u32, (now_ms / 1_000) as u32 + 1);
        let set = &mut self.sets[(hash >> 32) as usize % SETS];
        if let Some(way) = set.iter_mut().find(|way| way.0 == fingerprint && way.1 > 0) {
            let before = std::mem::replace(&mut way.1, second);
            return second.saturating_sub(before) <= (HOUR_MS / 1_000) as u32;
        }
        if let Some(oldest) = set.iter_mut().min_by_key(|way| way.1) {
            *oldest = (fingerprint, second);
        }
        false
    }

    fn make_room(&mut self) {
        if self.tasks.len() < TASKS_MAX {
            return;
        }
        let oldest = self.tasks.iter().min_by_key(|(_, calls)| calls.part);
        if let Some(task) = oldest.map(|(task, _)| Arc::clone(task)) {
            self.tasks.remove(&task);
        }
    }
}

fn hash_of(task: &str, arguments: &[u8]) -> u64 {
    let looked_at = &arguments[..arguments.len().min(HASHED_BYTES)];
    let of_task = xxh3_64_with_seed(task.as_bytes(), arguments.len() as u64);
    xxh3_64_with_seed(looked_at, of_task)
}

impl Calls {
    fn count(&mut self, (more, again): (u32, u32), now_ms: u64) {
        let part = now_ms / PART_MS;
        // Parts that went by without a call; all of them after an hour.
        for passed in (self.part + 1..=part).rev().take(PARTS) {
            self.counts[passed as usize % PARTS] = (0, 0);
        }
        self.part = self.part.max(part);
        let (calls, repeated) = &mut self.counts[self.part as usize % PARTS];
        *calls = calls.saturating_add(more);
        *repeated = repeated.saturating_add(again);
    }

    fn of(&self, now_ms: u64) -> (u64, u64) {
        let now = now_ms / PART_MS;
        let parts = (0..PARTS as u64).filter_map(|back| self.part.checked_sub(back));
        let recent = parts.filter(|part| part + PARTS as u64 > now);
        recent.fold((0, 0), |(calls, repeated), part| {
            let (more, again) = self.counts[part as usize % PARTS];
            (calls + u64::from(more), repeated + u64::from(again))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_arguments_of_a_task_are_repeated_for_an_hour() {
        let (mut repeats, one, other) = (Repeats::default(), Arc::from("shop.one"), Arc::from("shop.other"));
        repeats.count(&one, [&b"a"[..]], 0);
        repeats.count(&one, [&b"a"[..]], HOUR_MS - 1);
        repeats.count(&one, [&b"b"[..]], HOUR_MS - 1);
        repeats.count(&other, [&b"a"[..]], HOUR_MS - 1);
        assert_eq!(
            (repeats.of("shop.one", HOUR_MS - 1), repeats.of("shop.other", HOUR_MS - 1)),
            ((3, 1), (1, 0))
        );
        // The second call made its arguments new again.
        repeats.count(&one, [&b"a"[..]], 2 * HOUR_MS - 2_000);
        assert_eq!(repeats.of("shop.one", 2 * HOUR_MS - 2_000), (1, 1));
        repeats.count(&one, [&b"a"[..]], 4 * HOUR_MS);
        assert_eq!(repeats.of("shop.one", 4 * HOUR_MS), (1, 0));
        assert_eq!((repeats.of("shop.one", 6 * HOUR_MS), repeats.of("nobody", 0)), ((0, 0), (0, 0)));
    }

    #[test]
    fn of_a_hundred_thousand_different_calls_hardly_one_is_forgotten() {
        let (mut repeats, task) = (Repeats::default(), Arc::from("shop.one"));
        for _ in 0..2 {
            (0..100_000u32).for_each(|number| repeats.count(&task, [&number.to_le_bytes()[..]], 1_000));
        }
        let (calls, repeated) = repeats.of(&task, 1_000);
        assert_eq!(calls, 200_000);
        assert!((99_000..=100_000).contains(&repeated), "{repeated}");
    }

    #[test]
    fn arguments_that_only_begin_alike_differ() {
        let (mut repeats, task) = (Repeats::default(), Arc::from("shop.one"));
        let long = vec![7; HASHED_BYTES + 2];
        for length in [HASHED_BYTES, HASHED_BYTES + 1, HASHED_BYTES + 2, HASHED_BYTES + 1] {
            repeats.count(&task, [&long[..length]], 0);
        }
        assert_eq!(repeats.of(&task, 0), (4, 1));
    }

    #[test]
    fn the_task_called_longest_ago_is_forgotten_for_another() {
        let mut repeats = Repeats::default();
        for number in 0..=TASKS_MAX as u64 {
            repeats.count(&Arc::from(format!("shop.task{number}")), [&b""[..]], number * PART_MS);
        }
        assert_eq!(repeats.tasks.len(), TASKS_MAX);
        assert_eq!(repeats.of("shop.task0", 0), (0, 0));
    }
}
