//! Values by key, where keys that begin alike stand together.

mod change;

/// Values `V` by keys that are bytes, in order, with everything under a prefix at hand.
///
/// A radix tree (Morrison, "PATRICIA", JACM 1968, with bytes for bits): each node has the bytes that all keys below it have in
/// common. Looking a key up, adding it and removing it cost O(length of the key), however many there are; so does finding
/// the longest key that another one begins with, for which an ordered map has to try every length.
///
/// ```
/// use lineshaft_structures::Trie;
///
/// let mut trie = Trie::default();
/// trie.insert(b"orders", 1);
/// trie.insert(b"orders.eu.paid", 2);
/// assert_eq!(trie.longest_prefix(b"orders.eu.late"), Some((6, &1)));
/// assert_eq!(trie.remove_prefix(b"orders."), [2]);
/// ```
#[derive(Clone, Debug)]
pub struct Trie<V> {
    /// The first is the root. Their numbers stay: no call goes as deep as a tree of nodes would.
    nodes: Vec<Node<V>>,
    free: Vec<u32>,
    len: usize,
}

const ROOT: u32 = 0;

#[derive(Clone, Debug)]
struct Node<V> {
    /// What is added to the key of its parent; empty in the root alone.
    label: Box<[u8]>,
    value: Option<V>,
    /// By the first byte of their labels, ascending.
    children: Vec<(u8, u32)>,
}

/// The keys with one prefix in order, with their values.
#[derive(Clone, Debug)]
pub struct Items<'a, V> {
    trie: &'a Trie<V>,
    /// What is to be visited, the next one last: a node and the length of its parent's key.
    open: Vec<(u32, usize)>,
    key: Vec<u8>,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { nodes: vec![Node::new(&[])], free: Vec::new(), len: 0 }
    }
}

impl<V> Node<V> {
    fn new(label: &[u8]) -> Self {
        Self { label: label.into(), value: None, children: Vec::new() }
    }

    fn child(&self, first: u8) -> Option<u32> {
        let index = self.children.binary_search_by_key(&first, |(byte, _)| *byte).ok()?;
        Some(self.children[index].1)
    }
}

impl<V> Trie<V> {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        self.node(self.find(key)?).value.as_ref()
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        let number = self.find(key)?;
        self.node_mut(number).value.as_mut()
    }

    /// Whether there is a value of the key.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// All keys in order, with their values.
    pub fn iter(&self) -> Items<'_, V> {
        self.with_prefix(&[])
    }

    /// All keys that begin with `prefix` in order, with their values. To find them costs O(length of the prefix), to go
    /// through them O(their bytes).
    pub fn with_prefix(&self, prefix: &[u8]) -> Items<'_, V> {
        let (open, key) = match self.find_prefix(prefix) {
            Some((number, above)) => (vec![(number, above)], prefix[..above].to_vec()),
            None => (Vec::new(), Vec::new()),
        };
        Items { trie: self, open, key }
    }

    /// Of the keys that `key` begins with or is, the longest: its length and its value.
    pub fn longest_prefix(&self, key: &[u8]) -> Option<(usize, &V)> {
        self.prefixes(key).last()
    }

    /// All keys that `key` begins with or is, shortest first: the length of each and its value.
    pub fn prefixes<'t>(&'t self, key: &[u8]) -> impl Iterator<Item = (usize, &'t V)> {
        let mut next = Some((ROOT, 0));
        let nodes = std::iter::from_fn(move || {
            let (at, length) = next?;
            next = self.step(at, &key[length..]).map(|child| (child, length + self.node(child).label.len()));
            Some((at, length))
        });
        nodes.filter_map(|(at, length)| Some((length, self.node(at).value.as_ref()?)))
    }

    /// All values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.nodes.iter().filter_map(|node| node.value.as_ref())
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn node(&self, number: u32) -> &Node<V> {
        &self.nodes[number as usize]
    }

    fn node_mut(&mut self, number: u32) -> &mut Node<V> {
        &mut self.nodes[number as usize]
    }

    /// The child whose label `rest` begins with.
    fn step(&self, at: u32, rest: &[u8]) -> Option<u32> {
        let child = self.node(at).child(*rest.first()?)?;
        rest.starts_with(&self.node(child).label).then_some(child)
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        let (mut at, mut rest) = (ROOT, key);
        while !rest.is_empty() {
            at = self.step(at, rest)?;
            rest = &rest[self.node(at).label.len()..];
        }
        Some(at)
    }

    /// The node below which, with itself, are exactly the keys with this prefix, and the length of its parent's key.
    fn find_prefix(&self, prefix: &[u8]) -> Option<(u32, usize)> {
        let (mut at, mut above, mut length) = (ROOT, 0, 0);
        while length < prefix.len() {
            let rest = &prefix[length..];
            at = self.node(at).child(rest[0])?;
            let label = &self.node(at).label;
            let shared = label.len().min(rest.len());
            if label[..shared] != rest[..shared] {
                return None;
            }
            (above, length) = (length, length + label.len());
        }
        Some((at, above))
    }
}

impl<'a, V> Iterator for Items<'a, V> {
    type Item = (Vec<u8>, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((number, above)) = self.open.pop() {
            let node = self.trie.node(number);
            self.key.truncate(above);
            self.key.extend_from_slice(&node.label);
            let length = self.key.len();
            self.open.extend(node.children.iter().rev().map(|(_, child)| (*child, length)));
            if let Some(value) = &node.value {
                return Some((self.key.clone(), value));
            }
        }
        None
    }
}

impl<'a, V> IntoIterator for &'a Trie<V> {
    type Item = (Vec<u8>, &'a V);
    type IntoIter = Items<'a, V>;

    fn into_iter(self) -> Items<'a, V> {
        self.iter()
    }
}
