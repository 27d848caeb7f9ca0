//! A graph without cycles that is in order at any time.

mod order;

use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};

/// Nodes `N` with edges from those that come before to those that come after them, and no way from a node to itself.
///
/// The order of all nodes is kept while edges come, by the algorithm of Pearce and Kelly ("A Dynamic Topological Sort
/// Algorithm for Directed Acyclic Graphs", JEA 2006). An edge between nodes that stand in order already costs O(1), and so
/// does one from or to a new node; another one costs as much as there is between its ends.
///
/// ```
/// use lineshaft_structures::{Cycle, Dag};
///
/// let mut dag = Dag::default();
/// dag.add_edge(&"flour", &"dough")?;
/// dag.add_edge(&"dough", &"bread")?;
/// assert_eq!(dag.order(), [&"flour", &"dough", &"bread"]);
/// let refused = dag.add_edge(&"bread", &"flour").unwrap_err();
/// assert_eq!(refused, Cycle(vec!["flour", "dough", "bread", "flour"]));
/// # Ok::<(), Cycle<&str>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dag<N> {
    numbers: FxHashMap<N, u32>,
    nodes: Vec<Node<N>>,
    free: Vec<u32>,
    edges: usize,
    /// Places given away so far are between these two.
    front: i64,
    back: i64,
}

/// The way that an edge would have closed: from the node to which it leads, along edges, to the node it comes from, and
/// by itself back to the first, which is also the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle<N>(pub Vec<N>);

#[derive(Clone, Debug)]
struct Node<N> {
    /// None for one that is free.
    name: Option<N>,
    /// In the order: smaller than the place of every node after it.
    place: i64,
    before: FxHashSet<u32>,
    after: FxHashSet<u32>,
}

impl<N> Default for Dag<N> {
    fn default() -> Self {
        let (numbers, nodes, free) = Default::default();
        Self { numbers, nodes, free, edges: 0, front: 0, back: 0 }
    }
}

impl<N: Clone + Eq + Hash> Dag<N> {
    /// Adds a node; whether it is new. O(1).
    pub fn add_node(&mut self, name: &N) -> bool {
        let is_new = !self.contains(name);
        self.at_back(name);
        is_new
    }

    /// Adds an edge, and its nodes where they are not there; whether it is new. Changes nothing if it gives a cycle.
    pub fn add_edge(&mut self, before: &N, after: &N) -> Result<bool, Cycle<N>> {
        if before == after {
            return Err(Cycle(vec![after.clone(), before.clone()]));
        }
        let (from, to) = (self.at_front(before), self.at_back(after));
        if self.node(from).after.contains(&to) {
            return Ok(false);
        }
        self.bring_in_order(from, to)?;
        self.node_mut(from).after.insert(to);
        self.node_mut(to).before.insert(from);
        self.edges += 1;
        Ok(true)
    }

    /// Removes an edge; whether it was there. Its nodes stay. O(1).
    pub fn remove_edge(&mut self, before: &N, after: &N) -> bool {
        let (Some(from), Some(to)) = (self.number(before), self.number(after)) else { return false };
        let was_there = self.node_mut(from).after.remove(&to);
        self.node_mut(to).before.remove(&from);
        self.edges -= usize::from(was_there);
        was_there
    }

    /// Has exactly these nodes come before `name`, all of which are added where they are not there. Changes nothing if it
    /// gives a cycle.
    pub fn set_predecessors(&mut self, name: &N, predecessors: &[N]) -> Result<(), Cycle<N>> {
        let strangers: Vec<&N> =
            predecessors.iter().chain([name]).filter(|one| !self.contains(one)).collect();
        // Those of before cannot be part of a cycle: a way that ends here before it comes to one is one already.
        let mut added: Vec<&N> = Vec::new();
        for predecessor in predecessors {
            match self.add_edge(predecessor, name) {
                Ok(true) => added.push(predecessor),
                Ok(false) => {}
                Err(cycle) => {
                    for one in added {
                        self.remove_edge(one, name);
                    }
                    for one in strangers {
                        self.remove_node(one);
                    }
                    return Err(cycle);
                }
            }
        }
        let number = self.at_back(name);
        let wanted: FxHashSet<u32> = predecessors.iter().filter_map(|one| self.number(one)).collect();
        let unwanted: Vec<u32> = self.node(number).before.difference(&wanted).copied().collect();
        for from in unwanted {
            self.node_mut(from).after.remove(&number);
            self.node_mut(number).before.remove(&from);
            self.edges -= 1;
        }
        Ok(())
    }

