//! Where time went: stacks that were seen now and then, each with the time it stands for.
//!
//! A [`Profile`] is a value: it is added to by whoever samples, merged with others, written as bytes and read again, and
//! shown as tables, as a flame graph of our own drawing (`flame.rs`, `html.rs`) and in the formats of others
//! (`speedscope.rs`, `pprof.rs`). What threads did and what tasks waited for are kept apart, as tracks of two kinds.
//!
//! It is bounded: of nodes, frames, tracks and bytes of names there is a greatest number, and what comes beyond is
//! counted as `(more)`, so that the sums stay true.

mod advice;
mod cells;
mod codec;
mod diff;
mod flame;
mod hot;
mod html;
mod names;
mod native;
mod pprof;
mod speedscope;
mod waits;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use codec::Unreadable;
pub use diff::{Change, diff};
pub use flame::flame_graph_svg;
pub use hot::{HotFunction, HotLine};
pub use html::{Source, html};
pub use names::FrameId;
use names::{NO_NAME, Names};
pub use native::{Native, native_work};
pub use waits::Wait;

/// Nodes of a profile: what does not find one goes to `(more)`.
pub const NODES_MAX: usize = 65_536;
/// Tracks of a profile; samples of further ones go to a track `(more)`.
pub const TRACKS_MAX: usize = 1_024;
/// Calls of a stack that are kept, from where it was on; what called those is `(deeper)`.
pub const DEPTH_MAX: usize = 512;
/// Lines whose allocations are kept, those with the greatest difference.
pub const ALLOCATIONS_MAX: usize = 1_000;

const NO_PARENT: u32 = u32::MAX;

/// What a stack stands for, or many of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// Time that passed.
    pub wall_ns: u64,
    /// Time in which the thread had a processor.
    pub cpu_ns: u64,
    /// How often it was seen.
    pub samples: u64,
}

/// A function that is being called, and the line where it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Call {
    /// The function.
    pub frame: FrameId,
    /// The line that runs, or from which the next function was called; 0 if it is not known.
    pub line: u32,
}

/// A function.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Frame<'a> {
    /// Its name, with that of its class if that is known.
    pub name: &'a str,
    /// Its file; empty if there is none.
    pub file: &'a str,
    /// Its first line; 0 if it is not known.
    pub line: u32,
}

/// What a track has.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// What a thread did, whether it worked or waited.
    Thread,
    /// What a suspended task was waiting for. Any number of tasks wait at the same time, so these times add up to more
    /// than has passed.
    Awaiting,
}

/// Number of a track of one profile.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TrackId(u32);

/// Memory that was allocated by a line and not given back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// Bytes more than before.
    pub bytes: i64,
    /// Blocks more than before.
    pub blocks: i64,
}

