//! Places of jobs that are free, and which of them the next job takes.

use std::collections::VecDeque;

use lineshaft_structures::CyclicSet;

/// The free places.
#[derive(Debug)]
pub(crate) enum FreePlaces {
    /// The one that is free for longest is next, in homes of earlier versions: after a while, jobs that come one after
    /// the other stand all over memory.
    InTurn(VecDeque<u32>),
    /// The next one by number, around and around: jobs that come one after the other stand side by side.
    Swept(CyclicSet),
}

impl FreePlaces {
    /// None, used in turn unless they are swept from `hand` on.
    pub(crate) fn new(hand: Option<u32>) -> Self {
        hand.map_or_else(|| Self::InTurn(VecDeque::new()), |hand| Self::Swept(CyclicSet::from_hand(hand)))
    }

    pub(crate) fn count(&self) -> u32 {
        match self {
            Self::InTurn(places) => places.len() as u32,
            Self::Swept(places) => places.len(),
        }
    }

    /// Where the sweep is, if it is one.
    pub(crate) const fn hand(&self) -> Option<u32> {
        match self {
            Self::InTurn(_) => None,
            Self::Swept(places) => Some(places.hand()),
        }
    }

    pub(crate) fn insert(&mut self, index: u32) {
        match self {
            Self::InTurn(places) => places.push_back(index),
            Self::Swept(places) => places.insert(index),
        }
    }

    /// The one that [`Self::take`] would give.
    pub(crate) fn next(&self) -> Option<u32> {
        match self {
            Self::InTurn(places) => places.front().copied(),
            Self::Swept(places) => places.next(),
        }
    }

    pub(crate) fn take(&mut self) -> Option<u32> {
        match self {
            Self::InTurn(places) => places.pop_front(),
            Self::Swept(places) => places.take(),
        }
    }

    /// The same places, swept from the lowest on.
    pub(crate) fn sweep(&mut self) {
        if let Self::InTurn(places) = self {
            let mut swept = CyclicSet::default();
            places.iter().for_each(|place| swept.insert(*place));
            *self = Self::Swept(swept);
        }
    }
}
