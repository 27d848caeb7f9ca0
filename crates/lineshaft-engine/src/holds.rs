//! Files that stay as they are while a client copies them: one hold per connection, which ends with it.

use lineshaft_jobs::{Now, Refusal};
use lineshaft_store::{HeldFiles, Hold};
use lineshaft_wire::message::{FilesHeld, KeepFiles, RefusalCode};

use crate::core::Core;
use crate::handle::ConnectionId;
use crate::requests::{Caller, refusal};

/// How long files are held for a client that says nothing, milliseconds: one that is stopped must not make the journal
/// grow without end.
const SILENCE_MS: u64 = 60_000;

/// What a connection holds.
#[derive(Debug, Default)]
pub(crate) enum Holding {
    /// Nothing, and it never did.
    #[default]
    Nothing,
    /// The files of the state at this commit.
    Files {
        lsn: u64,
        hold: Hold,
        /// Until this logical time, unless it says that it still copies.
        until_ms: u64,
    },
    /// Nothing any more, though it did not say that it was done.
    Ended(&'static str),
}

impl Core {
    /// Files are held for a connection; if it is gone, not any more.
    pub(crate) fn files_held(
        &mut self,
        connection: ConnectionId,
        request_id: u64,
        held: HeldFiles,
        now: Now,
    ) {
        let HeldFiles { end, hold } = held;
        let Some(entry) = self.connections.get_mut(&connection) else { return };
        let (lsn, until_ms) = (end.newest.lsn, now.logical_ms + SILENCE_MS);
        entry.holding = Holding::Files { lsn, hold, until_ms };
        self.holders.push(connection);
        tracing::info!(lsn, "a backup begins: no file is removed until it is done");
        let message = FilesHeld {
            lsn,
            crc: end.newest.crc,
            first_segment: end.first_segment,
            last_segment: end.last_segment,
            last_segment_bytes: end.last_segment_bytes,
        };
        self.reply(connection, request_id, message);
    }

    /// A client still copies what is held for it, or is done.
    pub(crate) fn keep_files(&mut self, caller: Caller, keep: KeepFiles, now: Now) -> Result<(), Refusal> {
        let ended =
            |why: &str| refusal(RefusalCode::WrongState, format!("the files are not held any more: {why}"));
        let Some(entry) = self.connections.get_mut(&caller.connection) else { return Ok(()) };
        match &mut entry.holding {
            Holding::Files { lsn, until_ms, .. } if *lsn == keep.lsn => {
                *until_ms = now.logical_ms + SILENCE_MS;
            }
            Holding::Ended(why) => return Err(ended(why)),
            _ => return Err(ended("this connection does not hold those of that commit")),
        }
        if keep.done {
            tracing::info!(lsn = keep.lsn, "a backup is done");
            entry.holding = Holding::Nothing;
            self.holders.retain(|holder| *holder != caller.connection);
        }
        self.answer_done(caller);
        Ok(())
    }

