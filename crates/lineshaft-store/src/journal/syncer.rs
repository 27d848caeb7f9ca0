//! The thread that syncs behind the writer under [`Durability::Os`](crate::Durability::Os).

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::segment::Segment;
use super::shared::Shared;
use crate::Error;
use crate::disk::{Disk, DiskFile};

/// Pause between two syncs. One after every write would keep a processor busy, and the pages of the next write locked.
const PACE: Duration = Duration::from_millis(5);

/// Commits written but not synced.
pub(crate) struct Unsynced<F> {
    state: Mutex<State<F>>,
    /// Held during a sync: whoever comes second must not take the first one's segments for synced.
    syncing: Mutex<()>,
}

struct State<F> {
    /// Segments written to since their last sync.
    segments: Vec<Arc<Segment<F>>>,
    written_lsn: u64,
}

impl<F: DiskFile> Unsynced<F> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { segments: Vec::new(), written_lsn: 0 }), syncing: Mutex::new(()) }
    }

    /// Notes a finished write.
    pub(crate) fn note(&self, segment: &Arc<Segment<F>>, lsn: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.written_lsn = lsn;
        if !state.segments.last().is_some_and(|last| Arc::ptr_eq(last, segment)) {
            state.segments.push(Arc::clone(segment));
        }
    }

    /// Syncs everything noted so far.
    pub(crate) fn sync<D: Disk<File = F>>(&self, shared: &Shared<D>) -> Result<(), Error> {
        let _turn = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        shared.check_poisoned()?;
        let (segments, written_lsn) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut state.segments), state.written_lsn)
        };
        for segment in segments {
            let synced = segment.file.sync_data();
            synced.map_err(|source| shared.poison(sync_error(&segment.path(), source)))?;
        }
        shared.advance_durable(written_lsn);
        Ok(())
    }
}

/// The error of a failed sync. A full disk is no exception: what was written may be gone.
pub(crate) fn sync_error(path: &str, source: std::io::Error) -> Error {
    Error::Io { action: "sync", path: path.to_owned(), source }
}

/// Syncs whenever it is told that something was written.
pub(crate) struct Syncer {
    wake: Option<SyncSender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(crate) fn start<D: Disk>(
        shared: Arc<Shared<D>>,
        unsynced: Arc<Unsynced<D::File>>,
    ) -> Result<Self, Error> {
        let (wake, woken) = sync_channel(1);
        let handle = thread::Builder::new()
            .name("sync".to_owned())
            // A failure poisons the journal, and the next append says so.
            .spawn(move || {
                while woken.recv().is_ok() && unsynced.sync(&shared).is_ok() {
                    thread::sleep(PACE);
                }
            })
            .map_err(Error::io("start the thread for", super::segment::DIRECTORY, 0))?;
        Ok(Self { wake: Some(wake), handle: Some(handle) })
    }

    /// Has the thread sync soon; one wake-up stands for all that came before it.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // Full: one is waiting already. Disconnected: the thread ended because it poisoned the journal.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(handle) = self.handle.take() {
            // A panic was reported where it happened.
            let _ = handle.join();
        }
    }
}
