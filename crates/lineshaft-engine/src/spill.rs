//! Keeps the pages of jobs within a bound of memory: those that rest longest leave it for a file.
//!
//! The engine's thread says which, several times a second; another one writes them, so that what is left to do here is
//! to take them back. A page comes back by itself with the first change of one of its jobs (see
//! `lineshaft_jobs::RestingPage`); since jobs are taken in the order in which they came, mostly the pages behind it are next,
//! and the other thread has those read before they are needed.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use lineshaft_ipc::memory::{give_back, system_bytes};
use lineshaft_ipc::scratch::ScratchFile;
use lineshaft_jobs::{ColdPage, RestingPage, State, Vacated};

use crate::clock::Clock;
use crate::handle::Input;
use crate::inbox::Inbox;

/// An era, and how often it is looked.
const ERA: Duration = Duration::from_millis(100);
/// Eras for which a page must not have changed.
const REST_ERAS: u32 = 10;
/// Bytes of a page whose jobs wait for no time.
const PAGE_BYTES: u64 = 8_192 * 56;
/// Pages that leave in one era, at most: 29 MB.
const PAGES_MAX: u64 = 64;
/// Pages behind one that came back that are read ahead.
const AHEAD: u32 = 2;
/// Pause after pages could not be written.
const RETRY: Duration = Duration::from_secs(10);
/// Bytes between two reads that make the kernel fetch a page of its own.
const KERNEL_PAGE: usize = 4_096;

/// Where bytes go that need no memory for now, and are wanted back before this process ends.
pub trait Scratch: fmt::Debug + Send + Sync {
    /// Puts `bytes` somewhere, where they read as such, aligned to 8, until what is given is dropped.
    fn put(&self, bytes: &[u8]) -> io::Result<Bytes>;

    /// Gives back space that is not needed any more.
    fn shrink(&self) -> io::Result<()>;
}

/// What pages of jobs may take of memory, and where they go beyond that.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Bytes of slots and times: 56 a job, and 32 more where jobs wait for a time. Default: a quarter of what the machine
    /// or the control group of this process has.
    pub page_bytes: u64,
    /// Without one pages stay in memory. Default: none.
    pub scratch: Option<Arc<dyn Scratch>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { page_bytes: system_bytes() / 4, scratch: None }
    }
}

/// A file without a name in a directory, made when it is needed first.
#[derive(Debug)]
pub(crate) struct FileScratch {
    directory: PathBuf,
    file: Mutex<Option<ScratchFile>>,
}

impl FileScratch {
    pub(crate) fn beneath(directory: PathBuf) -> Self {
        Self { directory, file: Mutex::new(None) }
    }

    fn place(&self) -> MutexGuard<'_, Option<ScratchFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scratch for FileScratch {
    fn put(&self, bytes: &[u8]) -> io::Result<Bytes> {
        let mut place = self.place();
        let file = match &*place {
            Some(file) => file,
            None => place.insert(ScratchFile::beneath(&self.directory)?),
        };
        Ok(Bytes::from_owner(file.put(bytes)?))
    }

    fn shrink(&self) -> io::Result<()> {
        self.place().as_ref().map_or(Ok(()), ScratchFile::shrink)
    }
}

/// What the other thread does.
pub(crate) enum Leaving {
    /// Writes pages.
    Cool(Vec<RestingPage>),
    /// Gives back memory that they took.
    Vacate(Vec<Vacated>),
    /// Reads what is needed soon.
    Fetch(Vec<Bytes>),
    /// Gives back space of what came back into memory.
    Shrink,
}

/// The engine's part of it.
pub(crate) struct Spill {
    page_bytes: u64,
    clock: Clock,
    leaves: Option<Sender<Leaving>>,
    started: Instant,
    look_at: Instant,
    /// Pages take more than they may.
    is_over: bool,
    /// Some are on their way.
    is_cooling: bool,
    retry_at: Option<Instant>,
}

impl Spill {
    /// One that keeps the bound, if somebody hears of what `leaves`.
    pub(crate) fn new(page_bytes: u64, clock: Clock, leaves: Option<Sender<Leaving>>) -> Self {
        let started = clock.instant();
        Self {
            page_bytes,
            clock,
            leaves,
            started,
            look_at: started,
            is_over: false,
            is_cooling: false,
            retry_at: None,
        }
    }

    /// Says when it is, before anything changes: a page that changes after a long pause has not rested since.
    pub(crate) fn begin_turn(&self, state: &mut State, began: Instant) {
        if self.leaves.is_some() {
            state.set_era(self.era(began));
        }
    }

    fn era(&self, now: Instant) -> u32 {
        ((now - self.started).as_millis() / ERA.as_millis()) as u32 + REST_ERAS
    }

