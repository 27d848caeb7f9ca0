//! A trie against an ordered map.

use std::collections::BTreeMap;

use lineshaft_structures::Trie;
use proptest::prelude::*;

/// Few letters and one of two bytes, so that keys begin alike and labels are split at every place.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0), Just(255)], 0..7)
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, u32),
    Remove(Vec<u8>),
    RemovePrefix(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (key(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
        3 => key().prop_map(Step::Remove),
        1 => key().prop_map(Step::RemovePrefix),
    ]
}

proptest! {
    #[test]
    fn a_trie_is_an_ordered_map_with_prefixes(
        steps in prop::collection::vec(step(), 1..120),
        asked in prop::collection::vec(key(), 1..10),
    ) {
        let (mut trie, mut naive) = (Trie::default(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Insert(key, value) => prop_assert_eq!(trie.insert(&key, value), naive.insert(key, value)),
                Step::Remove(key) => prop_assert_eq!(trie.remove(&key), naive.remove(&key)),
                Step::RemovePrefix(prefix) => {
                    let gone: Vec<u32> = naive.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(_, value)| *value).collect();
                    prop_assert_eq!(trie.remove_prefix(&prefix), gone);
                    naive.retain(|key, _| !key.starts_with(&prefix));
                }
            }
            prop_assert_eq!(trie.len(), naive.len());
            let all: Vec<(Vec<u8>, u32)> = trie.iter().map(|(key, value)| (key, *value)).collect();
            prop_assert_eq!(&all, &naive.clone().into_iter().collect::<Vec<_>>());
        }
        for key in asked {
            prop_assert_eq!(trie.get(&key), naive.get(&key));
            let under: Vec<Vec<u8>> = trie.with_prefix(&key).map(|(key, _)| key).collect();
            let expected: Vec<Vec<u8>> = naive.keys().filter(|other| other.starts_with(&key)).cloned().collect();
            prop_assert_eq!(under, expected);
            let over: Vec<(usize, &u32)> = trie.prefixes(&key).collect();
            let expected: Vec<(usize, &u32)> = naive.iter().filter(|(other, _)| key.starts_with(other)).map(|(other, value)| (other.len(), value)).collect();
            prop_assert_eq!(trie.longest_prefix(&key), expected.last().copied());
            prop_assert_eq!(over, expected);
        }
    }
}

/// A key in a key in a key: what goes through nodes by calling itself would run out of this little stack.
#[test]
fn keys_may_be_nested_as_deep_as_there_is_memory() {
    let nested = || {
        let longest = vec![b'a'; 5_000];
        let mut trie = Trie::default();
        for length in 0..=longest.len() {
            trie.insert(&longest[..length], length);
        }
        assert_eq!(trie.longest_prefix(&longest), Some((5_000, &5_000)));
        assert_eq!(trie.remove_prefix(b"aa").len(), 4_999);
        assert_eq!(trie.iter().map(|(key, _)| key.len()).collect::<Vec<_>>(), [0, 1]);
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(nested).unwrap().join().unwrap();
}
