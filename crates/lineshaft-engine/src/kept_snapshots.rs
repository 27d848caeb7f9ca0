//! The two snapshots that are kept, and what going back to them takes.

use lineshaft_jobs::State;

/// A snapshot that was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Its commit.
    pub(crate) lsn: u64,
    /// The oldest commit that its jobs need, or the one after it.
    pub(crate) needs_lsn: u64,
}

impl Taken {
    /// The snapshot of this state, which is that of commit `lsn`.
    pub(crate) fn of(state: &State, lsn: u64) -> Self {
        Self { lsn, needs_lsn: state.oldest_kept_lsn().unwrap_or(lsn + 1).min(lsn + 1) }
    }
}

/// The kept snapshots, as far as this run knows them: a start knows only the one that it began with.
///
/// The journal keeps what the older one's jobs need, though they may need it no more: so every state from that snapshot
/// on can be had again whole, payloads included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeptSnapshots {
    older: Taken,
    newer: Taken,
}

impl KeptSnapshots {
    /// Begins with the snapshot that was loaded, if one was.
    pub(crate) fn loaded(newer: Option<Taken>) -> Self {
        Self { older: Taken::default(), newer: newer.unwrap_or_default() }
    }

    /// A further one is durable.
    pub(crate) fn published(&mut self, taken: Taken) {
        (self.older, self.newer) = (self.newer, taken);
    }

    /// The commit that both are past.
    pub(crate) fn past_lsn(&self) -> u64 {
        self.older.lsn
    }

    /// Commits below this one are needed by nobody.
    pub(crate) fn trim_below(&self) -> u64 {
        self.older.needs_lsn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_kept_for_the_older_one() {
        let taken = |lsn, needs_lsn| Taken { lsn, needs_lsn };
        let mut kept = KeptSnapshots::loaded(None);
        assert_eq!((kept.past_lsn(), kept.trim_below()), (0, 0));
        kept.published(taken(50, 10));
        assert_eq!((kept.past_lsn(), kept.trim_below()), (0, 0), "one may turn out to be damaged");
        kept.published(taken(80, 60));
        assert_eq!((kept.past_lsn(), kept.trim_below()), (50, 10));
        kept.published(taken(90, 91));
        assert_eq!((kept.past_lsn(), kept.trim_below()), (80, 60));
    }
}
