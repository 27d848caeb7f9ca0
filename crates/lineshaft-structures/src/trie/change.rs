//! Keys that come and go: nodes are split and joined again, so that all but the root have a value or two children.

use super::{Node, ROOT, Trie};

impl<V> Trie<V> {
    /// Stores a value and gives the one of before.
    pub fn insert(&mut self, key: &[u8], value: V) -> Option<V> {
        let number = self.node_for(key);
        let before = self.node_mut(number).value.replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes a key out and gives its value.
    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        let (mut parent, mut at, mut rest) = (ROOT, ROOT, key);
        while !rest.is_empty() {
            (parent, at) = (at, self.step(at, rest)?);
            rest = &rest[self.node(at).label.len()..];
        }
        let value = self.node_mut(at).value.take()?;
        self.len -= 1;
        if self.node(at).children.is_empty() {
            self.cut(parent, at);
        } else {
            self.join(at);
        }
        Some(value)
    }

    /// Takes all keys that begin with `prefix` out and gives their values in the order of the keys. O(length of the
    /// prefix and of what goes).
    pub fn remove_prefix(&mut self, prefix: &[u8]) -> Vec<V> {
        let Some((top, above)) = self.find_prefix(prefix) else { return Vec::new() };
        if top == ROOT {
            let values = self.take_below(ROOT);
            *self = Self::default();
            return values;
        }
        let parent = self.find(&prefix[..above]).expect("it was passed on the way down");
        self.cut(parent, top);
        let values = self.take_below(top);
        self.len -= values.len();
        values
    }

    /// Takes out every key.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The node of a key, made if there is none.
    fn node_for(&mut self, key: &[u8]) -> u32 {
        let (mut at, mut rest) = (ROOT, key);
        while let Some(&first) = rest.first() {
            let Some(child) = self.node(at).child(first) else { return self.add(at, rest) };
            let label = &self.node(child).label;
            let shared = label.iter().zip(rest).take_while(|(one, other)| one == other).count();
            at = if shared == label.len() { child } else { self.split(at, child, shared) };
            rest = &rest[shared..];
        }
        at
    }

    /// A new child.
    fn add(&mut self, parent: u32, label: &[u8]) -> u32 {
        let number = self.enter(Node::new(label));
        let children = &mut self.node_mut(parent).children;
        let index = children.partition_point(|(byte, _)| *byte < label[0]);
        // Most nodes have two children or none.
        children.reserve_exact(usize::from(children.len() < 2));
        children.insert(index, (label[0], number));
        number
    }

    /// Puts a node with the first `length` bytes of a child's label between it and its parent.
    fn split(&mut self, parent: u32, child: u32, length: usize) -> u32 {
        let label = std::mem::take(&mut self.node_mut(child).label);
        let (upper, lower) = label.split_at(length);
        self.node_mut(child).label = lower.into();
        let mut middle = Node::new(upper);
        middle.children = vec![(lower[0], child)];
        let middle = self.enter(middle);
        self.turn(parent, label[0], middle);
        middle
    }

    fn turn(&mut self, parent: u32, first: u8, to: u32) {
        let children = &mut self.node_mut(parent).children;
        if let Ok(index) = children.binary_search_by_key(&first, |(byte, _)| *byte) {
            children[index].1 = to;
        }
    }

    /// Takes a child away. What is below it stays as it is.
    fn cut(&mut self, parent: u32, child: u32) {
        self.node_mut(parent).children.retain(|(_, other)| *other != child);
        if self.node(child).children.is_empty() && self.node(child).value.is_none() && child != ROOT {
            self.leave(child);
        }
        self.join(parent);
    }

    /// Makes one of a node without a value and its only child.
    fn join(&mut self, number: u32) {
        let node = self.node(number);
        if number == ROOT || node.value.is_some() || node.children.len() != 1 {
            return;
        }
        let child = node.children[0].1;
        let below = self.leave(child);
        let node = self.node_mut(number);
        node.label = [&*node.label, &*below.label].concat().into();
        (node.value, node.children) = (below.value, below.children);
    }

    /// Frees a node and all below it; their values in order.
    fn take_below(&mut self, top: u32) -> Vec<V> {
        let (mut open, mut values) = (vec![top], Vec::new());
        while let Some(number) = open.pop() {
            let node = if number == ROOT {
                std::mem::replace(self.node_mut(ROOT), Node::new(&[]))
            } else {
                self.leave(number)
            };
            open.extend(node.children.iter().rev().map(|(_, child)| *child));
            values.extend(node.value);
        }
        values
    }

    fn enter(&mut self, node: Node<V>) -> u32 {
        if let Some(number) = self.free.pop() {
            *self.node_mut(number) = node;
            return number;
        }
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).expect("memory ends before numbers do")
    }

    fn leave(&mut self, number: u32) -> Node<V> {
        self.free.push(number);
        std::mem::replace(self.node_mut(number), Node::new(&[]))
    }
}
