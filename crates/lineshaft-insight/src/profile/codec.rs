//! Profiles as bytes: four letters, a version, and the rest deflated.

use std::fmt;
use std::io::{Read, Write};
use std::marker::PhantomData;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::names::{FRAMES_MAX, FrameId, NO_NAME, Names, TEXTS_MAX};
use super::{
    ALLOCATIONS_MAX, Allocation, Call, DEPTH_MAX, Frame, Kind, NO_PARENT, NODES_MAX, Node, Place, Profile,
    TRACKS_MAX, Track, TrackId, Weight,
};

const MAGIC: &[u8; 4] = b"LSPR";
/// Of what has no memory, so that programs of before read it.
const VERSION: u8 = 1;
/// The same, followed by the greatest number of bytes.
const VERSION_MEMORY: u8 = 2;
/// What a profile takes at most before it is deflated: 8 MiB of names, and 65,536 nodes of at most 55 bytes.
const BYTES_MAX: u64 = 16 << 20;

/// Why bytes are no profile.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Unreadable {
    /// They do not begin as those of a profile do.
    #[error("these bytes are no profile")]
    NotAProfile,
    /// A newer version of Lineshaft wrote them.
    #[error("this profile has version {0} of the format, and versions up to 2 are read")]
    Version(u8),
    /// They are cut off or changed.
    #[error("this profile is damaged: {0}")]
    Damaged(&'static str),
}

/// Tracks and nodes that are written at most: beyond its bound there is one track of each kind for the others, and of each
/// track a node for the others.
const STORED_TRACKS_MAX: usize = TRACKS_MAX + 2;
const STORED_NODES_MAX: usize = NODES_MAX + STORED_TRACKS_MAX;

/// Everything, as it is written.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stored {
    #[serde(deserialize_with = "at_most::<TEXTS_MAX, _, _>")]
    texts: Vec<String>,
    #[serde(deserialize_with = "at_most::<FRAMES_MAX, _, _>")]
    frames: Vec<(u32, u32, u32)>,
    #[serde(deserialize_with = "at_most::<STORED_TRACKS_MAX, _, _>")]
    tracks: Vec<(u32, bool)>,
    #[serde(deserialize_with = "at_most::<STORED_NODES_MAX, _, _>")]
    nodes: Vec<StoredNode>,
    duration_ns: u64,
    collected_ns: u64,
    collections: u64,
    #[serde(deserialize_with = "at_most::<ALLOCATIONS_MAX, _, _>")]
    allocations: Vec<(u32, u32, Allocation)>,
}

