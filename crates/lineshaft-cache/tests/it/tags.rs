//! Tags in bulk: their entries go without being gone through, and leave nothing.

use lineshaft_cache::{Cache, Capacity, Options, Terms};

#[test]
fn the_room_of_what_a_tag_took_comes_back_with_use() {
    let mut cache: Cache<u32, u32> =
        Cache::new(&Options { capacity: Capacity::Entries(10_000), ..Options::default() });
    (0..5_000).for_each(|key| cache.insert(key, key, &Terms { tags: &["old"], ..Terms::default() }, 0));
    assert!(cache.invalidate_tag("old"));
    (10_000..11_000).for_each(|key| cache.insert(key, key, &Terms::default(), 0));
    assert_eq!(cache.len(), 1_000);
    assert_eq!(cache.statistics().invalidations, 5_000);
    assert!(!cache.invalidate_tag("old"), "a tag without entries is forgotten");
}

#[test]
fn a_tag_counts_what_is_found_under_it() {
    let mut cache: Cache<u32, u32> = Cache::new(&Options::default());
    cache.insert(1, 1, &Terms { tags: &["a", "b", "a"], ..Terms::default() }, 0);
    cache.insert(2, 2, &Terms { tags: &["a"], ..Terms::default() }, 0);
    cache.get(&1, 0);
    cache.invalidate_tag("b");
    let (a, b) = (cache.tag_statistics("a"), cache.tag_statistics("b"));
    assert_eq!((a.entries, a.hits, b.entries, b.hits, b.invalidations), (2, 1, 0, 1, 1));
    assert!(cache.get(&1, 0).is_none());
    assert_eq!(cache.tag_statistics("a").entries, 1);
}