    /// Ends holds of clients that say nothing any more, and all of them when the disk has no room and they keep what would
    /// make some: jobs that run go first. Where nothing can go anyway, a full home can be copied to another disk.
    pub(crate) fn end_holds(&mut self, now: Now) {
        for connection in std::mem::take(&mut self.holders) {
            let Some(entry) = self.connections.get_mut(&connection) else { continue };
            let Holding::Files { lsn, until_ms, hold } = &entry.holding else { continue };
            let why = if self.is_tight && hold.is_in_the_way() {
                "the disk of the home is full, and what is held would make room"
            } else if *until_ms <= now.logical_ms {
                "the client said nothing for a minute"
            } else {
                self.holders.push(connection);
                continue;
            };
            tracing::warn!(lsn, why, "a backup is given up");
            entry.holding = Holding::Ended(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lineshaft_jobs::{Limits, Payloads, State};
    use lineshaft_store::{Append, Error, Home, Journal, JournalHandle, SegmentJournal};
    use lineshaft_testkit::disk::SimulatedDisk;
    use lineshaft_wire::message::Message;

    use super::*;
    use crate::core::Output;
    use crate::handle::{Outbox, Outgoing};
    use crate::options::Options;

    const COPIER: ConnectionId = ConnectionId(1);

    struct Deaf;

    impl Outbox for Deaf {
        fn deliver(&self, _: Vec<Outgoing>) {}
        fn close(&self) {}
    }

    /// An engine with a journal, one commit long, whose files a connection holds.
    struct World {
        core: Core,
        journal: SegmentJournal<SimulatedDisk>,
        now: Now,
    }

    impl World {
        fn new() -> Self {
            let home = Home::open(SimulatedDisk::new()).unwrap();
            let options = lineshaft_store::Options { background: false, ..Default::default() };
            let (mut journal, _) = SegmentJournal::open(&home, options).unwrap();
            let append = Append { epoch: 1, nonce: 1, expected_lsn: 1, previous_crc: 0, body: b"one" };
            journal.append(append).unwrap();
            let now = Now { wall_ms: 1_790_000_000_000, logical_ms: 1_000, random: 0 };
            let mut core = Core::new(State::new(0, Limits::default()), 1, Options::default(), now);
            core.connected(COPIER, Arc::new(Deaf));
            core.files_held(COPIER, 1, journal.handle().hold().unwrap(), now);
            Self { core, journal, now }
        }

        fn is_held(&self) -> bool {
            matches!(self.journal.handle().drop_blob(7), Err(Error::Held))
        }

        fn pass(&mut self, ms: u64) {
            self.now.logical_ms += ms;
            self.core.step(self.now);
        }

        /// What the newest answer to the connection says.
        fn keep(&mut self, lsn: u64, done: bool) -> Message {
            self.core.request(COPIER, 2, KeepFiles { lsn, done }.into(), Payloads::default(), self.now);
            let last = self.core.take_commit().outputs.pop();
            let Some(Output::Message(COPIER, outgoing)) = last else { panic!("no answer") };
            outgoing.message
        }

        fn check_given_up(&mut self, why: &str) {
            assert!(!self.is_held());
            let Message::Refused(refused) = self.keep(1, true) else {
                panic!("it was not held all the time")
            };
            assert_eq!(refused.code, RefusalCode::WrongState);
            assert_eq!(refused.message, format!("the files are not held any more: {why}"));
        }
    }

    #[test]
    fn files_are_held_until_the_client_is_done() {
        let mut world = World::new();
        world.pass(50_000);
        assert!(matches!(world.keep(1, false), Message::Done(_)));
        world.pass(50_000);
        assert!(world.is_held());
        assert!(matches!(world.keep(1, true), Message::Done(_)));
        assert!(!world.is_held());
        assert!(matches!(world.keep(1, true), Message::Refused(_)), "nothing is held any more");
    }

    #[test]
    fn a_hold_ends_with_its_connection() {
        let mut world = World::new();
        assert!(world.is_held());
        world.core.disconnected(COPIER);
        assert!(!world.is_held());
        let held = world.journal.handle().hold().unwrap();
        world.core.files_held(COPIER, 1, held, world.now);
        assert!(!world.is_held(), "the answer came too late");
    }

    #[test]
    fn a_client_that_says_nothing_holds_nothing() {
        let mut world = World::new();
        world.pass(SILENCE_MS);
        world.check_given_up("the client said nothing for a minute");
    }

    /// A full home that was served could not be copied to another disk.
    #[test]
    fn a_full_disk_ends_holds_once_they_keep_what_would_make_room() {
        let mut world = World::new();
        world.core.is_tight = true;
        world.pass(1);
        assert!(matches!(world.keep(1, false), Message::Done(_)), "nothing would be won");
        assert!(world.is_held(), "something was to go");
        world.pass(1);
        world.check_given_up("the disk of the home is full, and what is held would make room");
    }

    #[test]
    fn another_commit_than_the_one_held_is_refused() {
        let mut world = World::new();
        assert!(matches!(world.keep(2, false), Message::Refused(_)));
        assert!(world.is_held());
    }
}
