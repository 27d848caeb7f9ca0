//! What depends on what.

use std::collections::HashMap;
use std::hash::Hash;

use rustc_hash::{FxBuildHasher, FxHashSet};

/// A graph of names, in which nothing depends on itself by whatever way.
///
/// A name is in it while it depends on something or something on it.
#[derive(Clone, Debug)]
pub struct Graph<N> {
    nodes: HashMap<N, Node<N>, FxBuildHasher>,
}

/// The way by which a name would have come to depend on itself: each depends on the next, the first is also the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle<N>(pub Vec<N>);

#[derive(Clone, Debug)]
struct Node<N> {
    sources: Vec<N>,
    dependants: FxHashSet<N>,
}

impl<N> Default for Graph<N> {
    fn default() -> Self {
        Self { nodes: HashMap::default() }
    }
}

impl<N: Clone + Eq + Hash> Graph<N> {
    /// Has `name` depend on `sources`, and on nothing else any more.
    ///
    /// Costs as much as there are names that depend on `name`: none for one that is new. Changes nothing if it gives
    /// a cycle.
    pub fn set(&mut self, name: &N, sources: &[N]) -> Result<(), Cycle<N>> {
        self.refuse_cycle(name, sources)?;
        self.forget(name);
        if sources.is_empty() {
            return Ok(());
        }
        for source in sources {
            self.node(source).dependants.insert(name.clone());
        }
        self.node(name).sources = sources.to_vec();
        Ok(())
    }

    /// Has `name` depend on nothing any more. What depends on it still does.
    pub fn forget(&mut self, name: &N) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let sources = std::mem::take(&mut node.sources);
        for source in &sources {
            if let Some(node) = self.nodes.get_mut(source) {
                node.dependants.remove(name);
            }
            self.drop_lone(source);
        }
        self.drop_lone(name);
    }

    /// All that depends on `name`, by whatever way, each once.
    pub fn dependants(&self, name: &N) -> Vec<N> {
        let mut found: Vec<N> = Vec::new();
        let mut seen: FxHashSet<&N> = FxHashSet::default();
        let mut next = 0;
        let mut at = name;
        loop {
            for dependant in self.nodes.get(at).into_iter().flat_map(|node| &node.dependants) {
                if seen.insert(dependant) {
                    found.push(dependant.clone());
                }
            }
            match found.get(next).and_then(|name| self.nodes.get_key_value(name)) {
                Some((name, _)) => at = name,
                None => return found,
            }
            next += 1;
        }
    }

    /// What `name` depends on.
    pub fn sources(&self, name: &N) -> &[N] {
        self.nodes.get(name).map_or(&[], |node| &node.sources)
    }

    /// Whether `name` depends on something or something on it.
    pub fn contains(&self, name: &N) -> bool {
        self.nodes.contains_key(name)
    }

    /// Whether nothing depends on anything.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    fn node(&mut self, name: &N) -> &mut Node<N> {
        let new = || Node { sources: Vec::new(), dependants: FxHashSet::default() };
        self.nodes.entry(name.clone()).or_insert_with(new)
    }

    fn drop_lone(&mut self, name: &N) {
        if self.nodes.get(name).is_some_and(|node| node.sources.is_empty() && node.dependants.is_empty()) {
            self.nodes.remove(name);
        }
    }

    /// Looks from `name` to what depends on it: a source among those closes a cycle.
    fn refuse_cycle(&self, name: &N, sources: &[N]) -> Result<(), Cycle<N>> {
        if sources.contains(name) {
            return Err(Cycle(vec![name.clone(), name.clone()]));
        }
        let mut came_from: HashMap<&N, &N, FxBuildHasher> = HashMap::default();
        let mut open = vec![name];
        while let Some(at) = open.pop() {
            for dependant in self.nodes.get(at).into_iter().flat_map(|node| &node.dependants) {
                if came_from.contains_key(dependant) {
                    continue;
                }
                came_from.insert(dependant, at);
                if sources.contains(dependant) {
                    return Err(Cycle(way(name, dependant, &came_from)));
                }
                open.push(dependant);
            }
        }
        Ok(())
    }
}

/// `name`, then `source` and what it depends on, down to `name`.
fn way<N: Clone + Eq + Hash>(name: &N, source: &N, came_from: &HashMap<&N, &N, FxBuildHasher>) -> Vec<N> {
    let mut path = vec![name.clone(), source.clone()];
    let mut at = source;
    while let Some(&before) = came_from.get(at) {
        path.push(before.clone());
        if before == name {
            break;
        }
        at = before;
    }
    path
}