    /// Removes a node with its edges. Gives those that nothing comes before any more because of that, in order; `None` if
    /// it was not there. O(edges of the node).
    pub fn remove_node(&mut self, name: &N) -> Option<Vec<N>> {
        let number = self.numbers.remove(name)?;
        self.free.push(number);
        let node = self.node_mut(number);
        node.name = None;
        let (before, after) = (std::mem::take(&mut node.before), std::mem::take(&mut node.after));
        self.edges -= before.len() + after.len();
        for from in before {
            self.node_mut(from).after.remove(&number);
        }
        let mut ready = Vec::new();
        for to in after {
            let node = self.node_mut(to);
            node.before.remove(&number);
            if node.before.is_empty() {
                ready.push(to);
            }
        }
        Some(self.names_in_order(ready).into_iter().cloned().collect())
    }

    /// All nodes, each after all that come before it. O(nodes · log nodes).
    pub fn order(&self) -> Vec<&N> {
        self.names_in_order(self.numbers.values().copied().collect())
    }

    /// All nodes, in no order.
    pub fn nodes(&self) -> impl Iterator<Item = &N> {
        self.numbers.keys()
    }

    /// The nodes that nothing comes before, in order. O(nodes).
    pub fn ready(&self) -> Vec<&N> {
        let all = self.numbers.values().copied();
        self.names_in_order(all.filter(|&number| self.node(number).before.is_empty()).collect())
    }

    /// The nodes from which an edge leads to `name`, in order.
    pub fn predecessors(&self, name: &N) -> Vec<&N> {
        let numbers = self.number(name).map(|number| self.node(number).before.iter().copied().collect());
        self.names_in_order(numbers.unwrap_or_default())
    }

    /// The nodes to which an edge leads from `name`, in order.
    pub fn successors(&self, name: &N) -> Vec<&N> {
        let numbers = self.number(name).map(|number| self.node(number).after.iter().copied().collect());
        self.names_in_order(numbers.unwrap_or_default())
    }

    /// All from which a way leads to `name`, in order.
    pub fn ancestors(&self, name: &N) -> Vec<&N> {
        self.names_in_order(self.reached(name, |node| &node.before))
    }

    /// All to which a way leads from `name`, in order.
    pub fn descendants(&self, name: &N) -> Vec<&N> {
        self.names_in_order(self.reached(name, |node| &node.after))
    }

    /// Whether there is this node.
    pub fn contains(&self, name: &N) -> bool {
        self.numbers.contains_key(name)
    }

    /// Whether there is this edge.
    pub fn contains_edge(&self, before: &N, after: &N) -> bool {
        let numbers = self.number(before).zip(self.number(after));
        numbers.is_some_and(|(from, to)| self.node(from).after.contains(&to))
    }

    /// Whether the node has no edges, or is not there.
    pub fn is_lone(&self, name: &N) -> bool {
        let node = self.number(name).map(|number| self.node(number));
        node.is_none_or(|node| node.before.is_empty() && node.after.is_empty())
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Number of edges.
    pub fn edge_count(&self) -> usize {
        self.edges
    }

    fn reached(&self, name: &N, edges: impl Fn(&Node<N>) -> &FxHashSet<u32>) -> Vec<u32> {
        let mut open: Vec<u32> = self.number(name).into_iter().collect();
        let mut seen: FxHashSet<u32> = FxHashSet::default();
        while let Some(at) = open.pop() {
            open.extend(edges(self.node(at)).iter().filter(|&&next| seen.insert(next)));
        }
        seen.into_iter().collect()
    }

    fn names_in_order(&self, mut numbers: Vec<u32>) -> Vec<&N> {
        numbers.sort_unstable_by_key(|&number| self.node(number).place);
        numbers.into_iter().filter_map(|number| self.node(number).name.as_ref()).collect()
    }

    fn number(&self, name: &N) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    fn node(&self, number: u32) -> &Node<N> {
        &self.nodes[number as usize]
    }

    fn node_mut(&mut self, number: u32) -> &mut Node<N> {
        &mut self.nodes[number as usize]
    }

    /// The number of a node, which comes before all others if it is new.
    fn at_front(&mut self, name: &N) -> u32 {
        self.number(name).unwrap_or_else(|| {
            self.front -= 1;
            self.enter(name, self.front)
        })
    }

    /// The number of a node, which comes after all others if it is new.
    fn at_back(&mut self, name: &N) -> u32 {
        self.number(name).unwrap_or_else(|| {
            self.back += 1;
            self.enter(name, self.back)
        })
    }

    fn enter(&mut self, name: &N, place: i64) -> u32 {
        let (before, after) = Default::default();
        let node = Node { name: Some(name.clone()), place, before, after };
        let number = if let Some(number) = self.free.pop() {
            self.nodes[number as usize] = node;
            number
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("memory ends before numbers do")
        };
        self.numbers.insert(name.clone(), number);
        number
    }
}
