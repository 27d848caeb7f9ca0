//! The embedded journal: one write and one sync per commit, onto space that was prepared before.

use std::fmt;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::commit::{self, Header};
use super::fresh::FreshOptions;
use super::preparer::{Prepared, Preparer, Readiness, Wanted, next_bytes};
use super::recovery::{Recovered, recover};
use super::reserve::Reserve;
use super::scan::Window;
use super::segment::{self, COMMITS_START, SEGMENT_BYTES_MIN, Segment, SegmentHeader};
use super::shared::Shared;
use super::snapshots::Snapshots;
use super::syncer::{Syncer, Unsynced, sync_error};
use super::{BODY_BYTES_MAX, SegmentHandle, blobs, cold};
use crate::disk::{Disk, DiskFile};
use crate::gaps::Gaps;
use crate::home::check_free;
use crate::{Append, Appended, Durability, Error, Home, Journal, Options, Recovery, Space};

/// Most of what is left free on the disk (less where segments are small): the archive, snapshots and everybody else
/// need some.
const ROOM_BYTES_MAX: u64 = 16 << 20;
/// With less than this left in the last segment there is no room for new jobs: a commit of them has some megabytes.
const LOW_BYTES: u64 = 16 << 20;

/// A journal in segment files. The one thread that appends owns it.
pub struct SegmentJournal<D: Disk> {
    shared: Arc<Shared<D>>,
    preparer: Preparer<D>,
    unsynced: Arc<Unsynced<D::File>>,
    syncer: Option<Syncer>,
    options: Options,
    tail: Tail<D::File>,
    head: Head,
    trim: Trim,
    /// Commits that were given up.
    gaps: Gaps,
}

/// Where the next commit goes.
struct Tail<F> {
    segment: Arc<Segment<F>>,
    offset: u64,
}

#[derive(Clone, Copy)]
struct Head {
    appended: Appended,
    epoch: u64,
    nonce: u64,
    is_seal: bool,
}

/// How far the journal may be, and has been, forgotten.
struct Trim {
    /// Commits below this may go. Each header says so before they do, so that missing ones are told from lost ones.
    oldest_lsn: u64,
    /// Segments below may go once this commit is durable.
    after: Option<u64>,
}

impl<D: Disk> fmt::Debug for SegmentJournal<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentJournal").field("head", &self.head.appended).finish_non_exhaustive()
    }
}

impl<D: Disk> SegmentJournal<D> {
    /// Opens the journal of a home, creating it if there is none, and cuts or refuses as the state on disk demands.
    ///
    /// Costs a read of all segments' headers, of the bodies after the newest snapshot, and a few syncs; under 50 ms
    /// for an empty home.
    pub fn open(home: &Home<D>, options: Options) -> Result<(Self, Recovery), Error> {
        let options = normalised(options);
        for directory in [segment::DIRECTORY, Snapshots::<D>::directory(), blobs::DIRECTORY, cold::DIRECTORY]
        {
            home.create_dir(directory)?;
        }
        blobs::open(home.disk())?;
        cold::open(home.disk())?;
        let (snapshots, loaded) = Snapshots::open(home.disk().clone())?;
        home.keep_room(ROOM_BYTES_MAX.min(4 * options.segment_bytes_first));
        home.note_snapshot(loaded.newest_bytes);
        let fresh = FreshOptions { seed: options.seed, segment_bytes: options.segment_bytes_first };
        let mut recovered = recover(home.disk(), loaded, fresh)?;
        if let Some(cut) = &recovered.recovery.cut {
            tracing::warn!(
                first_lsn = cut.first_lsn,
                last_lsn = cut.last_lsn,
                file = cut.file,
                "cut an unfinished tail"
            );
        }
        let recovery = std::mem::take(&mut recovered.recovery);
        let journal = Self::start(home, options, snapshots, &recovery, recovered)?;
        Ok((journal, recovery))
    }