/// A list that is given up where it has more: of nothing 16 MiB of bytes can say that it is there millions of times.
fn at_most<'de, const MAX: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<const MAX: usize, T>(PhantomData<T>);

    impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for Few<MAX, T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(part) = parts.next_element()? {
                if list.len() == MAX {
                    return Err(A::Error::custom("it has too many"));
                }
                list.push(part);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(Few::<MAX, T>(PhantomData))
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct StoredNode {
    track: u32,
    /// By how much the caller stands before it; 0 if there is none.
    back: u32,
    frame: u32,
    line: u32,
    own: Weight,
}

impl Profile {
    /// All of it, in few bytes, for [`Self::from_bytes`] of this version and newer ones.
    pub fn encode(&self) -> Vec<u8> {
        let has_memory = self.memory_bytes_max > 0;
        let plain = if has_memory {
            postcard::to_stdvec(&(self.stored(), self.memory_bytes_max))
        } else {
            postcard::to_stdvec(&self.stored())
        };
        let plain = plain.expect("numbers and texts can be written");
        let mut bytes = MAGIC.to_vec();
        bytes.push(if has_memory { VERSION_MEMORY } else { VERSION });
        let mut deflated = DeflateEncoder::new(bytes, Compression::default());
        deflated.write_all(&plain).and_then(|()| deflated.finish()).expect("memory can be written to")
    }

    /// The same in at most so many bytes: what was seen least is `(more)` where it takes more than that. Where the names of
    /// its tracks alone do, they are `(more)` too, and what lines have allocated is left out.
    pub fn encode_within(&self, bytes_max: usize) -> Vec<u8> {
        let (mut bytes, mut nodes, mut smaller) = (self.encode(), self.nodes.len(), None::<Self>);
        while bytes.len() > bytes_max && nodes > 0 {
            nodes /= 2;
            let next = smaller.as_ref().unwrap_or(self).smaller(nodes);
            bytes = next.encode();
            smaller = Some(next);
        }
        if bytes.len() > bytes_max { self.smallest().encode() } else { bytes }
    }

    /// With at most so many nodes beside those of `(more)`: those with the most time of their own, and what called them.
    fn smaller(&self, nodes_max: usize) -> Self {
        let mut smaller = Self::bounded(nodes_max);
        let tracks: Vec<TrackId> = (self.tracks.iter())
            .map(|track| smaller.track(self.names.text_of(track.name), track.kind))
            .collect();
        let is_kept = self.heaviest(nodes_max);
        // In the order of these, so that whoever calls stands before what is called.
        let mut moved = vec![NO_PARENT; self.nodes.len()];
        for (at, Node { place, own }) in self.nodes.iter().enumerate().filter(|(at, _)| is_kept[*at]) {
            let Frame { name, file, line } = self.frame_of(place.call.frame);
            let call = Call { frame: smaller.frame(name, file, line), line: place.call.line };
            let parent = moved.get(place.parent as usize).copied().unwrap_or(NO_PARENT);
            let track = tracks[place.track as usize].0;
            let node = smaller.node(Place { track, parent, call }).expect("as many as there is room for");
            smaller.nodes[node as usize].own.add(*own);
            moved[at] = node;
        }
        for (at, node) in self.nodes.iter().enumerate() {
            if !is_kept[at] && node.own != Weight::default() {
                smaller.add_more(tracks[node.place.track as usize].0, node.own);
            }
        }
        self.copy_sums(&mut smaller);
        for (file, line, allocation) in self.allocations() {
            smaller.allocated(file, line, allocation);
        }
        smaller
    }

    /// Whether each node is one of the at most `count` that are kept; those of `(more)` are not among them.
    fn heaviest(&self, count: usize) -> Vec<bool> {
        let is_more = |node: &Node| node.place.call.frame == FrameId::MORE && node.place.parent == NO_PARENT;
        let seen = self.nodes.iter().enumerate();
        let seen = seen.filter(|(_, node)| node.own != Weight::default() && !is_more(node));
        let mut order: Vec<usize> = seen.map(|(at, _)| at).collect();
        order.sort_by_key(|at| std::cmp::Reverse(self.nodes[*at].own.wall_ns));
        let (mut is_kept, mut room) = (vec![false; self.nodes.len()], count);
        for at in order {
            let parent = |at: &usize| match self.nodes[*at].place.parent {
                NO_PARENT => None,
                parent => Some(parent as usize),
            };
            let lacking = std::iter::successors(Some(at), parent).take_while(|at| !is_kept[*at]);
            let lacking: Vec<usize> = lacking.take(room + 1).collect();
            if lacking.len() <= room {
                room -= lacking.len();
                lacking.into_iter().for_each(|at| is_kept[at] = true);
            }
        }
        is_kept
    }

    /// Only how much there was of each kind.
    fn smallest(&self) -> Self {
        let mut smallest = Self::bounded(0);
        for kind in [Kind::Thread, Kind::Awaiting] {
            let total = self.total(kind);
            if total != Weight::default() {
                let TrackId(track) = smallest.track_of(Track { name: NO_NAME, kind });
                smallest.add_more(track, total);
            }
        }
        self.copy_sums(&mut smallest);
        smallest
    }

    fn copy_sums(&self, to: &mut Self) {
        to.ran(self.duration_ns);
        to.collected(self.collected_ns, self.collections);
        to.peaked(self.memory_bytes_max);
    }

    /// What [`Self::encode`] gave. Whatever the bytes are, this takes no more than 32 MiB for what is in them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Unreadable::NotAProfile)?;
        let (&version, deflated) = rest.split_first().ok_or(Unreadable::NotAProfile)?;
        if ![VERSION, VERSION_MEMORY].contains(&version) {
            return Err(Unreadable::Version(version));
        }
        let mut plain = Vec::new();
        let read = DeflateDecoder::new(deflated).take(BYTES_MAX + 1).read_to_end(&mut plain);
        read.map_err(|_| Unreadable::Damaged("it does not unpack"))?;
        if plain.len() as u64 > BYTES_MAX {
            return Err(Unreadable::Damaged("it is larger than any profile"));
        }
        let (stored, rest) = field::<Stored>(&plain)?;
        let (memory_bytes_max, rest) = if version == VERSION { (0, rest) } else { field::<u64>(rest)? };
        if !rest.is_empty() {
            return Err(NO_SUCH_FIELDS);
        }
        let mut profile = restored(stored)?;
        profile.peaked(memory_bytes_max);
        Ok(profile)
    }

    pub(super) fn stored(&self) -> Stored {
        let back = |at: usize, place: &Place| match place.parent {
            NO_PARENT => 0,
            parent => at as u32 - parent,
        };
        let node = |(at, node): (usize, &Node)| StoredNode {
            track: node.place.track,
            back: back(at, &node.place),
            frame: node.place.call.frame.0,
            line: node.place.call.line,
            own: node.own,
        };
        Stored {
            texts: self.names.texts().map(str::to_owned).collect(),
            frames: self.names.frames().to_vec(),
            tracks: self.tracks.iter().map(|track| (track.name, track.kind == Kind::Awaiting)).collect(),
            nodes: self.nodes.iter().enumerate().map(node).collect(),
            duration_ns: self.duration_ns,
            collected_ns: self.collected_ns,
            collections: self.collections,
            allocations: self.allocations.iter().map(|(&(file, line), &one)| (file, line, one)).collect(),
        }
    }
}

