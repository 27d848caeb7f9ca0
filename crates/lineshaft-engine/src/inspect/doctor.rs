//! A home that does not start: what is wrong, what would be lost, and the way on.
//!
//! Every repair is made on an overlay until the home opens there. Only then is anything known of the loss, and only
//! [`Diagnosis::accept`] carries it out, keeping what was there before.

use std::path::Path;

use lineshaft_jobs::{Change, Command, Now};
use lineshaft_store::disk::Locking;
use lineshaft_store::inspect::{check_logs, newest_snapshot, repair, rework, survey};
use lineshaft_store::{
    Append, Archive, BlockArchive, DamagedBlock, Disk as _, Error as StoreError, FileDisk, Home, Journal,
    JournalHandle, Overlay,
};
use lineshaft_wire::JobId;
use lineshaft_wire::message::Filter;

use super::unreadable::Unreadable;
use super::{Disk, Exported, Finding, Look, Progress, check_is_home};
use crate::Error;
use crate::backup::SESSIONS_PER_EPOCH;

/// Repairs tried one after the other; each mends one thing.
const ROUNDS_MAX: u32 = 10_000;

/// What is wrong with a home, and what it would lose.
#[derive(Debug)]
pub struct Diagnosis {
    /// Why it does not start; empty if it does.
    pub refusals: Vec<Finding>,
    /// Blocks of the history that do not read, with which it starts all the same: the jobs of each are lost whole.
    pub unreadable: Vec<Finding>,
    /// What jobs logged and does not read: no start is kept from anything by it, and it goes with its day.
    pub logs: Vec<Finding>,
    /// What going on would cost.
    pub losses: Vec<Loss>,
    /// Jobs whose arguments, results or outputs do not read.
    pub incomplete: Vec<JobId>,
    /// So many of them cannot run any more: going on discards them.
    pub dead: u64,
    /// Jobs in memory once it starts again: waiting, running, or finished and not archived.
    pub jobs: u64,
    home: Home<Disk>,
    look: Option<Look>,
}

/// Something that going on costs, or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the file can be written again.
    Mended {
        /// The file.
        path: String,
    },
    /// A file that others stand in for.
    File {
        /// The file.
        path: String,
    },
    /// A file of payloads.
    PayloadFile {
        /// The file.
        path: String,
    },
    /// Payloads that lay in these commits: a snapshot holds the state behind them.
    Payloads {
        /// The first commit.
        first_lsn: u64,
        /// The last one.
        last_lsn: u64,
    },
    /// All that happened from a commit on.
    Since {
        /// The first commit lost.
        first_lsn: u64,
        /// The last one that is known of.
        last_lsn: u64,
        /// The commit at which the home goes on.
        state_lsn: u64,
        /// When that was, Unix milliseconds.
        state_ms: u64,
        /// Jobs that had finished and been archived since: they are unfinished again.
        unfinished_again: u64,
    },
    /// The state: every job that was not archived.
    State {
        /// Finished jobs that are still there.
        history_jobs: u64,
    },
    /// The oldest finished jobs of the history. How many is not known: retention may have dropped some.
    OldestHistory {
        /// The file that held the last of them.
        path: String,
        /// Finish number of the oldest one that is left.
        before: u64,
    },
    /// Finished jobs of the history.
    History {
        /// Finish number of the first one.
        first: u64,
        /// Finish number of the last one.
        last: u64,
    },
}

/// Looks at the home at `path`, which nobody may work in, and reads all of its history. Changes nothing.
///
/// Errors if there is no home, if somebody works in it, or if it is of another format.
pub fn diagnose(path: &Path, progress: Progress<'_>) -> Result<Diagnosis, Error> {
    check_is_home(path)?;
    let overlay = Overlay::new(FileDisk::new(path), Locking::Real);
    let mut patient = Patient::default();
    let home = patient.home(&overlay)?;
    let (mut look, mut has_read_history) = (None, false);
    for _ in 0..ROUNDS_MAX {
        match Look::of(&home) {
            Ok(opened) => {
                patient.stand_in_for_cold_files(&home, &opened)?;
                if !std::mem::replace(&mut has_read_history, true)
                    && patient.history(&home, &opened, progress)?
                {
                    continue;
                }
                look = Some(opened);
                break;
            }
            Err(error) => {
                patient.refusals.push(Finding::of(&error));
                if !patient.repair(&home, &error)? {
                    break;
                }
            }
        }
    }
    let mut diagnosis = Diagnosis {
        refusals: patient.refusals,
        unreadable: patient.unreadable,
        logs: damaged_logs(&home)?,
        losses: patient.losses,
        incomplete: patient.incomplete,
        dead: 0,
        jobs: 0,
        home,
        look,
    };
    diagnosis.settle()?;
    Ok(diagnosis)
}

