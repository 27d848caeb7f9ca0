//! What the engine does about a disk that is nearly full: it takes the snapshots after which dead segments may go, then
//! lets the oldest history go.

use std::time::{Duration, Instant};

use lineshaft_jobs::Now;
use lineshaft_store::{Journal, JournalHandle, Space};

use crate::archiver::Errand;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::room::{Room, brings_much, overhead_bytes};
use lineshaft_wire::message::Message;

/// Dead segments that two snapshots are worth: this part of a whole reserve.
const DEAD_SHARE: u64 = 64;
/// More than a commit that says what time it is has. Where there is no room for it, nothing may be waited for either: the
/// rest goes on.
const NOTE_BYTES: u64 = 1 << 10;
/// Pause between two tries: of a snapshot, of dropping history.
const PAUSE: Duration = Duration::from_secs(1);
/// How long freed segments have to be of use before history goes.
const PATIENCE: Duration = Duration::from_secs(3);

/// How far making room has come.
pub(crate) struct Relief {
    clock: Clock,
    /// Whether no further segment can be made.
    tight: bool,
    full: bool,
    /// Not before.
    snapshot_at: Instant,
    history_at: Instant,
    /// A commit is wanted: the next snapshot is to have another LSN, or dead segments go with the next commit.
    pub(crate) wants_commit: bool,
}

impl Relief {
    pub(crate) fn new(clock: Clock) -> Self {
        let now = clock.instant();
        Self { clock, tight: false, full: false, snapshot_at: now, history_at: now, wants_commit: false }
    }

    /// A snapshot was taken or failed: the next one waits a little, and history for what this one freed.
    pub(crate) fn snapshot_done(&mut self) {
        let now = self.clock.instant();
        (self.snapshot_at, self.history_at) = (now + PAUSE, now + PATIENCE);
        self.wants_commit |= self.tight;
    }

    fn note(&mut self, space: Space) {
        let (tight, full) = (space.tight, space.low);
        if tight && !self.tight {
            self.history_at = self.clock.instant() + PATIENCE;
        }
        match (full, self.full) {
            (true, false) => tracing::error!(
                reserve_bytes = space.reserve_bytes,
                needed_bytes = space.shortage.map(|shortage| shortage.needed_bytes),
                free_bytes = space.shortage.map(|shortage| shortage.free_bytes),
                "the disk is full: no new jobs until there is room"
            ),
            (false, true) => tracing::info!("the disk has room again"),
            _ => {}
        }
        (self.tight, self.full) = (tight, full);
    }
}

impl<J: Journal> Driver<J> {
    /// Looks at the space and makes some where it is short. Costs nothing where it is not.
    pub(crate) fn look_after_space(&mut self, now: Now) {
        let mut space = self.payloads.space();
        if space.tight {
            self.journal.look_for_space();
            space = self.payloads.space();
        }
        self.relief.note(space);
        if space.tight {
            self.make_room();
        }
        self.core.set_room(Room::of(space));
        (self.core.is_tight, self.core.shortage) = (space.tight, space.shortage);
        if self.relief.wants_commit && space.fits_alone(NOTE_BYTES) {
            self.relief.wants_commit = false;
            self.core.note_time(now);
        }
    }

    fn make_room(&mut self) {
        if self.snapshotting {
            return;
        }
        if self.snapshot_makes_room() {
            self.relief.wants_commit |= self.run.since_snapshot == 0;
        } else if self.clock.instant() >= self.relief.history_at {
            self.relief.history_at = self.clock.instant() + PAUSE;
            drop(self.batches.send(Errand::MakeRoom));
        }
    }

    /// Whether dead segments wait for a snapshot.
    fn snapshot_makes_room(&self) -> bool {
        let below = self.core.state().oldest_kept_lsn().unwrap_or(self.head.lsn);
        let dead_bytes = self.journal.dead_bytes(below);
        let whole_bytes = self.payloads.space().reserve_whole_bytes;
        dead_bytes >= (whole_bytes / DEAD_SHARE).max(self.snapshot_bytes()) || self.compaction_waits()
    }

    /// Whether segments that a few payloads pin wait for snapshots, before which nothing is moved out of them: such as are
    /// worth it.
    fn compaction_waits(&self) -> bool {
        let (head_lsn, past_lsn) = (self.head.lsn + 1, self.run.snapshots.past_lsn() + 1);
        let waiting = self.journal.dead_bytes(head_lsn).saturating_sub(self.journal.dead_bytes(past_lsn));
        // The sum over all that is kept comes last: it takes longest.
        waiting > self.payloads.space().reserve_whole_bytes.max(self.snapshot_bytes())
            && waiting > 4 * self.core.state().live_below(head_lsn).bytes
    }

    /// Whether a snapshot is due because the disk is nearly full.
    pub(crate) fn is_snapshot_urgent(&self) -> bool {
        self.relief.tight
            && self.run.since_snapshot > 0
            && self.clock.instant() >= self.relief.snapshot_at
            && self.snapshot_makes_room()
    }

    /// What there is room for beside the open commit, now that this request has come.
    pub(crate) fn room_for(&mut self, message: &Message, payload_bytes: usize) -> Room {
        let space = self.payloads.space();
        let room = Room::of(space);
        if !brings_much(message) {
            return room;
        }
        let bytes = (self.core.open_bytes() + payload_bytes) as u64 + overhead_bytes(message);
        if room == Room::Plenty && self.journal.has_room(bytes) {
            return Room::Plenty;
        }
        // What is decided has to be written, or nothing goes on: many small ends are as large as a large one.
        if space.fits_reserved(bytes) { room.max(Room::Reserve) } else { Room::Nothing }
    }

    /// How long the thread may sleep while the disk is nearly full.
    pub(crate) fn relief_patience(&self) -> Option<Duration> {
        self.relief.tight.then_some(PAUSE)
    }
}