    fn start(
        home: &Home<D>,
        options: Options,
        snapshots: Snapshots<D>,
        recovery: &Recovery,
        recovered: Recovered<D::File>,
    ) -> Result<Self, Error> {
        let segment = Arc::clone(recovered.segments.back().expect("recovery made a fresh segment"));
        let reserve = Reserve::new(home.disk().clone(), options.segment_bytes_first, recovered.reserve_bytes);
        let reserve = Arc::new(reserve);
        let shared = Shared::new(
            home.clone(),
            Arc::clone(&reserve),
            recovered.segments,
            snapshots,
            options.cache_bytes,
            recovery.head.lsn,
        );
        let shared = Arc::new(shared);
        let unsynced = Arc::new(Unsynced::new());
        let needs_syncer = options.background && options.durability == Durability::Os;
        let syncer =
            needs_syncer.then(|| Syncer::start(Arc::clone(&shared), Arc::clone(&unsynced))).transpose()?;
        shared.space.lock().unwrap_or_else(PoisonError::into_inner).tight = !recovered.has_room;
        let journal = Self {
            preparer: Preparer::new(home, reserve, recovered.spares, options.background)?,
            shared,
            unsynced,
            syncer,
            options,
            tail: Tail { segment, offset: recovered.tail_offset },
            head: Head {
                appended: recovery.head,
                epoch: recovery.epoch,
                nonce: recovered.nonce,
                is_seal: recovered.head_is_seal,
            },
            trim: Trim { oldest_lsn: recovered.oldest_mark, after: None },
            gaps: recovered.gaps,
        };
        journal.request_next();
        journal.note_space();
        Ok(journal)
    }

    fn check(&self, append: &Append<'_>) -> Result<(), Error> {
        self.shared.check_poisoned()?;
        let Appended { lsn: head_lsn, crc: head_crc } = self.head.appended;
        let Append { epoch, expected_lsn, previous_crc, body, .. } = *append;
        if (expected_lsn, previous_crc) != (head_lsn + 1, head_crc) {
            return Err(Error::NotNext { expected_lsn, previous_crc, head_lsn, head_crc });
        }
        if epoch < self.head.epoch {
            return Err(Error::Fenced { epoch, newest: self.head.epoch });
        }
        if body.len() > BODY_BYTES_MAX {
            let max_bytes = BODY_BYTES_MAX as u64;
            return Err(Error::TooLarge { what: "a commit", bytes: body.len() as u64, max_bytes });
        }
        Ok(())
    }

    /// Makes sure that the tail has room, moving on to the next segment if it has none.
    fn make_room(&mut self, bytes: u64) -> Result<(), Error> {
        self.retry_preparing();
        if self.tail.offset + bytes <= self.tail.segment.bytes() {
            return Ok(());
        }
        if self.tail.offset > COMMITS_START {
            self.move_on(bytes)?;
        }
        self.check_growth(bytes)
    }

    fn move_on(&mut self, bytes: u64) -> Result<(), Error> {
        let prepared = match self.preparer.take() {
            Ok(prepared) => prepared,
            Err(full @ Error::Full { .. }) => match self.take_reserve(bytes) {
                Ok(Some(reserve)) => reserve,
                Ok(None) => {
                    self.request_next();
                    return Err(full);
                }
                Err(error) => return Err(self.shared.poison(error)),
            },
            Err(error) => return Err(self.shared.poison(error)),
        };
        let first_lsn = self.head.appended.lsn + 1;
        let segment = Segment::new(prepared.header, prepared.file, prepared.bytes, first_lsn, Vec::new());
        self.tail = Tail { segment: Arc::new(segment), offset: COMMITS_START };
        let mut segments = self.shared.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.push_back(Arc::clone(&self.tail.segment));
        drop(segments);
        self.request_next();
        Ok(())
    }

    fn take_reserve(&self, bytes: u64) -> Result<Option<Prepared<D::File>>, Error> {
        let header = SegmentHeader::new(self.tail.segment.header.number + 1, self.options.seed);
        let taken = self.preparer.take_reserve(header, COMMITS_START + bytes)?;
        if taken.is_some() {
            tracing::warn!("the disk is full: the journal goes on in its reserve");
        }
        Ok(taken)
    }

    /// A commit larger than its segment makes the file grow; the disk must have the space.
    fn check_growth(&self, bytes: u64) -> Result<(), Error> {
        let end = self.tail.offset + bytes;
        let growth = end.saturating_sub(self.tail.segment.bytes());
        if growth == 0 {
            return Ok(());
        }
        check_free(self.shared.home.disk(), growth)
    }

    /// Asks for the segment after the tail, twice as large, unless a failed attempt is too recent.
    fn request_next(&self) {
        let Options { segment_bytes_first, segment_bytes_max, seed, .. } = self.options;
        let header = SegmentHeader::new(self.tail.segment.header.number + 1, seed);
        // Unknown only if the disk fails, which making the segment then finds out.
        let free = self.shared.home.disk().free_bytes().unwrap_or(0);
        let bytes = next_bytes(self.tail.segment.bytes(), free, segment_bytes_first, segment_bytes_max);
        self.preparer.request(Wanted { header, bytes, bytes_max: segment_bytes_max });
    }

