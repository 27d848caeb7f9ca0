//! A cache as a whole, beside a map that forgets nothing it need not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use lineshaft_cache::{Cache, Capacity, Found, Life, Options, PolicyKind, Reason, Terms};
use proptest::prelude::*;

const TTL_MS: u64 = 5_000;
const STALE_MS: u64 = 2_000;

fn cache(capacity: Capacity) -> Cache<u8, u32> {
    let life = Life { ttl_ms: Some(TTL_MS), idle_ms: None };
    Cache::new(&Options { capacity, life, stale_ms: STALE_MS, ..Options::default() })
}

#[derive(Clone, Debug)]
enum Step {
    Insert { key: u8, tag: u8, own_ttl_ms: Option<u64>, idle_ms: Option<u64> },
    Get(u8),
    Invalidate(u8),
    InvalidateTag(u8),
    InvalidateAll,
    Pass(u64),
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    let life = (prop::option::of(1..9_000_u64), prop::option::of(1..4_000_u64));
    prop_oneof![
        6 => (0..20_u8, 0..4_u8, life).prop_map(|(key, tag, (own_ttl_ms, idle_ms))| Step::Insert {
            key, tag, own_ttl_ms, idle_ms
        }),
        8 => (0..20_u8).prop_map(Step::Get),
        1 => (0..20_u8).prop_map(Step::Invalidate),
        1 => (0..4_u8).prop_map(Step::InvalidateTag),
        1 => Just(Step::InvalidateAll),
        4 => (0..3_000_u64).prop_map(Step::Pass),
        1 => Just(Step::Purge),
    ]
}

struct Known {
    value: u32,
    tag: u8,
    dies_ms: u64,
    idle_ms: Option<u64>,
    used_ms: u64,
}

impl Known {
    fn expires_ms(&self) -> u64 {
        self.idle_ms.map_or(self.dies_ms, |idle_ms| self.dies_ms.min(self.used_ms + idle_ms))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// With room for all, every look-up finds what the map has; and nothing goes for no reason.
    #[test]
    fn what_is_found_is_what_is_true(steps in prop::collection::vec(step(), 1..300)) {
        let mut cache = cache(Capacity::Entries(100));
        let mut known: HashMap<u8, Known> = HashMap::new();
        let mut now_ms = 0;
        for (value, step) in (0..).zip(steps) {
            match step {
                Step::Insert { key, tag, own_ttl_ms, idle_ms } => {
                    let ttl_ms = own_ttl_ms.unwrap_or(TTL_MS);
                    let life = Some(Life { ttl_ms: Some(ttl_ms), idle_ms });
                    let name = tag.to_string();
                    cache.insert(key, value, &Terms { life, tags: &[&name], ..Terms::default() }, now_ms);
                    known.insert(key, Known { value, tag, dies_ms: now_ms + ttl_ms, idle_ms, used_ms: now_ms });
                }
                Step::Get(key) => {
                    known.retain(|_, entry| now_ms < entry.expires_ms() + STALE_MS);
                    let expected = known.get_mut(&key).map(|entry| {
                        let is_due = now_ms >= entry.expires_ms();
                        entry.used_ms = now_ms;
                        (entry.value, is_due)
                    });
                    let found = cache.get(&key, now_ms);
                    prop_assert_eq!(found.map(|found| (*found.value.unwrap(), found.is_due)), expected);
                }
                Step::Invalidate(key) => {
                    cache.invalidate(&key);
                    known.remove(&key);
                }
                Step::InvalidateTag(tag) => {
                    cache.invalidate_tag(&tag.to_string());
                    known.retain(|_, entry| entry.tag != tag);
                }
                Step::InvalidateAll => {
                    cache.invalidate_all();
                    known.clear();
                }
                Step::Pass(ms) => now_ms += ms,
                Step::Purge => {
                    cache.purge(now_ms);
                    known.retain(|_, entry| now_ms < entry.expires_ms() + STALE_MS);
                    prop_assert_eq!(cache.len() as usize, known.len());
                    for tag in 0..4_u8 {
                        let entries = known.values().filter(|entry| entry.tag == tag).count() as u64;
                        prop_assert_eq!(cache.tag_statistics(&tag.to_string()).entries, entries);
                    }
                }
            }
        }
    }

    /// With little room, what is found is still true, and each value is told of once when it goes.
    #[test]
    fn who_goes_is_told_of_once(
        steps in prop::collection::vec(step(), 1..300),
        kind in prop_oneof![
            Just(PolicyKind::S3Fifo), Just(PolicyKind::Lru), Just(PolicyKind::Sieve), Just(PolicyKind::WTinyLfu)
        ],
    ) {
        let gone = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&gone);
        let life = Life { ttl_ms: Some(TTL_MS), idle_ms: None };
        let mut cache = Cache::new(&Options { capacity: Capacity::Entries(6), policy: kind, life, ..Options::default() });
        cache.listen(Box::new(move |_: &u8, value: Option<&u32>, reason| told.lock().unwrap().push((*value.unwrap(), reason))));
        let (mut inserted, mut now_ms) = (Vec::new(), 0);
        for (value, step) in (0..).zip(steps) {
            match step {
                Step::Insert { key, .. } => {
                    cache.insert(key, value, &Terms::default(), now_ms);
                    inserted.push(value);
                }
                Step::Get(key) => {
                    cache.get(&key, now_ms);
                }
                Step::Invalidate(key) => {
                    cache.invalidate(&key);
                }
                Step::InvalidateTag(_) | Step::InvalidateAll => cache.invalidate_all(),
                Step::Pass(ms) => now_ms += ms,
                Step::Purge => cache.purge(now_ms),
            }
            prop_assert!(cache.len() <= 6);
        }
        cache.clear();
        let mut values: Vec<u32> = gone.lock().unwrap().iter().map(|&(value, _)| value).collect();
        values.sort_unstable();
        prop_assert_eq!(values, inserted);
    }
}