/// One way to where time went.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Stack<'a> {
    /// The thread or the task.
    pub track: (&'a str, Kind),
    /// Functions with the lines where they are, the outermost first.
    pub calls: Vec<(Frame<'a>, u32)>,
}

/// Where time went.
///
/// ```
/// use lineshaft_insight::profile::{Call, Kind, Profile, Weight};
///
/// let mut profile = Profile::new();
/// let track = profile.track("main", Kind::Thread);
/// let (main, sum) = (profile.frame("main", "shop.py", 1), profile.frame("sum_up", "shop.py", 9));
/// let weight = Weight { wall_ns: 10_000_000, cpu_ns: 9_000_000, samples: 1 };
/// profile.add(track, &[Call { frame: sum, line: 11 }, Call { frame: main, line: 4 }], weight);
/// assert_eq!(profile.hot_lines(1)[0].line, 11);
/// assert_eq!(Profile::from_bytes(&profile.encode()), Ok(profile));
/// ```
#[derive(Clone, Debug)]
pub struct Profile {
    names: Names,
    tracks: Vec<Track>,
    /// Whoever calls stands before what is called.
    nodes: Vec<Node>,
    index: FxHashMap<Place, u32>,
    nodes_max: usize,
    duration_ns: u64,
    collected_ns: u64,
    collections: u64,
    /// By number of the file's name, and line.
    allocations: BTreeMap<(u32, u32), Allocation>,
    /// More bytes than at the beginning; 0 if that was not looked for.
    memory_bytes_max: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Track {
    name: u32,
    kind: Kind,
}

/// Where a node is: what called it, or `NO_PARENT`, and what it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Place {
    track: u32,
    parent: u32,
    call: Call,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    place: Place,
    /// Without that of what it calls.
    own: Weight,
}

impl Weight {
    fn add(&mut self, other: Self) {
        self.wall_ns = self.wall_ns.saturating_add(other.wall_ns);
        self.cpu_ns = self.cpu_ns.saturating_add(other.cpu_ns);
        self.samples = self.samples.saturating_add(other.samples);
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Profile {
    /// Whether all of it is the same, in the same order.
    fn eq(&self, other: &Self) -> bool {
        (self.stored(), self.memory_bytes_max) == (other.stored(), other.memory_bytes_max)
    }
}

impl Eq for Profile {}

impl Profile {
    /// One of nothing.
    pub fn new() -> Self {
        Self::bounded(NODES_MAX)
    }

    /// One with at most so many nodes, and never more than [`NODES_MAX`].
    pub fn bounded(nodes_max: usize) -> Self {
        Self {
            names: Names::new(),
            tracks: Vec::new(),
            nodes: Vec::new(),
            index: FxHashMap::default(),
            nodes_max: nodes_max.min(NODES_MAX),
            duration_ns: 0,
            collected_ns: 0,
            collections: 0,
            allocations: BTreeMap::new(),
            memory_bytes_max: 0,
        }
    }

    /// The number of a function. Names that are too long are cut; further functions than there is room for are `(more)`.
    pub fn frame(&mut self, name: &str, file: &str, line: u32) -> FrameId {
        self.names.frame(Frame { name, file, line })
    }

    /// The function of a number that this profile gave.
    pub fn frame_of(&self, id: FrameId) -> Frame<'_> {
        self.names.frame_of(id)
    }

    /// The number of a track.
    pub fn track(&mut self, name: &str, kind: Kind) -> TrackId {
        // The name of one for which there is no room would only take some itself.
        let known = self.names.find(name).map(|name| Track { name, kind });
        let is_known = || known.is_some_and(|track| self.tracks.contains(&track));
        let has_place = self.tracks.len() < TRACKS_MAX || is_known();
        let name = if has_place { self.names.text(name) } else { NO_NAME };
        self.track_of(Track { name, kind })
    }

    /// A stack was seen, the innermost call first.
    pub fn add(&mut self, track: TrackId, stack: &[Call], weight: Weight) {
        let (kept, is_deeper) = match stack.get(..DEPTH_MAX) {
            Some(kept) if stack.len() > DEPTH_MAX => (kept, true),
            _ => (stack, false),
        };
        let deeper = is_deeper.then_some(Call { frame: FrameId::DEEPER, line: 0 });
        let mut parent = NO_PARENT;
        for call in deeper.into_iter().chain(kept.iter().rev().copied()) {
            match self.node(Place { track: track.0, parent, call }) {
                Some(node) => parent = node,
                None => return self.add_more(track.0, weight),
            }
        }
        if parent != NO_PARENT {
            self.nodes[parent as usize].own.add(weight);
        }
    }

    /// So much time passed while it was made.
    pub fn ran(&mut self, duration_ns: u64) {
        self.duration_ns = self.duration_ns.saturating_add(duration_ns);
    }

    /// Garbage was collected meanwhile, so many times.
    pub fn collected(&mut self, wall_ns: u64, times: u64) {
        self.collected_ns = self.collected_ns.saturating_add(wall_ns);
        self.collections = self.collections.saturating_add(times);
    }

    /// A line has allocated what is still there. Of many the greatest [`ALLOCATIONS_MAX`] are kept.
    pub fn allocated(&mut self, file: &str, line: u32, allocation: Allocation) {
        let file = self.names.text(file);
        let sum = self.allocations.entry((file, line)).or_default();
        sum.bytes = sum.bytes.saturating_add(allocation.bytes);
        sum.blocks = sum.blocks.saturating_add(allocation.blocks);
        if self.allocations.len() > ALLOCATIONS_MAX {
            let least = self.allocations.iter().min_by_key(|(_, one)| one.bytes.unsigned_abs());
            let least = *least.expect("there are many").0;
            self.allocations.remove(&least);
        }
    }

    /// Meanwhile there were at most so many bytes more than at its beginning.
    pub fn peaked(&mut self, bytes: u64) {
        self.memory_bytes_max = self.memory_bytes_max.max(bytes);
    }

    /// Adds what another one has.
    pub fn merge(&mut self, other: &Self) {
        let names = self.names.merge(&other.names);
        let tracks: Vec<TrackId> = (other.tracks.iter())
            .map(|track| self.track_of(Track { name: names.text(track.name), kind: track.kind }))
            .collect();
        let mut moved: Vec<Option<u32>> = Vec::with_capacity(other.nodes.len());
        for Node { place, own } in &other.nodes {
            let track = tracks[place.track as usize].0;
            let parent = match place.parent {
                NO_PARENT => Some(NO_PARENT),
                parent => moved[parent as usize],
            };
            let call = Call { frame: names.frame(place.call.frame), line: place.call.line };
            let node = parent.and_then(|parent| self.node(Place { track, parent, call }));
            moved.push(node);
            match node {
                Some(node) => self.nodes[node as usize].own.add(*own),
                None => self.add_more(track, *own),
            }
        }
        self.ran(other.duration_ns);
        self.collected(other.collected_ns, other.collections);
        for (file, line, allocation) in other.allocations() {
            self.allocated(file, line, allocation);
        }
        self.peaked(other.memory_bytes_max);
    }

    /// The time that passed while it was made, of all that were merged.
    pub fn duration_ns(&self) -> u64 {
        self.duration_ns
    }

    /// The time in which garbage was collected, and how often.
    pub fn garbage(&self) -> (u64, u64) {
        (self.collected_ns, self.collections)
    }

    /// The sum of all stacks of a kind.
    pub fn total(&self, kind: Kind) -> Weight {
        self.sum(|place| self.tracks[place.track as usize].kind == kind)
    }

    /// Of that, what was beyond a bound.
    pub fn more(&self) -> Weight {
        self.sum(|place| place.call.frame == FrameId::MORE)
    }

    /// Names of the threads and tasks there are, with the sum of each.
    pub fn tracks(&self) -> Vec<(&str, Kind, Weight)> {
        let mut sums = vec![Weight::default(); self.tracks.len()];
        self.nodes.iter().for_each(|node| sums[node.place.track as usize].add(node.own));
        let row = |(track, sum): (&Track, Weight)| (self.names.text_of(track.name), track.kind, sum);
        self.tracks.iter().zip(sums).map(row).collect()
    }

    /// Every stack that was seen, with what it stands for, in no particular order.
    pub fn stacks(&self) -> impl Iterator<Item = (Stack<'_>, Weight)> {
        let seen = self.nodes.iter().filter(|node| node.own != Weight::default());
        seen.map(|node| {
            let track = self.tracks[node.place.track as usize];
            let mut calls: Vec<_> =
                self.calls(node).map(|call| (self.frame_of(call.frame), call.line)).collect();
            calls.reverse();
            (Stack { track: (self.names.text_of(track.name), track.kind), calls }, node.own)
        })
    }

    /// Lines that have allocated, with files; the greatest difference first.
    pub fn allocations(&self) -> Vec<(&str, u32, Allocation)> {
        let row = |(&(file, line), one): (&(u32, u32), &Allocation)| (self.names.text_of(file), line, *one);
        let mut rows: Vec<_> = self.allocations.iter().map(row).collect();
        rows.sort_by_key(|&(file, line, one)| (std::cmp::Reverse(one.bytes.unsigned_abs()), file, line));
        rows
    }

    /// By how many bytes the memory that lines had allocated was at most more than at the beginning, of all that were merged
    /// the greatest; 0 if nobody looked for it.
    pub fn memory_bytes_max(&self) -> u64 {
        self.memory_bytes_max
    }

    /// The calls from a node outwards.
    fn calls(&self, node: &Node) -> impl Iterator<Item = Call> {
        let outer = |place: &Place| self.nodes.get(place.parent as usize).map(|node| node.place);
        std::iter::successors(Some(node.place), outer).map(|place| place.call)
    }

    fn sum(&self, is_meant: impl Fn(&Place) -> bool) -> Weight {
        let mut sum = Weight::default();
        self.nodes.iter().filter(|node| is_meant(&node.place)).for_each(|node| sum.add(node.own));
        sum
    }

    fn track_of(&mut self, track: Track) -> TrackId {
        let known = |tracks: &[Track], track| tracks.iter().position(|one| *one == track);
        if let Some(number) = known(&self.tracks, track) {
            return TrackId(number as u32);
        }
        // One of each kind is for the others.
        let is_other = track.name == NO_NAME;
        if self.tracks.len() >= TRACKS_MAX && !is_other {
            return self.track_of(Track { name: NO_NAME, kind: track.kind });
        }
        self.tracks.push(track);
        TrackId(self.tracks.len() as u32 - 1)
    }

    /// The node at a place, if there is one or room for it.
    fn node(&mut self, place: Place) -> Option<u32> {
        if let Some(&node) = self.index.get(&place) {
            return Some(node);
        }
        let is_more = place.call.frame == FrameId::MORE && place.parent == NO_PARENT;
        if self.nodes.len() >= self.nodes_max && !is_more {
            return None;
        }
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { place, own: Weight::default() });
        self.index.insert(place, node);
        Some(node)
    }

    fn add_more(&mut self, track: u32, weight: Weight) {
        let call = Call { frame: FrameId::MORE, line: 0 };
        let node = self.node(Place { track, parent: NO_PARENT, call }).expect("there is always room for it");
        self.nodes[node as usize].own.add(weight);
    }
}