    fn retry_preparing(&self) {
        if self.preparer.should_retry() {
            self.request_next();
        }
    }

    fn left_bytes(&self) -> u64 {
        self.tail.segment.bytes().saturating_sub(self.tail.offset)
    }

    fn note_space(&self) {
        let (state, left_bytes) = (self.preparer.state(), self.left_bytes());
        let mut space = self.shared.space.lock().unwrap_or_else(PoisonError::into_inner);
        // While one is being made, what the last attempt said still holds.
        let (next_bytes, tight, shortage) = match state {
            Readiness::Ready(bytes) => (bytes, false, None),
            // While one is being made, what the last attempt said still holds.
            Readiness::Working => (0, space.tight, space.shortage),
            Readiness::Failed(shortage) => (0, true, shortage),
        };
        *space = Space {
            ready_bytes: left_bytes + next_bytes,
            reserve_bytes: self.shared.reserve.bytes(),
            reserve_whole_bytes: self.shared.reserve.wanted_bytes(),
            tight,
            low: tight && left_bytes < LOW_BYTES,
            shortage,
        };
    }

    /// Writes a commit at the tail, durable or not as the options say.
    fn write(&mut self, bytes: &[u8], lsn: u64) -> Result<(), Error> {
        let segment = &self.tail.segment;
        match segment.file.write_all_at(self.tail.offset, bytes) {
            Ok(()) => {}
            Err(source) => return Err(self.write_failed(source, bytes.len() as u64)),
        }
        if self.options.durability == Durability::Os {
            self.unsynced.note(segment, lsn);
            return Ok(());
        }
        let synced = segment.file.sync_data();
        synced.map_err(|source| self.shared.poison(sync_error(&segment.path(), source)))?;
        self.shared.advance_durable(lsn);
        Ok(())
    }

    /// A full disk left a part of the commit at most, which the next commit overwrites; anything else is the end.
    fn write_failed(&self, source: std::io::Error, bytes: u64) -> Error {
        match Error::io("write", &self.tail.segment.path(), bytes)(source) {
            full @ Error::Full { .. } => full,
            error => self.shared.poison(error),
        }
    }

    /// Clears away trimmed segments once a durable commit says that they may be missing.
    fn retire_trimmed(&mut self) {
        if self.trim.after.is_none_or(|lsn| lsn > self.shared.durable_lsn()) {
            return;
        }
        // While files are held, a later commit does it.
        let Some(_removing) = self.shared.home.holds().removing() else { return };
        self.trim.after = None;
        let mut segments = self.shared.segments.write().unwrap_or_else(PoisonError::into_inner);
        let gone = segments.iter().take_while(|segment| self.may_go(segment, self.trim.oldest_lsn)).count();
        let retired = segments.drain(..gone).collect();
        drop(segments);
        self.preparer.retire(retired);
    }

    fn may_go(&self, segment: &Arc<Segment<D::File>>, below_lsn: u64) -> bool {
        segment.end_lsn() <= below_lsn && !Arc::ptr_eq(segment, &self.tail.segment)
    }

    fn append_checked(&mut self, append: &Append<'_>) -> Result<Appended, Error> {
        let size = commit::stored_bytes(append.body.len());
        let roomy = self.make_room(size);
        self.note_space();
        roomy?;
        let mut header = Header {
            salt: self.tail.segment.header.salt,
            lsn: append.expected_lsn,
            synced_lsn: self.shared.durable_lsn(),
            oldest_lsn: self.trim.oldest_lsn,
            epoch: append.epoch,
            nonce: append.nonce,
            body_bytes: 0,
            previous_crc: append.previous_crc,
            body_crc: 0,
        };
        let bytes = commit::encode(&mut header, append.body);
        self.write(&bytes, header.lsn)?;
        self.advance(&header, bytes);
        Ok(self.head.appended)
    }

    fn advance(&mut self, header: &Header, bytes: Vec<u8>) {
        let start = self.tail.offset;
        self.tail.offset += bytes.len() as u64;
        let body =
            Bytes::from(bytes).slice(header.body_start()..header.body_start() + header.body_bytes as usize);
        let mut recent = self.shared.recent.write().unwrap_or_else(PoisonError::into_inner);
        recent.push(header.lsn, body);
        drop(recent);
        self.tail.segment.push(start, self.tail.offset);
        let (appended, is_seal) = (header.appended(), header.body_bytes == 0);
        self.head = Head { appended, epoch: header.epoch, nonce: header.nonce, is_seal };
        self.retire_trimmed();
        if let Some(syncer) = &self.syncer {
            syncer.wake();
        }
    }
}