fn damaged_logs(home: &Home<Disk>) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    check_logs(home.disk(), &mut |part| found.extend(part.error.as_ref().map(Finding::of_store)))?;
    Ok(found)
}

/// A home under repair.
#[derive(Default)]
struct Patient {
    refusals: Vec<Finding>,
    unreadable: Vec<Finding>,
    losses: Vec<Loss>,
    /// Jobs of the history that came there without a payload.
    incomplete: Vec<JobId>,
    /// Where the last gap was let be; if the same commit is missed again, that was of no use.
    gap: u64,
}

impl Patient {
    /// Opens the home, with a `FORMAT` written again where it is damaged.
    fn home(&mut self, overlay: &Disk) -> Result<Home<Disk>, Error> {
        let error = match Home::open(overlay.clone()) {
            Ok(home) => return Ok(home),
            Err(error) => error,
        };
        let is_damaged = match &error {
            StoreError::Format { found, .. } => found.parse::<u32>().is_err(),
            StoreError::Damaged { file, .. } => file == "FORMAT",
            _ => false,
        };
        if !is_damaged || Home::is_being_restored(overlay) || Home::is_backup(overlay) {
            return Err(error.into());
        }
        self.refusals.push(Finding::of_store(&error));
        self.losses.push(Loss::Mended { path: "FORMAT".to_owned() });
        repair::write_format(overlay)?;
        Ok(Home::open(overlay.clone())?)
    }

