//! `Histogram` against a sorted list, `Rate` against counting.

use std::time::Duration;

use lineshaft_structures::{Histogram, Rate};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_histogram_is_exact_but_for_quantiles_and_those_are_near(
        mut ns in prop::collection::vec(prop_oneof![0..200_u64, 0..1_u64 << 43], 1..200),
        q in 0.0..=1.0_f64,
    ) {
        let mut histogram = Histogram::new();
        ns.iter().for_each(|ns| histogram.add(Duration::from_nanos(*ns)));
        ns.sort_unstable();
        let total: u64 = ns.iter().sum();
        prop_assert_eq!(histogram.count(), ns.len() as u64);
        prop_assert_eq!(histogram.total(), Duration::from_nanos(total));
        prop_assert_eq!(histogram.mean(), Duration::from_nanos(total / ns.len() as u64));
        prop_assert_eq!(histogram.min(), Duration::from_nanos(ns[0]));
        prop_assert_eq!(histogram.max(), Duration::from_nanos(ns[ns.len() - 1]));
        let rank = ((q * ns.len() as f64).ceil() as usize).max(1);
        let (exact, found) = (ns[rank - 1] as f64, histogram.quantile(q).as_nanos() as f64);
        prop_assert!((found - exact).abs() <= exact * 0.016, "{found} for {exact}");
    }

    #[test]
    fn in_no_time_more_turns_are_taken_than_the_rate_allows(
        count in 1..20_u32,
        burst in 1..20_u32,
        steps_ms in prop::collection::vec(0..400_u64, 1..100),
    ) {
        let mut rate = Rate::new(count, Duration::from_secs(1), burst).unwrap();
        let (mut now_ns, mut taken) = (1_000_000_000_u64, Vec::new());
        for step_ms in steps_ms {
            now_ns += step_ms * 1_000_000;
            match rate.take(now_ns) {
                Ok(()) => taken.push(now_ns),
                Err(wait) => {
                    prop_assert!(rate.take(now_ns + wait.as_nanos() as u64 - 1).is_err());
                }
            }
        }
        let interval_ns = 1_000_000_000 / u64::from(count);
        for (place, first) in taken.iter().enumerate() {
            for (number, last) in taken[place..].iter().enumerate() {
                let allowed = u64::from(burst) + (last - first) / interval_ns + 1;
                prop_assert!(number as u64 <= allowed, "{number} turns in {} ns", last - first);
            }
        }
    }
}

#[test]
fn what_is_beyond_the_buckets_is_counted_all_the_same() {
    let mut histogram = Histogram::new();
    histogram.add(Duration::MAX);
    assert_eq!((histogram.count(), histogram.max()), (1, Duration::from_nanos(u64::MAX)));
    assert_eq!(histogram.quantile(0.5), histogram.max());
}

#[test]
fn nothing_is_no_rate() {
    for (count, ms, burst) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
        assert!(Rate::new(count, Duration::from_millis(ms), burst).is_none());
    }
}

#[test]
fn turns_are_given_ahead_in_the_order_of_coming() {
    let mut rate = Rate::new(10, Duration::from_secs(1), 1).unwrap();
    let waits: Vec<_> = (0..3).map(|_| rate.reserve(Duration::from_millis(100), 0)).collect();
    let ms = Duration::from_millis;
    assert_eq!(waits, [Ok(ms(0)), Ok(ms(100)), Err(ms(200))]);
    assert!(!rate.is_idle(199_999_999) && rate.is_idle(200_000_000));
}
