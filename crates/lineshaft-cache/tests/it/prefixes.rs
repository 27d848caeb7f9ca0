//! All whose key begins with a text go at once, and nobody else does.

use std::collections::BTreeMap;

use lineshaft_cache::{Cache, Capacity, Options, Reason, Terms};
use proptest::prelude::*;

#[test]
fn a_prefix_takes_those_that_begin_with_it_and_what_depends_on_them() {
    let mut cache: Cache<String, u32> = Cache::new(&Options::default());
    for (number, key) in ["user:4", "user:42:name", "user:42:mail", "page"].into_iter().enumerate() {
        cache.insert(key.to_owned(), number as u32, &Terms::default(), 0);
    }
    let terms = Terms::default();
    cache.insert_dependent("menu".to_owned(), 9, &["user:42:name".to_owned()], &terms, 0).unwrap();
    cache.insert_dependent("list".to_owned(), 9, &["user:42:absent".to_owned()], &terms, 0).unwrap();
    assert_eq!(cache.invalidate_prefix("user:42:"), 2);
    let here = ["user:4", "user:42:name", "user:42:mail", "page", "menu", "list"];
    assert_eq!(here.map(|key| cache.peek(key, 0).is_some()), [true, false, false, true, false, false]);
    assert_eq!(cache.invalidate_prefix("user:42:"), 0);
    assert_eq!(cache.invalidate_prefix(""), 2);
    assert!(cache.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Insert(String),
    Invalidate(String),
    InvalidatePrefix(String),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => "[ab:]{0,4}".prop_map(Step::Insert),
        2 => "[ab:]{0,4}".prop_map(Step::Invalidate),
        2 => "[ab:]{0,2}".prop_map(Step::InvalidatePrefix),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    /// With little room, so that entries also go for want of it: the listener says which are here.
    #[test]
    fn prefixes_agree_with_a_search_through_all(
        steps in prop::collection::vec(step(), 1..150),
        room in 1..12_u32,
    ) {
        let options = Options { capacity: Capacity::Entries(room), ..Options::default() };
        let mut cache: Cache<String, usize> = Cache::new(&options);
        let gone = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = std::sync::Arc::clone(&gone);
        cache.listen(Box::new(move |key, value, reason| told.lock().unwrap().push((key.clone(), value.copied(), reason))));
        let mut naive: BTreeMap<String, usize> = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(key) => {
                    cache.insert(key.clone(), number, &Terms::default(), 0);
                    naive.insert(key, number);
                }
                Step::Invalidate(key) => {
                    prop_assert_eq!(cache.invalidate(key.as_str()), naive.remove(&key).is_some());
                }
                Step::InvalidatePrefix(prefix) => {
                    let count = naive.len();
                    naive.retain(|key, _| !key.starts_with(&prefix));
                    prop_assert_eq!(cache.invalidate_prefix(&prefix), count - naive.len());
                }
                Step::Clear => {
                    cache.clear();
                    naive.clear();
                }
            }
            for (key, value, reason) in gone.lock().unwrap().drain(..) {
                if reason == Reason::Capacity && naive.get(&key) == value.as_ref() {
                    naive.remove(&key);
                }
            }
            prop_assert_eq!(cache.len() as usize, naive.len());
            for (key, value) in &naive {
                prop_assert_eq!(cache.peek(key.as_str(), 0), Some(Some(value)));
            }
        }
    }
}
