//! What depends on what.

use std::hash::Hash;

use lineshaft_structures::{Cycle, Dag};

/// A graph of names, in which nothing depends on itself by whatever way.
///
/// A name is in it while it depends on something or something on it.
#[derive(Clone, Debug)]
pub struct Graph<N> {
    /// What is depended on comes before what depends on it.
    dag: Dag<N>,
}

impl<N> Default for Graph<N> {
    fn default() -> Self {
        Self { dag: Dag::default() }
    }
}

impl<N: Clone + Eq + Hash> Graph<N> {
    /// Has `name` depend on `sources`, and on nothing else any more.
    ///
    /// O(sources) for a name that is new or depends on what it did: see [`Dag`]. Changes nothing if it gives a cycle,
    /// which it gives from `name` to what that would depend on, down to `name` again.
    pub fn set(&mut self, name: &N, sources: &[N]) -> Result<(), Cycle<N>> {
        let before: Vec<N> = self.dag.predecessors(name).into_iter().cloned().collect();
        self.dag.set_predecessors(name, sources).map_err(|Cycle(mut way)| {
            way.reverse();
            Cycle(way)
        })?;
        self.drop_lone(before.iter().chain([name]));
        Ok(())
    }

    /// Has `name` depend on nothing any more. What depends on it still does.
    pub fn forget(&mut self, name: &N) {
        let sources: Vec<N> = self.dag.predecessors(name).into_iter().cloned().collect();
        for source in &sources {
            self.dag.remove_edge(source, name);
        }
        self.drop_lone(sources.iter().chain([name]));
    }

    /// All that depends on `name`, by whatever way, each once and after what it depends on.
    pub fn dependants(&self, name: &N) -> Vec<N> {
        self.dag.descendants(name).into_iter().cloned().collect()
    }

    /// What `name` depends on.
    pub fn sources(&self, name: &N) -> Vec<N> {
        self.dag.predecessors(name).into_iter().cloned().collect()
    }

    /// All names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &N> {
        self.dag.nodes()
    }

    /// Whether `name` depends on something or something on it.
    pub fn contains(&self, name: &N) -> bool {
        self.dag.contains(name)
    }

    /// Whether nothing depends on anything.
    pub fn is_empty(&self) -> bool {
        self.dag.is_empty()
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.dag.len()
    }

    fn drop_lone<'a>(&mut self, names: impl Iterator<Item = &'a N>)
    where
        N: 'a,
    {
        for name in names {
            if self.dag.is_lone(name) {
                self.dag.remove_node(name);
            }
        }
    }
}
