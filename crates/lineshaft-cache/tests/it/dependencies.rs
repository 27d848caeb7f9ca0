//! A change reaches all that depends on it, and nothing depends on itself.

use lineshaft_cache::{Cache, Cycle, Error, Graph, Options, Terms};
use proptest::prelude::*;

fn cache(rows: &[(u32, &[u32])]) -> Cache<u32, u32> {
    let mut cache = Cache::new(&Options::default());
    for &(key, sources) in rows {
        cache.insert_dependent(key, key, sources, &Terms::default(), 0).unwrap();
    }
    cache
}

fn here(cache: &mut Cache<u32, u32>) -> Vec<u32> {
    (0..10).filter(|key| cache.peek(key, 0).is_some()).collect()
}

#[test]
fn a_change_reaches_everybody_behind_it() {
    let rows: &[(u32, &[u32])] = &[(1, &[]), (2, &[1]), (3, &[2]), (4, &[3, 1]), (5, &[])];
    let mut cache = self::cache(rows);
    cache.insert(2, 20, &Terms::default(), 0);
    assert_eq!(here(&mut cache), [1, 2, 5], "a new value is a change");
    let mut cache = self::cache(rows);
    assert!(cache.invalidate(&1));
    assert_eq!(here(&mut cache), [5]);
}

#[test]
fn a_source_need_not_be_here() {
    let mut cache = cache(&[(2, &[1])]);
    assert!(!cache.invalidate(&1));
    assert_eq!(here(&mut cache), []);
}

#[test]
fn the_tag_of_a_source_reaches_who_depends_on_it() {
    let mut cache: Cache<u32, u32> = Cache::new(&Options::default());
    cache.insert(1, 1, &Terms { tags: &["t"], ..Terms::default() }, 0);
    cache.insert_dependent(2, 2, &[1], &Terms::default(), 0).unwrap();
    cache.insert_dependent(3, 3, &[2], &Terms::default(), 0).unwrap();
    cache.invalidate_tag("t");
    assert_eq!(here(&mut cache), []);
}

#[test]
fn a_cycle_is_refused_by_name_and_changes_nothing() {
    let mut cache = cache(&[(2, &[1]), (3, &[2])]);
    let error = cache.insert_dependent(1, 10, &[3], &Terms::default(), 0).unwrap_err();
    assert_eq!(error, Error::Cycle { path: ["1", "3", "2", "1"].map(String::from).to_vec() });
    assert_eq!(error.to_string(), "the dependencies of a key come back to it: 1 -> 3 -> 2 -> 1");
    assert_eq!(here(&mut cache), [2, 3]);
}

#[test]
fn nothing_is_left_of_those_who_went() {
    let mut graph = Graph::default();
    graph.set(&1, &[2, 3]).unwrap();
    graph.set(&0, &[1]).unwrap();
    graph.forget(&1);
    assert_eq!(graph.dependants(&2), []);
    assert_eq!(graph.dependants(&1), [0]);
    graph.forget(&0);
    assert!(graph.is_empty());
}

proptest! {
    /// Beside all pairs, found by going on until nothing new comes.
    #[test]
    fn who_depends_on_whom_is_what_the_edges_say(
        edges in prop::collection::vec((0..12_u8, prop::collection::vec(0..12_u8, 0..4)), 1..60),
    ) {
        let mut graph = Graph::default();
        let mut sources: Vec<Vec<u8>> = vec![Vec::new(); 12];
        for (name, to) in edges {
            let closes = to.iter().any(|&source| source == name || behind(&sources, name).contains(&source));
            match graph.set(&name, &to) {
                Ok(()) => {
                    prop_assert!(!closes);
                    sources[usize::from(name)] = to;
                }
                Err(Cycle(path)) => {
                    prop_assert!(closes);
                    prop_assert_eq!(path.first(), path.last());
                    prop_assert!(to.contains(&path[1]) && path[1..].windows(2).all(|pair| sources[usize::from(pair[0])].contains(&pair[1])));
                }
            }
            for name in 0..12 {
                let mut found = graph.dependants(&name);
                found.sort_unstable();
                prop_assert_eq!(found, behind(&sources, name));
            }
        }
    }
}

fn behind(sources: &[Vec<u8>], name: u8) -> Vec<u8> {
    let mut found: Vec<u8> = Vec::new();
    loop {
        let more = (0..12).filter(|&other| {
            let direct = &sources[usize::from(other)];
            !found.contains(&other) && direct.iter().any(|source| *source == name || found.contains(source))
        });
        let more: Vec<u8> = more.collect();
        if more.is_empty() {
            found.sort_unstable();
            return found;
        }
        found.extend(more);
    }
}
