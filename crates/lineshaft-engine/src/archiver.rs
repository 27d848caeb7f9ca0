//! Where finished jobs go: blocks of the archive, built and written beside the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use lineshaft_jobs::{JobView, Place, encode_rules};
use lineshaft_store::{Archive, ArchivedJob, Block, Dropped, Error, JournalHandle};
use lineshaft_wire::JobRecord;
use lineshaft_wire::message::Rules;
use rustc_hash::FxHashMap;

use crate::clock::Clock;
use crate::core::reference;
use crate::handle::Input;
use crate::inbox::Inbox;
use crate::options::Retention;
use crate::query::{fill_attempts, fill_attempts_as_they_read};

/// Payload bytes of one block, well below what the archive takes, so that memory stays small.
const BLOCK_BYTES: usize = 64 << 20;
const DAY_MS: u64 = 86_400_000;
/// How often retention looks at the archive.
const RETENTION_EVERY: Duration = Duration::from_secs(600);

/// Finished jobs, and the commit that finished the last of them.
pub(crate) struct Batch {
    pub(crate) lsn: u64,
    pub(crate) jobs: Vec<JobView>,
}

/// What the archiver is asked for.
pub(crate) enum Errand {
    /// To store finished jobs.
    Archive(Batch),
    /// The disk is nearly full, and nothing else can go.
    MakeRoom,
}

pub(crate) struct Archiver<J, A> {
    pub(crate) journal: J,
    pub(crate) archive: A,
    pub(crate) retention: Retention,
    pub(crate) clock: Clock,
    pub(crate) engine: Inbox,
}

