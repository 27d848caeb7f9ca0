//! What a cache counts.

/// What has happened since the cache was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Look-ups that were answered.
    pub hits: u64,
    /// Of these, those answered with a value whose time was over.
    pub stale_hits: u64,
    /// Look-ups that were not.
    pub misses: u64,
    /// Entries stored.
    pub inserts: u64,
    /// Entries that went to make room, or were too heavy to come in.
    pub evictions: u64,
    /// Entries that went because their time was over.
    pub expirations: u64,
    /// Entries that went because somebody said they were not true any more.
    pub invalidations: u64,
}

/// What has happened to the entries of a tag since there were any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagStatistics {
    /// Those there are.
    pub entries: u64,
    /// Look-ups that were answered with one.
    pub hits: u64,
    /// How often the tag was invalidated.
    pub invalidations: u64,
}
