//! Who goes when room is needed.
//!
//! A policy knows residents by their slots and puts these in an order; what is in a slot, when it dies and how it is
//! found are no business of it. Each is the naive algorithm of its paper over linked lists of slots: the properties in
//! `tests/it/policies.rs` hold them to an even more naive one.

mod ghost;
mod list;
mod lru;
mod s3_fifo;
mod sieve;
mod sketch;
mod w_tiny_lfu;

use crate::options::Capacity;

/// What a policy may ask about a resident.
pub trait Facts {
    /// Its hash: equal for equal keys, well mixed.
    fn hash(&self, slot: u32) -> u32;
    /// What it weighs; 1 where entries are counted.
    fn weight(&self, slot: u32) -> u32;
    /// How many there are.
    fn len(&self) -> u32;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An order among residents. Every slot is inserted once before it is touched, removed or evicted.
pub trait Policy: Send {
    /// Somebody came in. There is room for it already.
    fn insert(&mut self, slot: u32, facts: &dyn Facts);
    /// Somebody was used.
    fn touch(&mut self, slot: u32, facts: &dyn Facts);
    /// Somebody went for another reason than room.
    fn remove(&mut self, slot: u32, facts: &dyn Facts);
    /// Chooses who goes for somebody of weight `incoming`, and takes it out; `None` if there is nobody.
    fn evict(&mut self, incoming: u32, facts: &dyn Facts) -> Option<u32>;
    /// Forgets everybody.
    fn clear(&mut self);
}

/// The policies there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyKind {
    /// S3-FIFO: what is not used again soon goes soon (Yang et al., SOSP 2023). Best or near it on most traces.
    #[default]
    S3Fifo,
    /// The least recently used goes first.
    Lru,
    /// SIEVE: a hand that spares who was visited (Zhang et al., NSDI 2024).
    Sieve,
    /// W-TinyLFU: who comes must have been asked for more often than who goes (Einziger et al., 2017).
    WTinyLfu,
}

impl PolicyKind {
    /// The policy, for a cache with so much room.
    pub fn build(self, capacity: Capacity) -> Box<dyn Policy> {
        let max = capacity.weight_max();
        match self {
            Self::S3Fifo => Box::new(s3_fifo::S3Fifo::new(max)),
            Self::Lru => Box::new(lru::Lru::new()),
            Self::Sieve => Box::new(sieve::Sieve::new()),
            Self::WTinyLfu => Box::new(w_tiny_lfu::WTinyLfu::new(max)),
        }
    }
}
