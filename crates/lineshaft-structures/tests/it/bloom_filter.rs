//! A Bloom filter never forgets, and is wrong as often as it says.

use lineshaft_structures::{BloomFilter, Unreadable};
use proptest::prelude::*;

/// The numbers of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014): all different, and as good as random.
fn hash(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn filled(capacity: u64, error_rate: f64) -> BloomFilter {
    let mut filter = BloomFilter::new(capacity, error_rate).unwrap();
    (0..capacity).for_each(|number| {
        filter.insert(hash(number));
    });
    filter
}

/// Ten thousand strangers that were taken for members tell the rate to 3 % in three of three times; 10 % are allowed.
#[test]
fn strangers_are_taken_for_members_as_often_as_theory_says() {
    for (capacity, error_rate) in [(100_000, 0.01), (30_000, 0.05), (200_000, 0.003)] {
        let filter = filled(capacity, error_rate);
        let asked = (10_000.0 / error_rate) as u64;
        let wrong = (capacity..capacity + asked).filter(|number| filter.contains(hash(*number))).count();
        let (measured, theory) = (wrong as f64 / asked as f64, filter.error_rate_at(capacity));
        assert!(theory <= error_rate && theory > 0.98 * error_rate, "{theory} for {error_rate}");
        assert!((measured / theory - 1.0).abs() < 0.1, "{measured} instead of {theory}");
    }
}

#[test]
fn the_number_of_members_is_told_from_the_bits() {
    assert_eq!(BloomFilter::new(10, 0.01).unwrap().estimated_count(), 0);
    for capacity in [1_000, 100_000] {
        let estimate = filled(capacity, 0.01).estimated_count() as f64;
        assert!((estimate / capacity as f64 - 1.0).abs() < 0.05, "{estimate} of {capacity}");
    }
}

/// The example that Parquet's readers share: who writes a filter's blocks into such a file has them read.
#[test]
fn bits_are_where_parquet_has_them() {
    let mut filter = BloomFilter::with_bits(1, 256).unwrap();
    filter.insert(0x0000_0001_0000_0001);
    let bytes = filter.to_bytes([0; 2]);
    let (words, _) = bytes[40..].as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    // The upper five bits of each salt, by hand.
    assert_eq!(words, [8, 8, 17, 20, 14, 5, 19, 11].map(|bit| 1 << bit));
}

#[test]
fn a_filter_that_there_is_no_room_for_is_refused() {
    let refused = BloomFilter::new(u64::MAX, 0.01).unwrap_err();
    assert!(refused.bytes > 16 << 30);
    assert!(BloomFilter::with_bits(u64::MAX, u32::MAX).is_err());
}

#[test]
fn only_filters_of_one_size_have_a_union() {
    let (mut small, large) = (BloomFilter::new(10, 0.01).unwrap(), BloomFilter::new(1_000, 0.01).unwrap());
    let error = small.unite(&large).unwrap_err();
    assert_eq!((error.bytes, error.other_bytes), (small.size_bytes(), large.size_bytes()));
}

/// A bit changed anywhere in the bytes, and every length, is noticed.
#[test]
fn bytes_that_were_changed_or_cut_are_refused() {
    let bytes = filled(20, 0.01).to_bytes([7, 8]);
    for at in 0..8 * bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(BloomFilter::from_bytes(&bytes).is_err(), "bit {at}");
    }
    for length in 0..bytes.len() {
        assert!(BloomFilter::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(BloomFilter::from_bytes(b"PAR1"), Err(Unreadable::Foreign));
}

proptest! {
    #[test]
    fn what_was_added_is_found_also_in_unions_and_after_bytes(
        ours in prop::collection::vec(any::<u64>(), 0..200),
        theirs in prop::collection::vec(any::<u64>(), 0..200),
        capacity in 0_u64..300,
        mark in any::<[u64; 2]>(),
    ) {
        let empty = BloomFilter::new(capacity, 0.01).unwrap();
        let (mut filter, mut other) = (empty.clone(), empty.clone());
        for hash in &ours {
            let was_there = filter.contains(*hash);
            prop_assert_eq!(filter.insert(*hash), !was_there);
        }
        theirs.iter().for_each(|hash| { other.insert(*hash); });
        let both: Vec<u64> = ours.iter().chain(&theirs).copied().collect();
        let mut at_once = empty.clone();
        both.iter().for_each(|hash| { at_once.insert(*hash); });
        filter.unite(&other).unwrap();
        prop_assert_eq!(&filter, &at_once);
        let (read, read_mark) = BloomFilter::from_bytes(&filter.to_bytes(mark)).unwrap();
        prop_assert_eq!((&read, read_mark), (&filter, mark));
        prop_assert!(both.iter().all(|hash| read.contains(*hash)));
        filter.clear();
        prop_assert_eq!(filter, empty);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut forged = b"LSBLOOM1".to_vec();
        forged.extend_from_slice(&bytes);
        prop_assert!(BloomFilter::from_bytes(&bytes).is_err() && BloomFilter::from_bytes(&forged).is_err());
    }
}