const NO_SUCH_FIELDS: Unreadable = Unreadable::Damaged("it has no such fields");

/// What the bytes begin with, and the others.
fn field<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), Unreadable> {
    postcard::take_from_bytes(bytes).map_err(|_| NO_SUCH_FIELDS)
}

fn restored(stored: Stored) -> Result<Profile, Unreadable> {
    let texts = stored.texts.len() as u32;
    let mut profile = Profile::new();
    profile.names = Names::restored(&stored.texts, &stored.frames).ok_or(Unreadable::Damaged("names"))?;
    for (at, &(name, is_awaiting)) in stored.tracks.iter().enumerate() {
        let kind = if is_awaiting { Kind::Awaiting } else { Kind::Thread };
        if name >= texts || profile.track_of(Track { name, kind }) != TrackId(at as u32) {
            return Err(Unreadable::Damaged("tracks"));
        }
    }
    restore_nodes(&mut profile, &stored).ok_or(Unreadable::Damaged("stacks"))?;
    profile.ran(stored.duration_ns);
    profile.collected(stored.collected_ns, stored.collections);
    for &(file, line, one) in &stored.allocations {
        if file >= texts || profile.allocations.insert((file, line), one).is_some() {
            return Err(Unreadable::Damaged("allocations"));
        }
    }
    Ok(profile)
}

fn restore_nodes(profile: &mut Profile, stored: &Stored) -> Option<()> {
    let frames = profile.names.frames().len() as u32;
    let mut depths: Vec<usize> = Vec::with_capacity(stored.nodes.len());
    for (at, node) in stored.nodes.iter().enumerate() {
        let (parent, depth) = match node.back {
            0 => (NO_PARENT, 1),
            back => {
                let parent = at.checked_sub(back as usize)?;
                (parent as u32, depths[parent] + 1)
            }
        };
        let is_with_parent = parent == NO_PARENT || profile.nodes[parent as usize].place.track == node.track;
        let is_known = (node.track as usize) < profile.tracks.len() && node.frame < frames;
        if depth > DEPTH_MAX + 1 || !is_with_parent || !is_known {
            return None;
        }
        let call = Call { frame: FrameId(node.frame), line: node.line };
        let place = Place { track: node.track, parent, call };
        if profile.node(place)? as usize != at {
            return None;
        }
        profile.nodes[at].own = node.own;
        depths.push(depth);
    }
    Some(())
}
