//! Each policy hits when its naive form does, keeps who that keeps, and never more than there is room for.

use lineshaft_cache::{Capacity, Options, PolicyKind, Reason, Residents, Terms};
use proptest::prelude::*;

use crate::naive::{Lru, Naive, S3Fifo, Sieve, WTinyLfu};

const KINDS: [PolicyKind; 4] = [PolicyKind::S3Fifo, PolicyKind::Lru, PolicyKind::Sieve, PolicyKind::WTinyLfu];

fn naive(kind: PolicyKind, max: usize) -> Box<dyn Naive> {
    match kind {
        PolicyKind::S3Fifo => Box::new(S3Fifo::new(max)),
        PolicyKind::Lru => Box::new(Lru(max, Vec::new())),
        PolicyKind::Sieve => Box::new(Sieve::new(max)),
        PolicyKind::WTinyLfu => Box::new(WTinyLfu::new(max)),
    }
}

fn residents(kind: PolicyKind, capacity: Capacity) -> Residents<u32> {
    Residents::new(&Options { capacity, policy: kind, ..Options::default() })
}

fn access(residents: &mut Residents<u32>, key: u32, weight: u32) -> bool {
    if let Some(slot) = residents.find(key, |&other| other == key) {
        residents.touch(slot, 0);
        return true;
    }
    residents.insert(key, key, &Terms { weight, ..Terms::default() }, 0);
    false
}

fn sorted(mut keys: Vec<u32>) -> Vec<u32> {
    keys.sort_unstable();
    keys
}

/// Small keys are asked for often, large ones now and then, and some are taken out.
fn steps() -> impl Strategy<Value = Vec<(u32, bool)>> {
    let key = prop_oneof![4 => 0..12_u32, 3 => 0..60_u32, 1 => 0..400_u32];
    prop::collection::vec((key, prop::bool::weighted(0.04)), 1..600)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn hits_and_residents_are_those_of_the_naive_form(steps in steps(), max in 1..40_usize) {
        for kind in KINDS {
            let mut ours = residents(kind, Capacity::Entries(max as u32));
            let mut model = naive(kind, max);
            for (index, &(key, is_removal)) in steps.iter().enumerate() {
                if is_removal {
                    if let Some(slot) = ours.find(key, |&other| other == key) {
                        ours.remove(slot, Reason::Invalidated);
                    }
                    model.remove(key);
                } else {
                    prop_assert_eq!(access(&mut ours, key, 1), model.access(key), "{:?}, step {}", kind, index);
                }
                let keys = sorted(ours.iter().map(|(_, &key)| key).collect());
                prop_assert!(keys.len() <= max);
                prop_assert_eq!(keys, sorted(model.keys()), "{:?}, step {}", kind, index);
            }
        }
    }

    #[test]
    fn the_weight_is_never_more_than_there_is_room_for(
        steps in prop::collection::vec((0..60_u32, 1..30_u32), 1..400), max in 1..200_u64,
    ) {
        for kind in KINDS {
            let mut ours = residents(kind, Capacity::Weight(max));
            let mut weights = std::collections::HashMap::new();
            for &(key, weight) in &steps {
                if !access(&mut ours, key, weight) {
                    weights.insert(key, weight);
                }
                let sum: u64 = ours.iter().map(|(_, key)| u64::from(weights[key])).sum();
                prop_assert_eq!(sum, ours.weight());
                prop_assert!(sum <= max, "{:?}: {} of {}", kind, sum, max);
            }
        }
    }
}

#[test]
fn what_went_is_handed_over_with_why() {
    let mut ours = residents(PolicyKind::Lru, Capacity::Weight(10));
    access(&mut ours, 1, 6);
    access(&mut ours, 2, 6);
    access(&mut ours, 3, 11);
    assert_eq!(ours.take_removed(), [(1, Reason::Capacity), (3, Reason::TooHeavy)]);
    assert_eq!((ours.len(), ours.statistics().evictions), (1, 2));
}

#[test]
fn a_cache_without_room_keeps_nothing() {
    for kind in KINDS {
        let mut ours = residents(kind, Capacity::Entries(0));
        assert!(!access(&mut ours, 1, 1) && !access(&mut ours, 1, 1));
        assert!(ours.is_empty());
    }
}

#[test]
fn one_long_scan_does_not_drive_out_what_is_used() {
    for kind in [PolicyKind::S3Fifo, PolicyKind::WTinyLfu] {
        let mut ours = residents(kind, Capacity::Entries(1_000));
        (0..5).for_each(|_| (0..500).for_each(|key| _ = access(&mut ours, key, 1)));
        (10_000..20_000).for_each(|key| _ = access(&mut ours, key, 1));
        let kept = (0..500).filter(|&key| ours.find(key, |&other| other == key).is_some()).count();
        assert!(kept >= 490, "{kind:?} kept {kept}");
    }
}
