//! The structures beside the naive way and the best library: `cargo bench -p lineshaft-structures --bench structures`.

#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::time::Instant;

use lineshaft_structures::{BloomFilter, Dag, Trie};
use patricia_tree::PatriciaMap;
use petgraph::acyclic::Acyclic;
use petgraph::data::Build;
use petgraph::graph::DiGraph;
use rustc_hash::FxHashSet;

const MEMBERS: u64 = 1_000_000;
const KEYS: u32 = 1_000_000;
const TENANTS: u32 = 1_000;
const NODES: usize = 100_000;
const EDGES: usize = 300_000;
/// The naive way looks for a way with each edge: more would take for ever.
const NODES_NAIVE: usize = 2_000;

fn main() {
    filters();
    tries();
    dags();
}

/// Runs it `count` times and prints the nanoseconds of each.
fn measure<T>(what: &str, count: usize, run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let made = black_box(run());
    let each = began.elapsed().as_nanos() as f64 / count as f64;
    println!("  {what:58} {each:12.1} ns  {:8.2} M/s", 1e3 / each);
    made
}

/// The numbers of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn hash(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn filters() {
    println!("{MEMBERS} hashes, 1 % wrong:");
    let count = MEMBERS as usize;
    let absent = MEMBERS..2 * MEMBERS;
    let mut ours = BloomFilter::new(MEMBERS, 0.01).expect("there is room");
    measure("BloomFilter::insert", count, || {
        for number in 0..MEMBERS {
            ours.insert(hash(number));
        }
    });
    measure("BloomFilter::contains, there", count, || {
        assert!((0..MEMBERS).all(|number| ours.contains(hash(number))));
    });
    let wrong = measure("BloomFilter::contains, not there", count, || {
        absent.clone().filter(|number| ours.contains(hash(*number))).count()
    });
    let (rate, theory) = (wrong as f64 / count as f64, ours.error_rate_at(MEMBERS));
    println!("  {} bytes; wrong in {:.3} %, theory {:.3} %", ours.size_bytes(), 100.0 * rate, 100.0 * theory);
    let mut theirs = fastbloom::BloomFilter::with_false_pos(0.01).seed(&1).expected_items(count);
    measure("fastbloom, insert_hash", count, || {
        for number in 0..MEMBERS {
            theirs.insert_hash(hash(number));
        }
    });
    let wrong = measure("fastbloom, contains_hash, not there", count, || {
        absent.clone().filter(|number| theirs.contains_hash(hash(*number))).count()
    });
    println!("  {} bytes; wrong in {:.3} %", theirs.num_bits() / 8, 100.0 * wrong as f64 / count as f64);
    let naive: FxHashSet<u64> = measure("FxHashSet<u64>, insert", count, || (0..MEMBERS).map(hash).collect());
    measure("FxHashSet<u64>, contains, not there", count, || {
        absent.filter(|number| naive.contains(&hash(*number))).count()
    });
}

fn key(number: u32) -> String {
    let mixed = hash(u64::from(number));
    format!("tenant:{}:user:{mixed:x}", mixed as u32 % TENANTS)
}

fn tries() {
    println!("{KEYS} keys of {TENANTS} tenants:");
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let texts: Vec<String> = keys.iter().map(|key| format!("{key}:name:first")).collect();
    let count = keys.len();
    let prefix = |tenant: u32| format!("tenant:{tenant}:");
    let mut ours = Trie::default();
    let before = resident_bytes();
    measure("Trie::insert", count, || {
        for (number, key) in (0..).zip(&keys) {
            ours.insert(key.as_bytes(), number);
        }
    });
    println!("  {} bytes each", (resident_bytes() - before) / count);
    measure("Trie::get", count, || keys.iter().filter(|key| ours.contains(key.as_bytes())).count());
    measure("Trie::longest_prefix", count, || {
        texts.iter().filter_map(|text| ours.longest_prefix(text.as_bytes())).count()
    });
    measure("Trie::remove_prefix, a tenant of about a thousand", 100, || {
        (0..100).map(|tenant| ours.remove_prefix(prefix(tenant).as_bytes()).len()).sum::<usize>()
    });
    let mut theirs = PatriciaMap::new();
    let before = resident_bytes();
    measure("patricia_tree, insert", count, || {
        for (number, key) in (0..).zip(&keys) {
            theirs.insert(key, number);
        }
    });
    println!("  {} bytes each", (resident_bytes() - before) / count);
    measure("patricia_tree, get", count, || keys.iter().filter(|key| theirs.get(key).is_some()).count());
    measure("patricia_tree, get_longest_common_prefix", count, || {
        texts.iter().filter_map(|text| theirs.get_longest_common_prefix(text.as_bytes())).count()
    });
    measure("patricia_tree, split_by_prefix, a tenant", 100, || {
        (0..100).map(|tenant| theirs.split_by_prefix(prefix(tenant)).len()).sum::<usize>()
    });
    maps(&keys, &texts, prefix);
}

