//! The engine without threads: whoever has it takes its turns and does what works beside them, in any order.
//!
//! For simulations. It is the same engine, from the same parts; with a simulated clock and disk, and with the thread's
//! random numbers seeded, the same steps give the same bytes.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use lineshaft_jobs::State;
use lineshaft_store::{Archive, ArchivedJob, Disk, Options as JournalOptions};
use lineshaft_wire::JobId;

use crate::Error;
use crate::blobs::store_blob;
use crate::handle::{Handle, Payloads};
use crate::inbox::Bell;
use crate::open::{Opened, Parts, assemble};
use crate::options::Options;
use crate::snapshots::{SnapshotWriter, Writing};
use crate::turns::{Attend, Turn};

/// An engine that is taken step by step.
pub struct Stepped<D: Disk> {
    parts: Parts<D>,
    writings: Receiver<Writing>,
    /// Cold files that the compactor could not drop yet.
    held: Vec<u64>,
    handle: Handle,
}

/// What works beside the turns, on a thread of its own where there are threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aside {
    /// Reads what a query asks for.
    Read,
    /// Puts a block into the archive, or makes room there.
    Archive,
    /// Copies payloads into a cold file, or drops one.
    Compact,
    /// Stores the large payloads of a request, or lists what is stored.
    StoreBlobs,
    /// Writes a snapshot.
    Snapshot,
    /// Takes pages of jobs out of memory.
    Cool,
}

impl Aside {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Archive, Self::Compact, Self::StoreBlobs, Self::Snapshot, Self::Cool];
}

impl<D: Disk> Stepped<D> {
    /// Opens the home on `disk`. Without `background` in its options, the journal has no threads either.
    ///
    /// Errors as [`crate::open`] does.
    pub fn open(disk: D, journal_options: JournalOptions, options: Options) -> Result<(Self, Opened), Error> {
        let (sender, writings) = unbounded();
        let (parts, opened) = assemble(disk, journal_options, options, SnapshotWriter::Stepper(sender))?;
        let handle = Handle {
            inbox: parts.inbox.clone(),
            turns: Arc::new(Unattended(Arc::clone(parts.inbox.bell()))),
            large: parts.large.clone(),
            payloads: Payloads::new(parts.journal.clone()),
            pulse: Arc::clone(&parts.pulse),
            stop: Arc::clone(&parts.stop),
            connections: Arc::new(AtomicU64::new(0)),
            threads: Arc::new(Mutex::new(None)),
        };
        Ok((Self { parts, writings, held: Vec::new(), handle }, opened))
    }

    /// The way in, as for an engine with threads; what is handed in waits for the next turn.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Takes a turn: one commit, if there is anything to commit. Gives how long the engine may rest then unless something
    /// arrives, `None` once it was asked to stop and has.
    ///
    /// After an error the engine must be dropped: what is in memory may be ahead of the disk.
    pub fn turn(&mut self) -> Result<Option<Duration>, Error> {
        let driver = &mut self.parts.driver;
        self.parts.inbox.bell().heard();
        driver.overslept();
        let result = driver.take_turn().and_then(|()| driver.close_if_stopping());
        if let Some(result) = result.transpose() {
            driver.say_farewell(&result);
            return result.map(|()| None);
        }
        Ok(Some(driver.rest()))
    }

    /// What waits to be done beside the turns.
    pub fn waiting(&self) -> impl Iterator<Item = Aside> + '_ {
        let waits = |aside: &Aside| match aside {
            Aside::Read => !self.parts.queries.is_empty(),
            Aside::Archive => !self.parts.errands.is_empty(),
            Aside::Compact => !self.parts.chores.is_empty(),
            Aside::StoreBlobs => !self.parts.large_inputs.is_empty(),
            Aside::Snapshot => !self.writings.is_empty(),
            Aside::Cool => !self.parts.leaving.is_empty(),
        };
        Aside::ALL.into_iter().filter(waits)
    }

    /// Does the oldest piece of work of that kind, if there is one.
    pub fn work(&mut self, aside: Aside) {
        let parts = &self.parts;
        match aside {
            Aside::Read => {
                if let Ok((asked, query)) = parts.queries.try_recv() {
                    parts.reader.work(&asked, query);
                }
            }
            Aside::Archive => {
                if let Ok(errand) = parts.errands.try_recv() {
                    parts.archiver.work(errand);
                }
            }
            Aside::Compact => {
                if let Ok(chore) = parts.chores.try_recv() {
                    parts.compactor.work(chore, &mut self.held);
                }
            }
            Aside::StoreBlobs => {
                if let Ok(input) = parts.large_inputs.try_recv() {
                    store_blob(&parts.journal, input, &parts.inbox);
                }
            }
            Aside::Snapshot => {
                if let Ok(writing) = self.writings.try_recv() {
                    writing();
                }
            }
            Aside::Cool => {
                if let Ok(leaving) = parts.leaving.try_recv() {
                    parts.cooler.work(leaving);
                }
            }
        }
    }

    /// Drops history that need not be kept any longer, as happens every ten minutes where there are threads.
    pub fn retain(&self) {
        self.parts.archiver.retain();
    }

    /// The state after the newest commit.
    pub fn state(&self) -> &State {
        self.parts.driver.core.state()
    }

    /// The newest commit.
    pub fn lsn(&self) -> u64 {
        self.parts.driver.core.lsn()
    }

    /// Those of the jobs that the archive holds.
    pub fn archived(&self, jobs: &[JobId]) -> Result<Vec<ArchivedJob>, Error> {
        Ok(self.parts.archiver.archive.get_many(jobs)?)
    }
}

/// There is no thread that could take a turn.
struct Unattended(Arc<Bell>);

impl Attend for Unattended {
    fn attend(&self) -> bool {
        self.0.ring();
        false
    }
}
