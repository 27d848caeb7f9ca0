//! What a cache is told once, and what comes with each entry.

use crate::policy::PolicyKind;
use crate::residents::Stamp;

/// How much a cache holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Number of entries. With 0 nothing is kept.
    Entries(u32),
    /// Sum of the weights of the entries, bytes for example. An entry that is heavier by itself is not kept.
    Weight(u64),
    /// Whatever comes, up to `u32::MAX` - 1 entries.
    Unbounded,
}

impl Capacity {
    /// The greatest sum of weights, where each entry of a counted cache weighs one.
    pub(crate) fn weight_max(self) -> u64 {
        match self {
            Self::Entries(count) => u64::from(count),
            Self::Weight(weight) => weight,
            Self::Unbounded => u64::MAX,
        }
    }
}

/// How long an entry lives, in milliseconds; `None` is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// From when it was stored.
    pub ttl_ms: Option<u64>,
    /// From when it was last used.
    pub idle_ms: Option<u64>,
}

/// What a cache is told once.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much it holds.
    pub capacity: Capacity,
    /// Who goes when room is needed.
    pub policy: PolicyKind,
    /// How long entries live that say nothing else.
    pub life: Life,
    /// How long an entry may still be served after its time to live, while somebody computes it anew. Milliseconds.
    pub stale_ms: u64,
    /// How eagerly entries are computed anew before their time is over: the beta of `XFetch`. 1 is what its authors
    /// advise, 0 is never.
    pub early: f64,
}

impl Default for Options {
    /// 10,000 entries under S3-FIFO, which live until they have to go.
    fn default() -> Self {
        Self {
            capacity: Capacity::Entries(10_000),
            policy: PolicyKind::S3Fifo,
            life: Life::default(),
            stale_ms: 0,
            early: 0.0,
        }
    }
}

/// What comes with one entry.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// Its own life; the cache's if `None`.
    pub life: Option<Life>,
    /// What it weighs where weights are what is bounded; at least 1.
    pub weight: u32,
    /// How long it took to compute, in milliseconds.
    pub cost_ms: u32,
    /// Names under which it can be invalidated together with others.
    pub tags: &'a [&'a str],
    /// When its computing began: what was invalidated since then makes it untrue. Now if `None`.
    pub since: Option<Stamp>,
}