fn normalised(mut options: Options) -> Options {
    let first = options.segment_bytes_first.max(SEGMENT_BYTES_MIN);
    options.segment_bytes_first = first.next_multiple_of(commit::ALIGNMENT);
    options.segment_bytes_max = options.segment_bytes_max.max(options.segment_bytes_first);
    options
}

impl<D: Disk> Journal for SegmentJournal<D> {
    type Handle = SegmentHandle<D>;

    fn append(&mut self, append: Append<'_>) -> Result<Appended, Error> {
        self.check(&append)?;
        self.append_checked(&append)
    }

    fn seal(&mut self) -> Result<Appended, Error> {
        self.shared.check_poisoned()?;
        if self.head.is_seal || self.head.appended.lsn == 0 {
            return Ok(self.head.appended);
        }
        if self.options.durability == Durability::Os {
            self.sync()?;
        }
        let Head { appended, epoch, nonce, .. } = self.head;
        let (expected_lsn, previous_crc) = (appended.lsn + 1, appended.crc);
        self.append_checked(&Append { epoch, nonce, expected_lsn, previous_crc, body: &[] })?;
        Ok(self.head.appended)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.unsynced.sync(&self.shared)?;
        self.retire_trimmed();
        Ok(())
    }

    fn replay<E: From<Error>>(
        &mut self,
        after_lsn: u64,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if after_lsn >= self.head.appended.lsn {
            return Ok(());
        }
        self.shared.segment_of(self.gaps.after(after_lsn))?;
        let segments: Vec<_> =
            self.shared.segments.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        segments.iter().try_for_each(|segment| replay_segment(segment, after_lsn, &mut visit))
    }

    fn trim(&mut self, below_lsn: u64) -> Result<(), Error> {
        self.shared.check_poisoned()?;
        let below_lsn = below_lsn.min(self.shared.snapshots.both_past() + 1);
        let segments = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        let stays = segments.iter().find(|segment| !self.may_go(segment, below_lsn));
        let oldest_lsn = stays.map_or(0, |segment| segment.first_lsn);
        drop(segments);
        if oldest_lsn > self.trim.oldest_lsn {
            self.trim = Trim { oldest_lsn, after: Some(self.head.appended.lsn + 1) };
        }
        Ok(())
    }

    fn look_for_space(&mut self) {
        self.retry_preparing();
        self.note_space();
    }

    fn dead_bytes(&self, below_lsn: u64) -> u64 {
        let segments = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        let dead = segments.iter().take_while(|segment| self.may_go(segment, below_lsn));
        dead.map(|segment| segment.bytes()).sum()
    }

    fn has_room(&mut self, body_bytes: u64) -> bool {
        let bytes = commit::stored_bytes(body_bytes as usize);
        if self.tail.offset + bytes <= self.tail.segment.bytes() {
            return true;
        }
        match self.preparer.wait() {
            Readiness::Ready(next_bytes) => {
                let growth = (COMMITS_START + bytes).saturating_sub(next_bytes);
                growth == 0 || self.shared.home.check_room(growth).is_ok()
            }
            Readiness::Working | Readiness::Failed(_) => false,
        }
    }

    fn head(&self) -> Appended {
        self.head.appended
    }

    fn handle(&self) -> SegmentHandle<D> {
        SegmentHandle::new(Arc::clone(&self.shared))
    }
}

fn replay_segment<F: DiskFile, E: From<Error>>(
    segment: &Segment<F>,
    after_lsn: u64,
    visit: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (mut window, path) = (Window::new(&segment.file), segment.path());
    for lsn in segment.first_lsn.max(after_lsn + 1)..segment.end_lsn() {
        let Some(start) = segment.start_of(lsn) else { continue };
        let bytes = window.get(start, commit::HEADER_BYTES).map_err(Error::io("read", &path, 0))?;
        let header = Header::decode(bytes).filter(|header| header.lsn == lsn);
        let header =
            header.ok_or_else(|| Error::damaged(&path, start, "the header of a commit fails its check"))?;
        let size = header.body_start() + header.body_bytes as usize;
        let stored = window.get(start, size).map_err(Error::io("read", &path, 0))?;
        if !header.body_matches(stored) {
            return Err(Error::damaged(&path, start, "the body of a commit fails its check").into());
        }
        visit(lsn, &stored[header.body_start()..])?;
    }
    Ok(())
}