#[test]
fn the_reason_is_the_one() {
    let gone = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&gone);
    let mut cache = cache(Capacity::Entries(2));
    cache.listen(Box::new(move |&key, _, reason| told.lock().unwrap().push((key, reason))));
    (1..4).for_each(|key| cache.insert(key, 0, &Terms::default(), 0));
    cache.insert(3, 1, &Terms::default(), 0);
    cache.invalidate(&3);
    let last = if cache.get(&1, 0).is_some() { 1 } else { 2 };
    cache.get(&last, TTL_MS + STALE_MS);
    cache.insert(9, 0, &Terms::default(), 20_000);
    cache.clear();
    let told: Vec<Reason> = gone.lock().unwrap().iter().map(|&(_, reason)| reason).collect();
    assert_eq!(
        told,
        [Reason::Capacity, Reason::Replaced, Reason::Invalidated, Reason::Expired, Reason::Cleared]
    );
}

#[test]
fn what_is_known_to_be_absent_has_its_own_life() {
    let mut cache = cache(Capacity::Entries(10));
    cache.insert_absent(1, Life { ttl_ms: Some(100), idle_ms: None }, 0);
    assert_eq!(cache.get(&1, 99), Some(Found { value: None, is_due: false }));
    assert_eq!(cache.get(&2, 99), None);
    assert_eq!(cache.get(&1, 100 + STALE_MS), None);
}

#[test]
fn what_took_long_is_computed_early_more_often() {
    let life = Life { ttl_ms: Some(10_000), idle_ms: None };
    let mut cache: Cache<u8, ()> = Cache::new(&Options { life, early: 1.0, ..Options::default() });
    cache.insert(1, (), &Terms { cost_ms: 1_000, ..Terms::default() }, 0);
    cache.insert(2, (), &Terms { cost_ms: 1, ..Terms::default() }, 0);
    let mut early = |key: u8, now_ms: u64| {
        let chances = (1..=1_000).map(|step| f64::from(step) / 1_000.0);
        chances.filter(|&chance| cache.get_by_chance(&key, now_ms, chance).unwrap().is_due).count()
    };
    // One second ahead of the end, with a second of computing: as likely as an exponential is over 1.
    assert_eq!(early(1, 9_000), 367);
    assert_eq!((early(1, 1_000), early(2, 9_000)), (0, 0));
    assert!(early(1, 9_900) > 900);
}

#[test]
fn what_was_invalidated_while_it_was_computed_is_not_true() {
    let mut cache = cache(Capacity::Entries(10));
    cache.insert(9, 0, &Terms { tags: &["t"], ..Terms::default() }, 0);
    let since = Some(cache.stamp());
    cache.invalidate_tag("t");
    cache.insert(1, 7, &Terms { tags: &["t"], since, ..Terms::default() }, 0);
    cache.insert(2, 8, &Terms { tags: &["t"], ..Terms::default() }, 0);
    assert_eq!(cache.get(&1, 0), None);
    assert!(cache.get(&2, 0).is_some());
}

#[test]
fn the_tag_of_what_is_computed_need_not_be_known_when_it_is_invalidated() {
    let mut cache = cache(Capacity::Entries(10));
    let since = Some(cache.stamp());
    assert!(!cache.invalidate_tag("t"), "nothing has it yet");
    cache.insert(1, 7, &Terms { tags: &["t"], since, ..Terms::default() }, 0);
    assert_eq!(cache.get(&1, 0), None);
    cache.insert(1, 8, &Terms { tags: &["t"], ..Terms::default() }, 0);
    assert!(cache.get(&1, 0).is_some());
}
