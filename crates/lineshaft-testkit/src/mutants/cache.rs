//! The cache: what is invalidated, and what is not stored.

use super::Mutant;

const CACHE: &str = "crates/lineshaft-jobs/src/cache.rs";

pub(super) const TABLE: &[Mutant] = &[
    Mutant {
        name: "cache-keeps-what-has-a-tag",
        rule: "entries are untrue when one of their tags was invalidated",
        file: CACHE,
        within: "entry.since >= self.floor && self.last_of(&entry.tags) <= entry.since",
        original: "self.last_of(&entry.tags) <= entry.since",
        mutated: "entry.since <= self.version",
        seed: Some(12),
    },
    Mutant {
        name: "cache-stores-what-has-changed",
        rule: "what was computed from what has changed since is not stored",
        file: CACHE,
        within: "",
        original: "is_known && of_keys.max(self.last_of(tags)) <= ticket",
        mutated: "is_known && of_keys.max(self.last_of(tags)) <= self.version",
        seed: Some(12),
    },
    Mutant {
        name: "cache-trusts-old-tickets",
        rule: "what was begun before a start is not stored",
        file: CACHE,
        within: "self.tickets_from = self.version;",
        original: "self.version",
        mutated: "0",
        seed: Some(188),
    },
    Mutant {
        name: "cache-takes-back-what-was-put",
        rule: "what was computed does not take the place of what was put there meanwhile",
        file: "crates/lineshaft-jobs/src/decide/cache.rs",
        within: "let version = self.cache.version + u64::from(!keys.is_empty() || !tags.is_empty());",
        original: "u64::from(!keys.is_empty() || !tags.is_empty())",
        mutated: "0",
        seed: Some(12),
    },
    Mutant {
        name: "cache-keeps-what-depends",
        rule: "what was computed from an entry is untrue with it",
        file: "crates/lineshaft-jobs/src/decide/cache.rs",
        within: "",
        original: "keys.filter_map(|key| self.cache.depended_on(key)).collect()",
        mutated: "Vec::new()",
        seed: Some(12),
    },
];