impl<J: JournalHandle, A: Archive> Archiver<J, A> {
    /// Does what it is asked for until the engine is gone.
    pub(crate) fn run(&self, errands: &Receiver<Errand>) {
        let mut look_at = Instant::now();
        loop {
            match errands.recv_deadline(look_at) {
                Ok(errand) => self.work(errand),
                Err(RecvTimeoutError::Timeout) => {
                    look_at = Instant::now() + RETENTION_EVERY;
                    self.retain();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Does one errand.
    pub(crate) fn work(&self, errand: Errand) {
        match errand {
            Errand::Archive(batch) => {
                let result = self.store(batch);
                self.tell_oldest();
                self.engine.send(Input::Archived { result });
                if self.archive.counts().bytes > self.retention.bytes {
                    self.retain_bytes();
                }
            }
            Errand::MakeRoom => self.drop_oldest(),
        }
    }

    /// Stores as many jobs of the batch as fit into a block; gives their number.
    fn store(&self, batch: Batch) -> Result<u32, Error> {
        let mut block = Block { lsn: batch.lsn, jobs: Vec::with_capacity(batch.jobs.len()) };
        let mut bytes = 0;
        let mut options = OptionsCache::default();
        for view in batch.jobs {
            bytes += stored_bytes(&view);
            if bytes > BLOCK_BYTES && !block.jobs.is_empty() {
                break;
            }
            match self.archived(view, &mut options) {
                Ok(job) => block.jobs.push(job),
                Err(error) if block.jobs.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        self.put_what_fits(block)
    }

    /// Stores the block, or as much from its start as the disk has room for: what is archived frees the journal.
    fn put_what_fits(&self, mut block: Block) -> Result<u32, Error> {
        loop {
            match self.archive.put(&block) {
                Ok(()) => return Ok(block.jobs.len() as u32),
                Err(Error::Full { .. }) if block.jobs.len() > 1 => block.jobs.truncate(block.jobs.len() / 2),
                Err(error) => return Err(error),
            }
        }
    }

    /// A job with its payloads. One that is lost is left out, which its length in the record tells: it must not hold up
    /// the archive for all the others. Errors if one may read later.
    fn archived(&self, view: JobView, options: &mut OptionsCache) -> Result<ArchivedJob, Error> {
        let job = view.record.id;
        let read = |place: Place| match self.journal.read(reference(place)) {
            Err(error) if !may_pass(&error) => {
                tracing::error!(%job, %error, "a payload is lost: the job is archived without it");
                Ok(Bytes::new())
            }
            read => read,
        };
        Ok(ArchivedJob {
            finish_number: view.finish_number,
            arguments: read(view.arguments)?,
            result: read(view.result)?,
            checkpoint: read(view.checkpoint)?,
            options: options.encoded(&view.rules),
            record: self.record(view)?,
        })
    }

    fn record(&self, view: JobView) -> Result<JobRecord, Error> {
        let read = |place: Place| self.journal.read(reference(place));
        let JobView { mut record, attempts, .. } = view;
        match fill_attempts(&mut record, &attempts, read) {
            Err(error) if !may_pass(&error) => fill_attempts_as_they_read(&mut record, &attempts, read),
            filled => filled?,
        }
        Ok(record)
    }

    /// The oldest file of the archive goes, unless it is the newest too.
    fn drop_oldest(&self) {
        let bytes = self.archive.counts().bytes.saturating_sub(1);
        match self.archive.drop_oldest_until(bytes) {
            Ok(Dropped { jobs: 0, .. }) => {}
            Ok(Dropped { jobs, bytes, .. }) => {
                tracing::warn!(jobs, bytes, "the disk is nearly full: the oldest history was dropped");
            }
            Err(error) => tracing::error!(%error, "the oldest history could not be dropped"),
        }
        self.tell_oldest();
    }

    fn retain_bytes(&self) {
        report(self.archive.drop_oldest_until(self.retention.bytes));
        self.tell_oldest();
    }

    /// Results that are cached may have been in what was dropped, which may have been everything.
    fn tell_oldest(&self) {
        let ended_ms = self.archive.oldest_ms().unwrap_or_else(|| self.clock.wall_ms());
        self.engine.send(Input::HistoryFrom { ended_ms });
    }

    /// Drops what is older, and what is more, than shall be kept.
    pub(crate) fn retain(&self) {
        let age_ms = u64::try_from(self.retention.age.as_millis()).unwrap_or(u64::MAX);
        let before = self.clock.wall_ms().saturating_sub(age_ms);
        let by_age = self.archive.drop_before(before);
        let is_dropped = by_age.is_ok();
        report(by_age);
        self.retain_bytes();
        // What is still there may hold jobs that were deleted: their marks must stay.
        if !is_dropped {
            return;
        }
        // A block stands in the day of its newest job, so an older one may outlive its own day by one.
        let finalized_before_ms = (before - before % DAY_MS).saturating_sub(DAY_MS);
        self.engine.send(Input::ArchiveDropped { finalized_before_ms });
    }
}

/// Whether the system did not let a file be read for want of something, as of descriptors: bytes that a disk cannot give
/// do not come back.
fn may_pass(error: &Error) -> bool {
    const EIO: i32 = 5;
    matches!(error, Error::Io { source, .. } if source.raw_os_error() != Some(EIO))
}

fn report(result: Result<Dropped, Error>) {
    match result {
        Ok(Dropped { jobs: 0, .. }) => {}
        Ok(Dropped { jobs, bytes, .. }) => {
            tracing::info!(jobs, bytes, "history beyond retention was dropped");
        }
        Err(Error::Held) => tracing::debug!("history stays for a backup; retention looks again later"),
        Err(error) => tracing::error!(%error, "retention failed"),
    }
}

fn stored_bytes(view: &JobView) -> usize {
    let attempts = view.attempts.iter().flat_map(|attempt| [attempt.error, attempt.output]);
    attempts.chain([view.arguments, view.result, view.checkpoint]).map(|place| place.length as usize).sum()
}

/// Encoded rules, most of which are the same ones.
#[derive(Default)]
struct OptionsCache {
    encoded: FxHashMap<*const Rules, (Arc<Rules>, Bytes)>,
}

impl OptionsCache {
    fn encoded(&mut self, rules: &Arc<Rules>) -> Bytes {
        let entry = self
            .encoded
            .entry(Arc::as_ptr(rules))
            .or_insert_with(|| (Arc::clone(rules), encode_rules(rules).into()));
        entry.1.clone()
    }
}
