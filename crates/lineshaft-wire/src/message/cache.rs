//! The engine's cache: values by key, for all programs of a home, that stay true until something says otherwise.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Sequence;

/// Looks keys up. Answered by [`CacheFound`], behind which follow the values that were found, in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheGet {
    /// Up to [`CACHE_KEYS_MAX`](super::CACHE_KEYS_MAX), of 1 to 255 bytes each, without control characters.
    pub keys: Vec<Arc<str>>,
    /// Neither counted nor taken for a use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub peek: bool,
}

/// The answer to [`CacheGet`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFound {
    /// What was found for each key.
    pub entries: Vec<Option<FoundEntry>>,
    /// For a [`CacheSet`] of what is computed now: what is invalidated meanwhile makes it untrue.
    pub ticket: u64,
}

/// An entry that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundEntry {
    /// Bytes of its value, which follows.
    pub length: u32,
    /// Its time is over, and it is served while somebody computes it anew.
    pub is_stale: bool,
}

/// Stores values, which follow, in place of those that the keys had. Answered by [`Changed`](super::Changed), whose count
/// says how many: an entry with a ticket is left out if it or one of its sources was invalidated since, if that cannot be
/// known any more, or if another one was stored meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSet {
    /// Its place in the session.
    pub sequence: Sequence,
    /// Up to [`CACHE_KEYS_MAX`](super::CACHE_KEYS_MAX).
    pub entries: Vec<NewEntry>,
}

/// An entry to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEntry {
    /// 1 to 255 bytes without control characters.
    pub key: Arc<str>,
    /// Bytes of its value.
    pub length: u32,
    /// How long it is true, milliseconds of the wall clock; for ever by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// How long it stays without a use, milliseconds; for ever by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// How long it is served beyond its time, milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stale_ms: u64,
    /// Names under which it is invalidated together with others: up to [`CACHE_TAGS_MAX`](super::CACHE_TAGS_MAX), as keys
    /// are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Arc<str>>,
    /// Of the [`CacheFound`] that said that there is none. Without one it is true as of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<u64>,
    /// Keys that it was computed from, whether they have entries or not: all of them, what those were computed from
    /// included. Up to [`CACHE_SOURCES_MAX`](super::CACHE_SOURCES_MAX). It is untrue once one of them is invalidated or
    /// gets a value; that one gets its first value since the ticket was given changes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Arc<str>>,
}

/// Makes entries untrue, and what is being computed for them. Answered by [`Changed`](super::Changed) when nobody is given
/// them any more; its count says how many of the keys there were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheInvalidate {
    /// Its place in the session.
    pub sequence: Sequence,
    /// Their keys, up to [`CACHE_KEYS_MAX`](super::CACHE_KEYS_MAX).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Arc<str>>,
    /// Tags, up to [`CACHE_KEYS_MAX`](super::CACHE_KEYS_MAX): of however many entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Arc<str>>,
    /// All there are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// What the engine's cache says of itself, in a [`StatusReport`](super::StatusReport).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheReport {
    /// Entries, those included that are not true any more and have not gone yet.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes.
    pub bytes_max: u64,
    /// Look-ups since the server started that found something.
    pub hits: u64,
    /// Those that did not.
    pub misses: u64,
    /// Entries that went since then because room was needed.
    pub evicted: u64,
}

impl CacheReport {
    /// Whether it never had anything to do.
    pub const fn is_unused(&self) -> bool {
        self.entries == 0 && self.hits == 0 && self.misses == 0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