    /// Mends what an opening refused for; says whether it could.
    fn repair(&mut self, home: &Home<Disk>, error: &Error) -> Result<bool, Error> {
        let disk = home.disk();
        match error {
            Error::Store(StoreError::DamagedCommits { first_lsn, last_lsn, .. }) => {
                self.commits(home, *first_lsn, *last_lsn)?;
            }
            Error::Commit { lsn, .. } => self.end(home, *lsn, *lsn)?,
            Error::Store(StoreError::SnapshotsLost { newest_lsn, .. }) => self.state(home, *newest_lsn)?,
            Error::Store(StoreError::HistoryMissing { first, last, .. }) => {
                repair::give_up_history(disk, *first, *last)?;
                self.losses.push(Loss::History { first: *first, last: *last });
            }
            Error::Store(StoreError::Damaged { file, offset, .. }) => return self.file(disk, file, *offset),
            Error::Store(StoreError::Copied { file, .. }) => {
                repair::put_aside(disk, file)?;
                self.losses.push(Loss::File { path: file.clone() });
            }
            Error::Snapshot(_) => return self.newest_snapshot_file(disk),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Commits are missing: what they brought is lost where a snapshot stands behind them, else all since.
    fn commits(&mut self, home: &Home<Disk>, first_lsn: u64, last_lsn: u64) -> Result<(), Error> {
        let disk = home.disk();
        let found = survey(disk)?;
        let snapshot_lsn = newest_snapshot(disk)?;
        let behind = found.next_after(first_lsn).filter(|lsn| *lsn <= snapshot_lsn + 1);
        match behind.filter(|_| self.gap != first_lsn) {
            Some(next) => {
                self.gap = first_lsn;
                repair::give_up_commits(disk, first_lsn, next - 1)?;
                self.losses.push(Loss::Payloads { first_lsn, last_lsn: next - 1 });
                Ok(())
            }
            None => self.end(home, first_lsn, last_lsn.max(found.last_lsn)),
        }
    }

    fn end(&mut self, home: &Home<Disk>, first_lsn: u64, last_lsn: u64) -> Result<(), Error> {
        let disk = home.disk();
        let state_lsn = newest_snapshot(disk)?.max(first_lsn.saturating_sub(1));
        if state_lsn == 0 {
            return self.state(home, last_lsn);
        }
        repair::end_commits(disk, first_lsn, last_lsn)?;
        // Time and jobs are known once the home opens.
        self.losses.push(Loss::Since { first_lsn, last_lsn, state_lsn, state_ms: 0, unfinished_again: 0 });
        Ok(())
    }

    /// No snapshot reads: an empty state goes on behind everything that left a trace.
    fn state(&mut self, home: &Home<Disk>, newest_lsn: u64) -> Result<(), Error> {
        let archived_lsn = BlockArchive::open(home).map_or(0, |archive| archive.head().lsn);
        for file in home.disk().list("snap").unwrap_or_default() {
            repair::put_aside(home.disk(), &format!("snap/{}", file.name))?;
        }
        repair::end_commits(home.disk(), 1, newest_lsn.max(archived_lsn))?;
        self.losses.push(Loss::State { history_jobs: 0 });
        Ok(())
    }

    fn file(&mut self, disk: &Disk, path: &str, offset: u64) -> Result<bool, Error> {
        let (directory, name) = path.split_once('/').unwrap_or(("", path));
        match directory {
            "archive" if name != "GAPS" => {
                repair::cut_block(disk, path, offset)?;
                if offset == 0 {
                    // Nothing tells of what stood before the oldest block; `settle` knows which one that is.
                    self.losses.push(Loss::OldestHistory { path: path.to_owned(), before: 0 });
                }
            }
            "seg" if name != "GAPS" && offset == 0 => {
                if repair::mend_segment(disk, path)? {
                    self.losses.push(Loss::Mended { path: path.to_owned() });
                } else {
                    repair::put_aside(disk, path)?;
                }
            }
            "snap" | "archive" => {
                repair::put_aside(disk, path)?;
                self.losses.push(Loss::File { path: path.to_owned() });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A start refuses a home without a cold file that jobs need: an empty one takes the place of each that is missing.
    fn stand_in_for_cold_files(&mut self, home: &Home<Disk>, look: &Look) -> Result<(), Error> {
        let there: Vec<u64> = look.handle().cold_files()?.iter().map(|file| file.number).collect();
        for (file, _) in look.state.cold_files().filter(|(file, _)| !there.contains(file)) {
            self.refusals.push(Finding::of_store(&StoreError::NoCold { file }));
            let path = repair::stand_in_for_cold_file(home.disk(), file)?;
            self.losses.push(Loss::PayloadFile { path });
        }
        Ok(())
    }

    /// Takes blocks out of the history that do not read. Says whether there are any.
    fn history(&mut self, home: &Home<Disk>, look: &Look, progress: Progress<'_>) -> Result<bool, Error> {
        let total = look.archive.counts().bytes;
        let (mut read, mut damaged, lost) = (0, Vec::new(), &mut self.incomplete);
        let advance = |bytes| {
            read += bytes;
            progress(read, total);
        };
        look.archive.verify(advance, |block| match block {
            Ok(jobs) => lost.extend(jobs.iter().filter(|job| !job.is_whole()).map(|job| job.record.id)),
            Err(block) => damaged.push(block),
        });
        // A disk that refuses to read proves no loss.
        damaged.retain(|block| matches!(block.error, StoreError::Damaged { .. }));
        self.unreadable.extend(damaged.iter().map(|block| Finding::of_store(&block.error)));
        // What stands behind a block moves to its place.
        for DamagedBlock { file, offset, first, last, .. } in damaged.iter().rev() {
            repair::cut_block(home.disk(), file, *offset)?;
            repair::give_up_history(home.disk(), *first, *last)?;
            self.losses.push(Loss::History { first: *first, last: *last });
        }
        Ok(!damaged.is_empty())
    }

    fn newest_snapshot_file(&mut self, disk: &Disk) -> Result<bool, Error> {
        let names = disk.list("snap").unwrap_or_default().into_iter().map(|file| file.name);
        let newest = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).max();
        let Some(name) = newest else { return Ok(false) };
        self.file(disk, &format!("snap/{name}"), 0)
    }
}

impl Diagnosis {
    /// Whether it starts as it is.
    pub fn starts(&self) -> bool {
        self.refusals.is_empty()
    }

    /// Whether it starts, every job that waits can run, and all of the history reads.
    pub fn is_well(&self) -> bool {
        self.starts() && self.dead == 0 && self.unreadable.is_empty()
    }

    /// Whether it starts once the losses are accepted.
    pub fn can_go_on(&self) -> bool {
        self.look.is_some()
    }

    /// Passes on every job that is left.
    pub fn export<E: From<Error>>(&self, visit: impl FnMut(Exported) -> Result<(), E>) -> Result<(), E> {
        self.look.as_ref().map_or(Ok(()), |look| look.export(&Filter::default(), visit))
    }

    /// Accepts the losses: the home starts from now on. What was there before is kept below the directory `aside` of the
    /// home; gives the paths of what is kept there.
    pub fn accept(self, aside: &str) -> Result<Vec<String>, Error> {
        drop(self.look);
        Ok(rework(&self.home, aside)?)
    }

    /// Completes what is known of the losses, and what the state must know of them.
    fn settle(&mut self) -> Result<(), Error> {
        let Some(look) = &mut self.look else { return Ok(()) };
        settle_oldest(&mut self.losses, look.archive.oldest());
        let mut lost_state = None;
        for loss in &mut self.losses {
            match loss {
                Loss::Since { state_lsn, state_ms, unfinished_again, .. } => {
                    *unfinished_again = look.archive.drop_beyond(*state_lsn)?.jobs;
                    *state_ms = look.state.clock().0;
                    lost_state.get_or_insert(None);
                }
                Loss::State { history_jobs } => {
                    *history_jobs = look.archive.counts().jobs();
                    lost_state = Some(Some(look.archive.head().last_finish_number));
                }
                _ => {}
            }
        }
        self.jobs = look.state.jobs();
        let unreadable = Unreadable::find(look);
        self.incomplete.extend(unreadable.slots.iter().map(|slot| look.state.job_id(*slot)));
        self.dead = unreadable.dead.len() as u64;
        let mut changes = unreadable.discards(&look.state);
        if let Some(finished) = lost_state {
            put_blobs_aside(look, self.home.disk())?;
            changes.extend(begin_again(look));
            changes.extend(finished.map(|number| Change::FinishedFrom { number }));
        }
        if changes.is_empty() { Ok(()) } else { append(look, &changes) }
    }
}

/// Of the days whose first block was cut, keeps the one that ends where the history begins now: what is missing behind
/// another block shows by itself.
fn settle_oldest(losses: &mut Vec<Loss>, oldest: Option<(String, u64)>) {
    let (oldest, first) = oldest.filter(|(_, first)| *first > 1).unwrap_or_default();
    let is_told = losses.iter().any(|loss| matches!(loss, Loss::History { last, .. } if last + 1 == first));
    let cut = losses.iter().filter_map(|loss| match loss {
        Loss::OldestHistory { path, .. } if *path <= oldest => Some(path.clone()),
        _ => None,
    });
    let mut told = cut.max().filter(|_| !is_told);
    losses.retain_mut(|loss| match loss {
        Loss::OldestHistory { path, before } => {
            *before = first;
            told.take_if(|told| told == path).is_some()
        }
        _ => true,
    });
}

/// Blobs that no job names any more: the next start would remove them.
fn put_blobs_aside(look: &Look, disk: &Disk) -> Result<(), Error> {
    let orphans = look.handle().blobs()?.into_iter().filter(|id| !look.state.needs_blob(*id));
    for id in orphans {
        repair::put_aside(disk, &format!("blob/{id:016x}"))?;
    }
    Ok(())
}

/// Ends the sessions of the history that is gone: a client of it that sends its request again must not be taken for one
/// that was never heard.
fn begin_again(look: &Look) -> Vec<Change> {
    let (wall_ms, logical_ms) = look.state.clock();
    // As after a restore. An epoch is at least the seconds since 1970, unless every trace of one is gone.
    let seconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let sessions_from = look.recovery.epoch.max(seconds).saturating_mul(SESSIONS_PER_EPOCH);
    let now = Now { wall_ms, logical_ms, random: 0 };
    let decision = look.state.decide(Command::Restored { sessions_from }, now);
    let entries = decision.map_or_else(|_| Vec::new(), |decision| decision.entries);
    entries.into_iter().map(|entry| entry.change).collect()
}

/// Writes changes behind the newest commit.
fn append(look: &mut Look, changes: &[Change]) -> Result<(), Error> {
    let mut body = Vec::new();
    changes.iter().for_each(|change| change.encode(&mut body));
    let head = look.journal.head();
    look.journal.append(Append {
        epoch: look.recovery.epoch,
        nonce: fastrand::u64(..),
        expected_lsn: head.lsn + 1,
        previous_crc: head.crc,
        body: &body,
    })?;
    look.journal.seal()?;
    Ok(())
}
