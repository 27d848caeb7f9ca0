//! Commits: nothing leaves before they are durable, and what a start finds of them.

use super::Mutant;

const DRIVER: &str = "crates/lineshaft-engine/src/driver.rs";
const WRITER: &str = "crates/lineshaft-store/src/journal/writer.rs";
const FRESH: &str = "crates/lineshaft-store/src/journal/fresh.rs";

/// How a commit is written and its outputs let go.
const COMMIT: &str = "if wrote {
            self.append(&committed.body)?;
        }
        self.release(committed.outputs);";

pub(super) const TABLE: &[Mutant] = &[
    Mutant {
        name: "outputs-before-durable",
        rule: "nothing leaves before its commit is durable",
        file: DRIVER,
        within: "",
        original: COMMIT,
        mutated: "self.release(committed.outputs); if wrote { self.append(&committed.body)?; }",
        seed: Some(1),
    },
    Mutant {
        name: "leases-before-durable",
        rule: "nothing leaves before its commit is durable, dispatch included",
        file: DRIVER,
        within: "",
        original: COMMIT,
        mutated: "let is_lease = |output: &Output| {
                matches!(output, Output::Message(_, out)
                    if matches!(out.message, lineshaft_wire::message::Message::Leases(_)))
            };
            let (leases, others) = committed.outputs.into_iter().partition(is_lease);
            self.release(leases);
            if wrote { self.append(&committed.body)?; }
            self.release(others);",
        seed: Some(1),
    },
    Mutant {
        name: "ends-before-durable",
        rule: "whoever waits for a job is told of its end when that is durable",
        file: DRIVER,
        within: "",
        original: COMMIT,
        mutated: "let is_end = |output: &Output| matches!(output, Output::Ended(..));
            let (ends, others) = committed.outputs.into_iter().partition(is_end);
            self.release(ends);
            if wrote { self.append(&committed.body)?; }
            self.release(others);",
        seed: Some(2),
    },
    Mutant {
        name: "snapshot-of-undurable-state",
        rule: "a snapshot is of a commit that is durable, and of nothing after it",
        file: DRIVER,
        within: "let wrote = self.commit()?;",
        original: "self.commit()?",
        mutated: "self.snapshot_if_due()?; self.commit()?",
        seed: Some(376),
    },
    Mutant {
        name: "commits-not-synced",
        rule: "a commit that is answered is on the disk",
        file: WRITER,
        within: "let synced = segment.file.sync_data();",
        original: "segment.file.sync_data()",
        mutated: "std::io::Result::Ok(())",
        seed: Some(1),
    },
    Mutant {
        name: "failed-sync-tried-again",
        rule: "a failed sync is never tried again: the pages that it should have written count as clean",
        file: WRITER,
        within: "let synced = segment.file.sync_data();",
        original: "segment.file.sync_data()",
        mutated: "segment.file.sync_data().or_else(|_| segment.file.sync_data())",
        seed: Some(16),
    },
    Mutant {
        name: "failed-sync-ignored",
        rule: "a failed sync is never taken for one that succeeded",
        file: WRITER,
        within: "",
        original: "synced.map_err(|source| self.shared.poison(sync_error(&segment.path(), source)))?;",
        mutated: "drop(synced);",
        seed: Some(3),
    },
    Mutant {
        name: "tail-not-written-again",
        rule: "what a start reads and nobody knows to be durable is written again before it is answered for",
        file: FRESH,
        within: "let above = self.synced_lsn;",
        original: "self.synced_lsn",
        mutated: "self.chain.head.lsn",
        seed: Some(39),
    },
    Mutant {
        name: "tail-not-synced",
        rule: "the tail that is written again is durable before it takes the place of the first one",
        file: FRESH,
        within: "",
        original: "self.file.sync_data().map_err(Error::io(\"sync\", &self.path, bytes))?;",
        mutated: "",
        seed: Some(1),
    },
    Mutant {
        name: "damage-taken-for-an-unfinished-write",
        rule: "a commit that was durable is never cut off",
        file: "crates/lineshaft-store/src/journal/chain.rs",
        within: "",
        original: "synced_lsn >= first_lsn",
        mutated: "false",
        seed: Some(553),
    },
    Mutant {
        name: "bodies-not-checked-at-the-start",
        rule: "a commit whose body fails its check is no commit",
        file: "crates/lineshaft-store/src/journal/scan.rs",
        within: "",
        original: "header.lsn > verify.after && !header.body_matches(window.get(offset, size)?)",
        mutated: "false",
        seed: Some(39),
    },
    Mutant {
        name: "payloads-not-checked",
        rule: "what is read is checked, however long ago it was written",
        file: "crates/lineshaft-store/src/journal/handle.rs",
        within: "",
        original: "header.body_matches(&read.bytes[read.index(start)..])",
        mutated: "true",
        seed: Some(1375),
    },
    Mutant {
        name: "journal-forgotten-too-early",
        rule: "a segment goes when both kept snapshots and all that their jobs need are past it",
        file: "crates/lineshaft-engine/src/kept_snapshots.rs",
        within: "",
        original: "self.older.needs_lsn",
        mutated: "self.newer.lsn + 1",
        seed: Some(9),
    },
    Mutant {
        name: "full-disk-ends-rest",
        rule: "an engine at rest does not end for want of room to seal its last commit",
        file: DRIVER,
        within: "",
        original: "self.committed_at = self.clock.instant();
                return Ok(false);",
        mutated: "return Err(StoreError::Poisoned.into());",
        seed: Some(101),
    },
    Mutant {
        name: "space-not-looked-at",
        rule: "space is looked at before anything is decided",
        file: "crates/lineshaft-engine/src/room.rs",
        within: "",
        original: "self <= needs",
        mutated: "self <= needs || self > Self::Plenty",
        seed: Some(286),
    },
];