    /// Has pages leave if they take more than they may. On a disk that `is_tight` they stay.
    pub(crate) fn advance(&mut self, state: &mut State, is_tight: bool) {
        let now = self.clock.instant();
        if self.leaves.is_none() || now < self.look_at {
            return;
        }
        self.look_at = now + ERA;
        let came_back = state.take_came_back();
        if !came_back.is_empty() {
            self.ask(Leaving::Fetch(read_ahead(state, &came_back)));
            self.ask(Leaving::Shrink);
        }
        let excess = state.page_bytes().hot.saturating_sub(self.page_bytes);
        self.is_over = excess > 0 && !is_tight;
        if self.is_over && !self.is_cooling && self.retry_at.is_none_or(|at| at <= now) {
            let needed = excess.div_ceil(PAGE_BYTES).min(PAGES_MAX) as usize;
            let pages = state.resting_pages(self.era(now) - REST_ERAS, needed);
            self.is_cooling = !pages.is_empty();
            if self.is_cooling {
                self.ask(Leaving::Cool(pages));
            }
        }
    }

    /// Pages were written: all that were asked for, or those before an error.
    pub(crate) fn cooled(&mut self, state: &mut State, pages: Vec<ColdPage>, result: io::Result<()>) {
        self.is_cooling = false;
        // One that changed meanwhile stays, and is chosen again when it rests.
        let vacated = pages.into_iter().filter_map(|page| state.take_cold(page)).collect();
        self.ask(Leaving::Vacate(vacated));
        match result {
            Ok(()) => self.retry_at = None,
            Err(error) => {
                if self.retry_at.replace(self.clock.instant() + RETRY).is_none() {
                    tracing::warn!(%error, "jobs at rest stay in memory: their pages cannot be written");
                }
            }
        }
    }

    /// A snapshot is made, which may have kept pages that came back meanwhile.
    pub(crate) fn snapshot_done(&self) {
        self.ask(Leaving::Shrink);
    }

    /// How long the engine may rest at most.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let waits = self.is_over && !self.is_cooling;
        let at = waits.then(|| self.retry_at.map_or(self.look_at, |at| at.max(self.look_at)));
        at.map(|at| at.saturating_duration_since(self.clock.instant()))
    }

    fn ask(&self, leaving: Leaving) {
        if let Some(leaves) = &self.leaves {
            drop(leaves.send(leaving));
        }
    }
}

/// Where the pages lie that follow those which just came back.
fn read_ahead(state: &State, came_back: &[u32]) -> Vec<Bytes> {
    let next = came_back.iter().flat_map(|page| page + 1..=page + AHEAD);
    next.flat_map(|page| state.cold_parts(page).cloned()).collect()
}

/// Takes pages out of memory, beside the engine's thread.
pub(crate) struct Cooler {
    pub(crate) scratch: Option<Arc<dyn Scratch>>,
    pub(crate) engine: Inbox,
}

impl Cooler {
    pub(crate) fn run(&self, leaving: &Receiver<Leaving>) {
        leaving.iter().for_each(|leaving| self.work(leaving));
    }

    pub(crate) fn work(&self, leaving: Leaving) {
        match leaving {
            Leaving::Cool(pages) => self.cool(pages),
            // The allocator keeps large blocks for later: what they hold is no more memory for that.
            Leaving::Vacate(mut pages) => {
                pages.iter_mut().flat_map(Vacated::memory).for_each(give_back);
            }
            Leaving::Fetch(parts) => {
                let touched = parts.iter().flat_map(|bytes| bytes.iter().step_by(KERNEL_PAGE));
                std::hint::black_box(touched.fold(0, |all, byte| all ^ byte));
            }
            Leaving::Shrink => self.shrink(),
        }
    }

    fn cool(&self, pages: Vec<RestingPage>) {
        let Some(scratch) = &self.scratch else { return };
        let mut cold = Vec::with_capacity(pages.len());
        let result = pages.into_iter().try_for_each(|page| {
            cold.push(page.cool(|bytes| scratch.put(bytes))?);
            Ok(())
        });
        self.engine.send(Input::Cooled { pages: cold, result });
    }

    fn shrink(&self) {
        if let Some(Err(error)) = self.scratch.as_ref().map(|scratch| scratch.shrink()) {
            tracing::debug!(%error, "space of jobs that came back into memory stays taken, for others");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every snapshot asks for it, and most homes never have a page elsewhere.
    #[test]
    fn a_file_that_nothing_was_put_into_is_not_made_for_giving_space_back() {
        let scratch = FileScratch::beneath(PathBuf::from("/nowhere"));
        assert!(scratch.shrink().is_ok());
        assert!(scratch.put(&[1]).is_err(), "it would be made here");
    }
}
