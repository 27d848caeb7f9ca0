//! A graph in order against one that looks for a way each time.

use lineshaft_structures::{Cycle, Dag};
use proptest::prelude::*;

const NODES: u8 = 10;

/// All edges, and nothing else.
#[derive(Default)]
struct Naive(Vec<(u8, u8)>);

impl Naive {
    fn after(&self, name: u8) -> Vec<u8> {
        let mut found: Vec<u8> = Vec::new();
        loop {
            let is_new = |to: &u8| !found.contains(to);
            let edges = self.0.iter().filter(|(from, _)| *from == name || found.contains(from));
            let Some(next) = edges.map(|(_, to)| *to).find(is_new) else { break };
            found.push(next);
        }
        found.sort_unstable();
        found
    }

    fn closes(&self, from: u8, to: u8) -> bool {
        from == to || self.after(to).contains(&from)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, u8),
    RemoveEdge(u8, u8),
    RemoveNode(u8),
    Set(u8, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        8 => (node(), node()).prop_map(|(from, to)| Step::Add(from, to)),
        2 => (node(), node()).prop_map(|(from, to)| Step::RemoveEdge(from, to)),
        1 => node().prop_map(Step::RemoveNode),
        3 => (node(), prop::collection::vec(node(), 0..4)).prop_map(|(to, before)| Step::Set(to, before)),
    ]
}

/// A way that really is one: it begins where the edge ends, goes along edges, and ends with the refused one.
fn check_way(Cycle(way): &Cycle<u8>, naive: &Naive, to: u8) {
    assert_eq!((way.first(), way.last()), (Some(&to), Some(&to)));
    assert!(way[..way.len() - 1].windows(2).all(|pair| naive.0.contains(&(pair[0], pair[1]))), "{way:?}");
}

proptest! {
    #[test]
    fn every_edge_leads_onwards_and_none_closes_a_way(steps in prop::collection::vec(step(), 1..80)) {
        let (mut dag, mut naive) = (Dag::default(), Naive::default());
        for step in steps {
            match step {
                Step::Add(from, to) => match dag.add_edge(&from, &to) {
                    Ok(is_new) => {
                        prop_assert!(!naive.closes(from, to));
                        prop_assert_eq!(is_new, !naive.0.contains(&(from, to)));
                        naive.0.retain(|edge| *edge != (from, to));
                        naive.0.push((from, to));
                    }
                    Err(cycle) => {
                        prop_assert!(naive.closes(from, to));
                        check_way(&cycle, &naive, to);
                    }
                },
                Step::RemoveEdge(from, to) => {
                    let was_there = naive.0.contains(&(from, to));
                    naive.0.retain(|edge| *edge != (from, to));
                    prop_assert_eq!(dag.remove_edge(&from, &to), was_there);
                }
                Step::RemoveNode(name) => {
                    let had: Vec<u8> = dag.successors(&name).into_iter().copied().collect();
                    let was_there = dag.contains(&name);
                    naive.0.retain(|(from, to)| *from != name && *to != name);
                    let ready = dag.remove_node(&name);
                    prop_assert_eq!(ready.is_some(), was_there);
                    let free: Vec<u8> = had.into_iter().filter(|one| naive.0.iter().all(|(_, to)| to != one)).collect();
                    prop_assert_eq!(ready.unwrap_or_default(), free);
                }
                Step::Set(to, before) => {
                    let nodes = dag.len();
                    let closes = before.iter().any(|from| naive.closes(*from, to));
                    let mut rest = Naive(naive.0.iter().copied().filter(|edge| edge.1 != to).collect());
                    rest.0.extend(before.iter().map(|from| (*from, to)));
                    rest.0.sort_unstable();
                    rest.0.dedup();
                    match dag.set_predecessors(&to, &before) {
                        Ok(()) => {
                            prop_assert!(!closes);
                            naive = rest;
                        }
                        Err(cycle) => {
                            prop_assert!(closes);
                            prop_assert_eq!(dag.len(), nodes, "nobody came");
                            let mut with = Naive(naive.0.clone());
                            with.0.extend(before.iter().map(|from| (*from, to)));
                            check_way(&cycle, &with, to);
                        }
                    }
                }
            }
            let order: Vec<u8> = dag.order().into_iter().copied().collect();
            let place = |name: u8| order.iter().position(|other| *other == name);
            prop_assert!(naive.0.iter().all(|(from, to)| place(*from).unwrap() < place(*to).unwrap()));
            prop_assert_eq!((dag.edge_count(), dag.len()), (naive.0.len(), order.len()));
            for name in 0..NODES {
                let mut after: Vec<u8> = dag.descendants(&name).into_iter().copied().collect();
                prop_assert!(after.is_sorted_by_key(|one| place(*one)));
                after.sort_unstable();
                prop_assert_eq!(after, naive.after(name));
                let ancestors = (0..NODES).filter(|other| naive.after(*other).contains(&name)).count();
                prop_assert_eq!(dag.ancestors(&name).len(), ancestors);
                let is_ready = dag.contains(&name) && naive.0.iter().all(|(_, to)| *to != name);
                prop_assert_eq!(dag.ready().contains(&&name), is_ready);
            }
        }
    }
}

/// What is ready is done, and what becomes ready by that after it.
#[test]
fn going_through_it_meets_everybody_once_in_order() {
    let mut dag = Dag::default();
    for (before, after) in [(1, 3), (2, 3), (3, 4), (2, 5), (4, 6), (5, 6)] {
        dag.add_edge(&before, &after).unwrap();
    }
    let mut open: Vec<i32> = dag.ready().into_iter().copied().collect();
    let mut done = Vec::new();
    while let Some(name) = open.pop() {
        open.extend(dag.remove_node(&name).unwrap());
        done.push(name);
    }
    let place = |name| done.iter().position(|other| *other == name).unwrap();
    assert!(place(3) > place(1).max(place(2)) && place(6) > place(4).max(place(5)));
    assert_eq!((done.len(), dag.len(), dag.edge_count()), (6, 0, 0));
}
