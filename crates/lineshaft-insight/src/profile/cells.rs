//! The cells of a flame graph: what is called from where, whatever the line, and how wide each is.

use rustc_hash::FxHashMap;

use super::{Frame, FrameId, Kind, NO_PARENT, Profile, Weight};

/// One cell. Who calls stands before what is called.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    pub(super) parent: Option<usize>,
    pub(super) is: What<'a>,
    /// With what it calls.
    pub(super) total: Weight,
    /// Rows above it.
    pub(super) row: usize,
    /// Where it begins, in nanoseconds.
    pub(super) begin: u64,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum What<'a> {
    All,
    Track(&'a str),
    Function(Frame<'a>),
}

/// What the tracks of a kind have, in an order that does not depend on that in which they came. The first one is all.
pub(super) fn cells(profile: &Profile, kind: Kind) -> Vec<Cell<'_>> {
    let mut made = Made { cells: Vec::new(), children: Vec::new(), index: FxHashMap::default() };
    let all = made.cell(None, None, || What::All);
    let meant = |track: u32| profile.kind_of(track) == kind;
    let mut used: Vec<u32> =
        (profile.nodes.iter().map(|node| node.place.track)).filter(|one| meant(*one)).collect();
    used.sort_unstable();
    used.dedup();
    let is_one = used.len() < 2;
    let mut cell_of: Vec<usize> = vec![all; profile.nodes.len()];
    for (at, node) in profile.nodes.iter().enumerate().filter(|(_, node)| meant(node.place.track)) {
        let parent = match node.place.parent {
            NO_PARENT if is_one => all,
            NO_PARENT => {
                let name = profile.names.text_of(profile.tracks[node.place.track as usize].name);
                made.cell(Some(all), Some(Key::Track(node.place.track)), || What::Track(name))
            }
            parent => cell_of[parent as usize],
        };
        let id = node.place.call.frame;
        let cell = made.cell(Some(parent), Some(Key::Frame(id)), || What::Function(profile.frame_of(id)));
        made.cells[cell].total.add(node.own);
        cell_of[at] = cell;
    }
    made.placed()
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Key {
    Track(u32),
    Frame(FrameId),
}

struct Made<'a> {
    cells: Vec<Cell<'a>>,
    children: Vec<Vec<usize>>,
    index: FxHashMap<(Option<usize>, Option<Key>), usize>,
}

impl<'a> Made<'a> {
    fn cell(&mut self, parent: Option<usize>, key: Option<Key>, is: impl FnOnce() -> What<'a>) -> usize {
        let next = self.cells.len();
        let at = *self.index.entry((parent, key)).or_insert(next);
        if at == next {
            let row = parent.map_or(0, |parent| self.cells[parent].row + 1);
            self.cells.push(Cell { parent, is: is(), total: Weight::default(), row, begin: 0 });
            self.children.push(Vec::new());
            if let Some(parent) = parent {
                self.children[parent].push(next);
            }
        }
        at
    }

    fn placed(mut self) -> Vec<Cell<'a>> {
        for at in (1..self.cells.len()).rev() {
            let (parent, total) = (self.cells[at].parent, self.cells[at].total);
            self.cells[parent.expect("only the first has none")].total.add(total);
        }
        for at in 0..self.cells.len() {
            let mut children = std::mem::take(&mut self.children[at]);
            children.sort_by_key(|child| self.cells[*child].is);
            let mut begin = self.cells[at].begin;
            for child in children {
                self.cells[child].begin = begin;
                begin = begin.saturating_add(self.cells[child].total.wall_ns);
            }
        }
        self.cells
    }
}