/// The naive ways: an ordered map, and going through a hash map.
fn maps(keys: &[String], texts: &[String], prefix: impl Fn(u32) -> String) {
    let count = keys.len();
    let mut ordered: BTreeMap<Box<[u8]>, u32> = BTreeMap::new();
    let before = resident_bytes();
    measure("BTreeMap, insert", count, || {
        for (number, key) in (0..).zip(keys) {
            ordered.insert(key.as_bytes().into(), number);
        }
    });
    println!("  {} bytes each", (resident_bytes() - before) / count);
    measure("BTreeMap, get", count, || {
        keys.iter().filter(|key| ordered.contains_key(key.as_bytes())).count()
    });
    measure("BTreeMap, the longest prefix by trying every length", count / 10, || {
        let longest = |text: &&String| {
            let bytes = text.as_bytes();
            (0..=bytes.len()).rev().find_map(|length| ordered.get(&bytes[..length])).is_some()
        };
        texts.iter().take(count / 10).filter(longest).count()
    });
    measure("BTreeMap, a range taken out, a tenant", 100, || {
        for tenant in 0..100 {
            let first: Box<[u8]> = prefix(tenant).into_bytes().into();
            let under = ordered.range(first.clone()..).take_while(|(key, _)| key.starts_with(&first));
            let gone: Vec<Box<[u8]>> = under.map(|(key, _)| key.clone()).collect();
            for key in &gone {
                ordered.remove(key);
            }
        }
    });
    let mut hashed: HashMap<&str, u32> = keys.iter().map(String::as_str).zip(0..).collect();
    measure("HashMap, all gone through, a tenant", 10, || {
        (0..10).for_each(|tenant| hashed.retain(|key, _| !key.starts_with(&prefix(tenant))));
    });
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    4096 * statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0)
}

/// Edges of a graph without cycles whose order nobody knows, as they come.
fn edges(nodes: usize, edges: usize) -> Vec<(u64, u64)> {
    let name = |place: u64| hash(place) % (1 << 40);
    (0..edges as u64)
        .map(|number| (hash(3 * number) % nodes as u64, hash(3 * number + 1) % nodes as u64))
        .filter(|(one, other)| one != other)
        .map(|(one, other)| (name(one.min(other)), name(one.max(other))))
        .collect()
}

fn dags() {
    println!("{EDGES} edges between {NODES} nodes in no order:");
    let some = edges(NODES, EDGES);
    measure("Dag::add_edge", some.len(), || in_order(&some));
    measure("petgraph's Acyclic, try_add_edge, and a map of names", some.len(), || {
        let mut graph: Acyclic<DiGraph<(), ()>> = Acyclic::new();
        let mut numbers = HashMap::new();
        for (before, after) in &some {
            let before = *numbers.entry(*before).or_insert_with(|| graph.add_node(()));
            let after = *numbers.entry(*after).or_insert_with(|| graph.add_node(()));
            graph.try_add_edge(before, after, ()).expect("no cycle");
        }
        graph
    });
    let few = edges(NODES_NAIVE, 3 * NODES_NAIVE);
    println!("{} edges between {NODES_NAIVE} nodes:", few.len());
    measure("Dag::add_edge", few.len(), || in_order(&few));
    measure("a search for a way with each edge", few.len(), || {
        let mut after: HashMap<u64, Vec<u64>> = HashMap::new();
        for (from, to) in &few {
            assert!(!leads(&after, *to, *from));
            after.entry(*from).or_default().push(*to);
        }
        after
    });
    let chain: Vec<(u64, u64)> = (0..NODES as u64).map(|number| (number, number + 1)).collect();
    println!("a chain of {NODES} nodes that grows at its end:");
    measure("Dag::add_edge", NODES, || in_order(&chain));
}

fn in_order(edges: &[(u64, u64)]) -> Dag<u64> {
    let mut dag = Dag::default();
    for (before, after) in edges {
        dag.add_edge(before, after).expect("no cycle");
    }
    dag
}

fn leads(after: &HashMap<u64, Vec<u64>>, from: u64, to: u64) -> bool {
    let (mut open, mut seen) = (vec![from], FxHashSet::default());
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        open.extend(after.get(&at).into_iter().flatten().filter(|next| seen.insert(**next)));
    }
    false
}
