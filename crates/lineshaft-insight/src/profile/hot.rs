//! Functions and lines by the time that went there.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::{FrameId, Kind, NO_PARENT, Profile, Weight};

/// A function, and what went there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HotFunction<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its file.
    pub file: &'a str,
    /// Its first line.
    pub line: u32,
    /// In the function itself.
    pub own: Weight,
    /// In it and in what it called. Where it calls itself, the outermost call counts.
    pub total: Weight,
    /// Time in which tasks were suspended in it, or in what it awaited.
    pub awaited: Weight,
}

/// A line, and what went there, without what it called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HotLine<'a> {
    /// The function.
    pub name: &'a str,
    /// Its file.
    pub file: &'a str,
    /// The line.
    pub line: u32,
    /// What went there.
    pub own: Weight,
}

impl Profile {
    /// The `n` functions in which most time went, those with most of their own first.
    pub fn hot_functions(&self, n: usize) -> Vec<HotFunction<'_>> {
        let mut found = self.functions();
        found.sort_by_key(|one| {
            (Reverse((one.own.wall_ns, one.total.wall_ns, one.awaited.wall_ns)), one.file, one.line, one.name)
        });
        found.truncate(n);
        found
    }

    /// The `n` lines at which threads were seen for most of the time, with what they waited for there.
    pub fn hot_lines(&self, n: usize) -> Vec<HotLine<'_>> {
        let mut sums: FxHashMap<_, Weight> = FxHashMap::default();
        for node in self.nodes.iter().filter(|node| self.kind_of(node.place.track) == Kind::Thread) {
            if node.own != Weight::default() {
                sums.entry(self.seen_at(node)).or_default().add(node.own);
            }
        }
        let mut lines: Vec<HotLine<'_>> = (sums.into_iter())
            .map(|(call, own)| {
                let frame = self.frame_of(call.frame);
                HotLine { name: frame.name, file: frame.file, line: call.line, own }
            })
            .collect();
        lines.sort_by_key(|one| (Reverse(one.own.wall_ns), one.file, one.line, one.name));
        lines.truncate(n);
        lines
    }

    /// Every function, in no particular order.
    pub(super) fn functions(&self) -> Vec<HotFunction<'_>> {
        let sums = self.subtree_sums();
        let mut by_frame: FxHashMap<FrameId, HotFunction<'_>> = FxHashMap::default();
        let outermost = self.outermost();
        for (at, node) in self.nodes.iter().enumerate() {
            let id = node.place.call.frame;
            let function = by_frame.entry(id).or_insert_with(|| {
                let frame = self.frame_of(id);
                let none = Weight::default();
                let (name, file, line) = (frame.name, frame.file, frame.line);
                HotFunction { name, file, line, own: none, total: none, awaited: none }
            });
            let is_awaiting = self.kind_of(node.place.track) == Kind::Awaiting;
            if !is_awaiting {
                function.own.add(node.own);
            }
            if outermost[at] {
                let total = if is_awaiting { &mut function.awaited } else { &mut function.total };
                total.add(sums[at]);
            }
        }
        by_frame.into_values().collect()
    }

    /// What each node has with what it calls.
    pub(super) fn subtree_sums(&self) -> Vec<Weight> {
        let mut sums: Vec<Weight> = self.nodes.iter().map(|node| node.own).collect();
        for at in (0..sums.len()).rev() {
            let (parent, sum) = (self.nodes[at].place.parent, sums[at]);
            if parent != NO_PARENT {
                sums[parent as usize].add(sum);
            }
        }
        sums
    }

    pub(super) fn kind_of(&self, track: u32) -> Kind {
        self.tracks[track as usize].kind
    }

    /// Whether no call of the same function is around a node.
    fn outermost(&self) -> Vec<bool> {
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        let mut roots = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            match node.place.parent {
                NO_PARENT => roots.push(at as u32),
                parent => children[parent as usize].push(at as u32),
            }
        }
        let mut open = vec![0_u32; self.names.frames().len()];
        let mut outermost = vec![false; self.nodes.len()];
        let mut way: Vec<(u32, bool)> = roots.into_iter().map(|root| (root, false)).collect();
        while let Some((at, is_done)) = way.pop() {
            let depth = &mut open[self.nodes[at as usize].place.call.frame.0 as usize];
            if is_done {
                *depth -= 1;
                continue;
            }
            outermost[at as usize] = *depth == 0;
            *depth += 1;
            way.push((at, true));
            way.extend(children[at as usize].iter().map(|child| (*child, false)));
        }
        outermost
    }
}
