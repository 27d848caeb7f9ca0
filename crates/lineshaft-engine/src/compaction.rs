//! Keeps the journal small though some jobs wait for long: payloads that would pin many segments are copied into cold
//! files, a bounded number at a time, and a commit says where they are now.
//!
//! A round goes so: [`policy`] says whether it is worth it and which payloads are wanted; the engine's thread looks for
//! them, some slots a turn; the [`compactor`] copies them on a thread of its own; the engine's thread names the copies,
//! some thousand a commit, leaving out jobs that ended or changed meanwhile. The segments go when both kept snapshots
//! are past that, as all segments do. Cold files that are mostly dead are copied again in the same way.

mod compactor;
mod files;
mod policy;

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use lineshaft_jobs::{Copied, Movable, Now, Wanted};
use lineshaft_store::{Error as StoreError, JournalHandle};

pub(crate) use self::compactor::{Chore, Compactor, Copy};
pub(crate) use self::files::ColdFiles;
use self::policy::wanted;
use crate::clock::Clock;
use crate::core::Core;
use crate::options::Upkeep;

/// Slots looked at in one turn: some 0.2 ms.
const LOOK_SLOTS: u32 = 16_384;
/// Payloads of one round, so that their list stays below some 64 MiB.
const ROUND_PAYLOADS: u64 = 1 << 20;
/// Copies named by one commit.
const MOVES_MAX: usize = 4_096;
/// Rest after a round that failed, or that found nothing which may move now: so many times the usual one.
const REST: u32 = 12;
/// Slack where the disk is nearly full.
const TIGHT_SLACK_BYTES: u64 = 4 << 20;
/// How soon a turn follows while there is something to do.
pub(crate) const BUSY: Duration = Duration::from_millis(1);

/// The engine's part of it.
pub(crate) struct Compaction {
    clock: Clock,
    upkeep: Upkeep,
    chores: Sender<Chore>,
    pub(crate) files: ColdFiles,
    stage: Stage,
    look_at: Instant,
}

enum Stage {
    Resting,
    Looking(Look),
    /// The compactor has them.
    Copying,
    /// Copies in this file wait to be named.
    Moving(u64, std::vec::IntoIter<Copied>),
}

/// A search under way.
struct Look {
    wanted: Wanted,
    /// The slot to go on with.
    next: u32,
    found: Vec<Movable>,
    bytes: u64,
    /// Enough for one round.
    bytes_max: u64,
}

impl Compaction {
    pub(crate) fn new(upkeep: Upkeep, clock: Clock, chores: Sender<Chore>, files: ColdFiles) -> Self {
        Self { look_at: clock.instant(), clock, upkeep, chores, files, stage: Stage::Resting }
    }

    /// Whether the next turn should come soon.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.stage, Stage::Looking(_) | Stage::Moving(..))
    }

    /// Does a turn's part. Both kept snapshots are past `past_lsn`.
    pub(crate) fn advance(&mut self, core: &mut Core, journal: &impl JournalHandle, past_lsn: u64, now: Now) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Resting) {
            Stage::Resting if self.clock.instant() >= self.look_at => self.choose(core, journal, past_lsn),
            Stage::Looking(look) => self.look(look, core, now),
            Stage::Moving(file, copied) if !core.is_out_of_room() => self.name(file, copied, core, now),
            stage => stage,
        };
    }

    fn choose(&mut self, core: &Core, journal: &impl JournalHandle, past_lsn: u64) -> Stage {
        self.rest(self.upkeep.look_every);
        let upkeep = self.upkeep_now(journal);
        match wanted(&upkeep, &journal.stretches(), past_lsn, core.state(), &self.files) {
            Some(wanted) => {
                let bytes_max = upkeep.cold_file_bytes;
                Stage::Looking(Look { wanted, next: 0, found: Vec::new(), bytes: 0, bytes_max })
            }
            None => Stage::Resting,
        }
    }

    /// On a disk that is nearly full less is worth it, and the copies have to fit.
    fn upkeep_now(&self, journal: &impl JournalHandle) -> Upkeep {
        let space = journal.space();
        if !space.tight {
            return self.upkeep;
        }
        let free_bytes = journal.usage().map_or(0, |usage| usage.free_bytes);
        Upkeep {
            journal_slack_bytes: self.upkeep.journal_slack_bytes.min(TIGHT_SLACK_BYTES),
            cold_slack_bytes: self.upkeep.cold_slack_bytes.min(TIGHT_SLACK_BYTES),
            cold_file_bytes: self.upkeep.cold_file_bytes.min(free_bytes / 4),
            ..self.upkeep
        }
    }

    fn look(&mut self, mut look: Look, core: &Core, now: Now) -> Stage {
        let before = look.found.len();
        let next = core.state().movable(&look.wanted, look.next, LOOK_SLOTS, now, &mut look.found);
        look.bytes += look.found[before..].iter().map(|it| u64::from(it.from.length)).sum::<u64>();
        let is_enough = look.bytes >= look.bytes_max || look.found.len() as u64 >= ROUND_PAYLOADS;
        match next {
            Some(next) if !is_enough => Stage::Looking(Look { next, ..look }),
            _ if look.found.is_empty() => {
                self.rest(REST * self.upkeep.look_every);
                Stage::Resting
            }
            _ => {
                let file = self.files.next_number(core.lsn());
                // A compactor that is gone ends with the engine.
                drop(self.chores.send(Chore::Copy { file, payloads: look.found }));
                Stage::Copying
            }
        }
    }

    /// The compactor is done.
    pub(crate) fn copied(&mut self, result: Result<Copy, StoreError>) {
        self.stage = Stage::Resting;
        match result {
            Ok(Copy { copied, .. }) if copied.is_empty() => self.rest(REST * self.upkeep.look_every),
            Ok(Copy { file, bytes, copied }) => {
                tracing::debug!(file, bytes, payloads = copied.len(), "payloads were copied");
                self.files.add(file, bytes);
                self.stage = Stage::Moving(file, copied.into_iter());
            }
            Err(error) => {
                tracing::warn!(%error, "payloads of old segments could not be copied; it is tried again");
                self.rest(REST * self.upkeep.look_every);
            }
        }
    }

    fn name(
        &mut self,
        file: u64,
        mut copied: std::vec::IntoIter<Copied>,
        core: &mut Core,
        now: Now,
    ) -> Stage {
        core.moved(file, copied.by_ref().take(MOVES_MAX).collect(), now);
        if copied.len() > 0 {
            return Stage::Moving(file, copied);
        }
        self.rest(Duration::ZERO);
        Stage::Resting
    }

    fn rest(&mut self, rest: Duration) {
        self.look_at = self.clock.instant() + rest;
    }

    /// A snapshot of the state as it is now is taken, at commit `lsn`.
    pub(crate) fn snapshot_taken(&mut self, core: &Core, lsn: u64) {
        let filling = if let Stage::Moving(file, _) = &self.stage { Some(*file) } else { None };
        self.files.note_dead(core.state(), filling, lsn);
    }

    /// Both kept snapshots are past `past_lsn`: what was dead by then is read by nobody any more.
    pub(crate) fn drop_dead(&mut self, past_lsn: u64) {
        for file in self.files.take_dead(past_lsn) {
            drop(self.chores.send(Chore::Drop { file }));
        }
    }
}
