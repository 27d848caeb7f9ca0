//! Copies payloads into cold files, on a thread of its own and at a measured pace, so that commits do not wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Receiver;
use lineshaft_jobs::{Copied, Movable};
use lineshaft_store::{Error, JournalHandle};

use crate::core::reference;
use crate::handle::Input;
use crate::inbox::Inbox;

/// The longest sleep before it is looked whether the engine stops.
const NAP: Duration = Duration::from_millis(50);

/// Work for the compactor.
pub(crate) enum Chore {
    /// Copies payloads into a new file.
    Copy { file: u64, payloads: Vec<Movable> },
    /// Removes a file.
    Drop { file: u64 },
}

/// A file that was written.
pub(crate) struct Copy {
    pub(crate) file: u64,
    pub(crate) bytes: u64,
    /// What is in it; if nothing could be read, there is no file.
    pub(crate) copied: Vec<Copied>,
}

pub(crate) struct Compactor<J> {
    pub(crate) journal: J,
    pub(crate) engine: Inbox,
    pub(crate) bytes_per_second: u64,
    /// Set when the engine stops: a copy under way is given up.
    pub(crate) stop: Arc<AtomicBool>,
}

impl<J: JournalHandle> Compactor<J> {
    /// Works until the engine is gone.
    pub(crate) fn run(&self, chores: &Receiver<Chore>) {
        let mut held = Vec::new();
        for chore in chores {
            self.work(chore, &mut held);
        }
    }

    /// Does one chore; files that cannot be dropped yet are in `held`.
    pub(crate) fn work(&self, chore: Chore, held: &mut Vec<u64>) {
        // A backup that may need them lasts minutes: they go with a later chore.
        for file in std::mem::take(held) {
            held.extend(self.drop_cold(file));
        }
        match chore {
            Chore::Copy { file, payloads } => {
                let result = self.copy(file, payloads);
                self.engine.send(Input::Copied { result });
            }
            Chore::Drop { file } => held.extend(self.drop_cold(file)),
        }
    }

    /// Gives the file back if it cannot be dropped yet.
    fn drop_cold(&self, file: u64) -> Option<u64> {
        match self.journal.drop_cold(file) {
            Err(Error::Held) => return Some(file),
            Err(error) => tracing::warn!(%error, "a cold file that nobody needs stays until the next start"),
            Ok(()) => {}
        }
        None
    }

    fn copy(&self, file: u64, mut payloads: Vec<Movable>) -> Result<Copy, Error> {
        // In the order in which they lie, so that each part of a segment is read once.
        payloads.sort_unstable_by_key(|payload| (payload.from.lsn, payload.from.offset));
        let mut pace = Pace::new(self.bytes_per_second);
        let mut read = Vec::with_capacity(payloads.len());
        let mut parts = payloads.into_iter().filter_map(|payload| {
            if !pace.wait(&self.stop) {
                return Some(Err(Error::Poisoned));
            }
            let part = self.read(&payload).transpose()?;
            if let Ok(bytes) = &part {
                pace.spend(bytes.len());
                read.push(payload);
            }
            Some(part)
        });
        let offsets = self.journal.put_cold(file, &mut parts)?;
        let copied: Vec<Copied> =
            read.into_iter().zip(offsets).map(|(payload, offset)| Copied { payload, offset }).collect();
        let Some(last) = copied.last() else {
            // It is empty; if it must stay now, the next start finds it.
            self.drop_cold(file);
            return Ok(Copy { file, bytes: 0, copied });
        };
        let bytes = u64::from(last.offset) + u64::from(last.payload.from.length);
        Ok(Copy { file, bytes, copied })
    }

    /// The payload's bytes; `None` if they cannot be had and it must stay where it is.
    fn read(&self, payload: &Movable) -> Result<Option<Bytes>, Error> {
        match self.journal.read(reference(payload.from)) {
            Ok(bytes) => Ok(Some(bytes)),
            // Its job ended meanwhile, and the journal was cut.
            Err(Error::NoCommit { .. } | Error::NoCold { .. }) => Ok(None),
            Err(error @ (Error::Damaged { .. } | Error::OutOfBody { .. })) => {
                tracing::error!(%error, owner = ?payload.owner, "a payload does not read: it is not moved");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Holds back whoever is faster than so many bytes a second.
struct Pace {
    bytes_per_second: u64,
    began: Instant,
    bytes: u64,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), began: Instant::now(), bytes: 0 }
    }

    fn spend(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Waits until what was spent is due; false if `stop` was set.
    fn wait(&self, stop: &AtomicBool) -> bool {
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second as f64);
        loop {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            let ahead = due.saturating_sub(self.began.elapsed());
            // A sleep shorter than this would not end in time.
            if ahead < Duration::from_millis(1) {
                return true;
            }
            thread::sleep(ahead.min(NAP));
        }
    }
}
