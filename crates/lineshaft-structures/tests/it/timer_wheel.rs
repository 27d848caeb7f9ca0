//! `TimerWheel` against a `BTreeMap` by time and order of setting.

use std::collections::BTreeMap;

use lineshaft_structures::{TimerId, TimerWheel};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// Sets a timer this far from the present.
    Insert { after_ms: u64 },
    /// Sets a timer at this very time, possibly past.
    InsertAt { at_ms: u64 },
    /// Cancels one of the ids ever given.
    Cancel { pick: prop::sample::Index },
    /// Moves time on and takes at most `limit` items.
    Expire { after_ms: u64, limit: usize },
    /// Sleeps until `next_at`.
    Sleep,
}

/// Distances on every level of the wheel, the near ones and the edges of levels most often.
fn distance() -> impl Strategy<Value = u64> {
    let edge = (0..64u32, 0..3u64).prop_map(|(bit, off)| (1u64 << bit).wrapping_sub(1).wrapping_add(off));
    prop_oneof![4 => 0..200u64, 3 => 0..100_000u64, 2 => edge, 1 => any::<u64>()]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => distance().prop_map(|after_ms| Step::Insert { after_ms }),
        1 => any::<u64>().prop_map(|at_ms| Step::InsertAt { at_ms }),
        3 => any::<prop::sample::Index>().prop_map(|pick| Step::Cancel { pick }),
        3 => (0..5_000u64, 0..8usize).prop_map(|(after_ms, limit)| Step::Expire { after_ms, limit }),
        1 => (distance(), 0..50usize).prop_map(|(after_ms, limit)| Step::Expire { after_ms, limit }),
        2 => Just(Step::Sleep),
    ]
}

/// What the wheel promises, in the plainest way.
struct Model {
    present_ms: u64,
    timers: BTreeMap<(u64, u32), TimerId>,
    ids: Vec<(TimerId, u64, u32)>,
}

impl Model {
    fn insert(&mut self, wheel: &mut TimerWheel<u32>, at_ms: u64) {
        let item = self.ids.len() as u32;
        let id = wheel.insert(at_ms, item);
        let at_ms = at_ms.max(self.present_ms);
        self.timers.insert((at_ms, item), id);
        self.ids.push((id, at_ms, item));
    }

    fn cancel(&mut self, wheel: &mut TimerWheel<u32>, pick: prop::sample::Index) {
        if self.ids.is_empty() {
            return;
        }
        let (id, at_ms, item) = self.ids[pick.index(self.ids.len())];
        let expected = self.timers.remove(&(at_ms, item)).is_some();
        assert_eq!(wheel.get(id), expected.then_some((at_ms, item)));
        assert_eq!(wheel.cancel(id), expected);
    }

    fn expire(&mut self, wheel: &mut TimerWheel<u32>, now_ms: u64, limit: usize) {
        let now_ms = now_ms.max(self.present_ms);
        let due: Vec<_> = self.timers.range(..=(now_ms, u32::MAX)).map(|(&key, _)| key).take(limit).collect();
        self.timers.retain(|key, _| due.binary_search(key).is_err());
        match due.last() {
            _ if due.len() < limit => self.present_ms = now_ms,
            Some(&(at_ms, _)) => self.present_ms = at_ms,
            None => {}
        }
        let mut out = Vec::new();
        assert_eq!(wheel.expired(now_ms, limit, &mut out), out.len());
        assert_eq!(out, due.iter().map(|&(_, item)| item).collect::<Vec<_>>());
    }

    fn check(&self, wheel: &TimerWheel<u32>) {
        let first = self.timers.first_key_value().map(|(&(at_ms, _), _)| at_ms);
        assert_eq!((wheel.len() as usize, wheel.present_ms()), (self.timers.len(), self.present_ms));
        assert_eq!(wheel.next_at().is_some(), first.is_some());
        assert!(wheel.next_at() <= first, "{:?} is after {first:?}", wheel.next_at());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_wheel_agrees_with_a_sorted_map(start in prop_oneof![Just(0), any::<u64>()],
                                        steps in prop::collection::vec(step(), 0..200)) {
        let mut wheel = TimerWheel::new(start);
        let mut model = Model { present_ms: start, timers: BTreeMap::new(), ids: Vec::new() };
        for step in steps {
            let present_ms = model.present_ms;
            match step {
                Step::Insert { after_ms } => model.insert(&mut wheel, present_ms.saturating_add(after_ms)),
                Step::InsertAt { at_ms } => model.insert(&mut wheel, at_ms),
                Step::Cancel { pick } => model.cancel(&mut wheel, pick),
                Step::Expire { after_ms, limit } => {
                    model.expire(&mut wheel, present_ms.saturating_add(after_ms), limit);
                }
                Step::Sleep => {
                    let Some(next_ms) = wheel.next_at() else { continue };
                    model.expire(&mut wheel, next_ms, 3);
                }
            }
            model.check(&wheel);
        }
        model.expire(&mut wheel, u64::MAX, usize::MAX);
        model.check(&wheel);
    }
}

/// Renewed leases set and cancel a timer each: the wheel's memory must follow the live ones, not the set ones.
#[test]
fn memory_follows_the_live_timers() {
    let mut wheel = TimerWheel::new(0);
    let mut ids: Vec<_> = (0..1_000).map(|item| wheel.insert(15_000, item)).collect();
    for round in 1..200u64 {
        for (item, id) in ids.iter_mut().enumerate() {
            let renewed = wheel.insert(15_000 + round * 5_000, item as u32);
            assert!(wheel.cancel(std::mem::replace(id, renewed)));
        }
        assert_eq!(wheel.expired(round * 5_000, usize::MAX, &mut Vec::new()), 0);
    }
    assert_eq!(wheel.len(), 1_000);
    assert!(wheel.reserved() <= 2_048, "{}", wheel.reserved());
}

/// A million timers for one moment come out whole, in order, and their memory goes.
#[test]
fn a_million_timers_of_one_moment_come_out_in_order() {
    let mut wheel = TimerWheel::new(0);
    (0..1_000_000).for_each(|item| _ = wheel.insert(86_400_000, item));
    let mut due = Vec::new();
    while wheel.expired(86_400_000, 4_096, &mut due) == 4_096 {}
    assert!(due.iter().copied().eq(0..1_000_000));
    assert!(wheel.is_empty() && wheel.reserved() <= 8_192, "{}", wheel.reserved());
}
