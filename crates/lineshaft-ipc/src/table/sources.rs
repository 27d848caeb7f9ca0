//! What entries were computed from, other keys: what becomes of those reaches them.
//!
//! An entry has the buckets of its sources, and *stands* as long as none of those was invalidated since its computing
//! began. That a source gets a value where it had none, because its time was over or it went for room, is another thing:
//! who computes an entry often computes its sources too, and would never be done. So that reaches only entries that were
//! stored before: they know when that was, and the bucket knows when a value *came*.
//!
//! Values come often, and of most keys nobody depends. So a bucket has a print of the key that is *watched*, and nothing
//! is told for others. An entry reads the moment at which it is stored, has its sources watched, and is stored, in this
//! order; a value that comes takes the watch away and then takes a moment of its own. So an entry that has not set the
//! watch again was stored before that moment, and is untrue.

use std::sync::atomic::Ordering::{AcqRel, Acquire};

use super::layout::Parts;
use super::words::{Bucket, WATCHED_BY_NONE, WATCHED_BY_SEVERAL};
use super::{Key, Source};

/// What tells a key from others of its bucket, more or less.
pub(super) fn print(key: Key<'_>) -> u32 {
    // Other bits than those that say which bucket and which shard it is in.
    let print = (key.hash ^ key.hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (print as u32).max(WATCHED_BY_SEVERAL + 1)
}

/// If nothing of a source was invalidated since `stamp`, when a value of it came last. Needs no lock.
pub(super) fn stands(parts: &Parts, place: u32, stamp: u64) -> Option<u64> {
    let (shard, bucket) = parts.source(place)?;
    let is_so = shard.true_since.load(Acquire) <= stamp && bucket.invalidated.load(Acquire) <= stamp;
    is_so.then(|| bucket.came.load(Acquire).max(shard.emptied.load(Acquire)))
}

/// Has it told when a value of `source` comes.
pub(super) fn watch(parts: &Parts, source: Source) {
    let Some((_, bucket)) = parts.source(source.place) else { return };
    let together = |watched| match watched {
        WATCHED_BY_NONE => Some(source.print),
        watched if watched == source.print || watched == WATCHED_BY_SEVERAL => None,
        _ => Some(WATCHED_BY_SEVERAL),
    };
    // An error says that it is watched already.
    let _ = bucket.watched.fetch_update(AcqRel, Acquire, together);
}

/// Whether `key` is watched, by entries that will be told so now: the watch is taken away.
pub(super) fn is_watched(bucket: &Bucket, key: Key<'_>) -> bool {
    let watched = bucket.watched.load(Acquire);
    let is_so = watched == WATCHED_BY_SEVERAL || watched == print(key);
    if is_so {
        bucket.watched.swap(WATCHED_BY_NONE, AcqRel);
    }
    is_so
}
