//! What the writer of a journal and its handles have in common.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::cache::{Chunks, Recent};
use super::cold::Cold;
use super::reserve::Reserve;
use super::segment::Segment;
use super::snapshots::Snapshots;
use crate::disk::Disk;
use crate::{Error, Home, JournalEnd, Space};

/// A segment that is pinned by everyone who holds it.
pub(crate) type SharedSegment<D> = Arc<Segment<<D as Disk>::File>>;

/// Shared by the writer, the handles and the background threads.
pub(crate) struct Shared<D: Disk> {
    pub(crate) home: Home<D>,
    pub(crate) reserve: Arc<Reserve<D>>,
    /// All segments with commits, oldest first. Their LSNs join without gap or overlap, but for commits that
    /// were given up.
    pub(crate) segments: RwLock<VecDeque<SharedSegment<D>>>,
    pub(crate) recent: RwLock<Recent>,
    pub(crate) chunks: Mutex<Chunks>,
    pub(crate) snapshots: Snapshots<D>,
    pub(crate) cold: Cold<D>,
    pub(crate) durable_lsn: AtomicU64,
    pub(crate) space: Mutex<Space>,
    poisoned: AtomicBool,
}

impl<D: Disk> Shared<D> {
    pub(crate) fn new(
        home: Home<D>,
        reserve: Arc<Reserve<D>>,
        segments: VecDeque<SharedSegment<D>>,
        snapshots: Snapshots<D>,
        cache_bytes: usize,
        durable_lsn: u64,
    ) -> Self {
        Self {
            cold: Cold::new(home.disk().clone()),
            home,
            reserve,
            segments: RwLock::new(segments),
            recent: RwLock::new(Recent::new(cache_bytes)),
            chunks: Mutex::new(Chunks::new(cache_bytes)),
            snapshots,
            durable_lsn: AtomicU64::new(durable_lsn),
            space: Mutex::new(Space::default()),
            poisoned: AtomicBool::new(false),
        }
    }

    pub(crate) fn check_poisoned(&self) -> Result<(), Error> {
        if self.poisoned.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Stops the journal for good: a failed sync is never tried again.
    pub(crate) fn poison(&self, error: Error) -> Error {
        self.poisoned.store(true, Ordering::Release);
        tracing::error!(%error, "the journal stops");
        error
    }

    pub(crate) fn durable_lsn(&self) -> u64 {
        self.durable_lsn.load(Ordering::Acquire)
    }

    pub(crate) fn advance_durable(&self, lsn: u64) {
        self.durable_lsn.fetch_max(lsn, Ordering::AcqRel);
    }

    pub(crate) fn space(&self) -> Space {
        *self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the newest commit is and ends, and where the row of segments begins.
    pub(crate) fn end(&self) -> Result<JournalEnd, Error> {
        let (first_segment, head_lsn) = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            let first = segments.front().map_or(0, |segment| segment.header.number);
            (first, segments.back().map_or(0, |segment| segment.end_lsn() - 1))
        };
        let (segment, start) = self.segment_of(head_lsn)?;
        let header = segment.commit_header(start, head_lsn)?;
        Ok(JournalEnd {
            newest: header.appended(),
            first_segment,
            last_segment: segment.header.number,
            last_segment_bytes: start + header.stored_bytes(),
        })
    }

    /// The segment with this commit, pinned while the `Arc` lives.
    pub(crate) fn segment_of(&self, lsn: u64) -> Result<(SharedSegment<D>, u64), Error> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.first_lsn <= lsn);
        let found = after.checked_sub(1).and_then(|index| {
            let segment = &segments[index];
            Some((Arc::clone(segment), segment.start_of(lsn)?))
        });
        found.ok_or_else(|| Error::NoCommit {
            lsn,
            oldest_lsn: segments.front().map_or(0, |segment| segment.first_lsn),
            head_lsn: segments.back().map_or(0, |segment| segment.end_lsn() - 1),
        })
    }
}
