//! Files beside the journal: snapshots, blobs, cold payloads, the archive, and pages of jobs that left memory.

use super::Mutant;

const DISK: &str = "crates/lineshaft-store/src/disk.rs";
const OPEN: &str = "crates/lineshaft-engine/src/open.rs";

pub(super) const TABLE: &[Mutant] = &[
    Mutant {
        name: "snapshot-published-unsynced",
        rule: "a snapshot has its name when it is on the disk",
        file: "crates/lineshaft-store/src/journal/snapshots/write.rs",
        within: "tables, manifest }.encode())?;
        self.sync()?;",
        original: "self.sync()?;",
        mutated: "",
        seed: Some(4),
    },
    Mutant {
        name: "file-published-unsynced",
        rule: "a blob is durable before the commit that names it",
        file: DISK,
        within: "offset += part.len() as u64;
    }
    file.sync_data()",
        original: "file.sync_data()",
        mutated: "Ok(())",
        seed: Some(2),
    },
    Mutant {
        name: "name-not-synced",
        rule: "a file's name is durable before the commit that relies on it",
        file: DISK,
        within: "disk.rename(&temporary, &path)?;
    disk.sync_dir(directory)",
        original: "disk.sync_dir(directory)",
        mutated: "Ok(())",
        seed: Some(60),
    },
    Mutant {
        name: "blobs-dropped-at-the-start",
        rule: "a blob stays as long as a job needs it",
        file: OPEN,
        within: "",
        original: "!state.needs_blob(*blob)",
        mutated: "let _ = (state, blob); true",
        seed: Some(9),
    },
    Mutant {
        name: "payloads-moved-before-durable",
        rule: "a commit says that payloads were moved when they are on the disk",
        file: "crates/lineshaft-store/src/journal/cold.rs",
        within: "",
        original: "self.disk.sync_dir(DIRECTORY).map_err(Error::io(\"sync\", DIRECTORY, 0))?;",
        mutated: "",
        seed: Some(131),
    },
    Mutant {
        name: "blocks-not-synced",
        rule: "a finished job keeps its place until its block is durable",
        file: "crates/lineshaft-store/src/archive/store.rs",
        within: "",
        original: "file.sync_data().map_err(sync_failed(path))",
        mutated: "Ok(())",
        seed: Some(1),
    },
    Mutant {
        name: "archived-jobs-not-counted",
        rule: "a start takes from the archive which jobs are in it already",
        file: OPEN,
        within: "",
        original: "archive.head().last_finish_number.saturating_sub(core.state().archived())",
        mutated: "0",
        seed: Some(16),
    },
    Mutant {
        name: "later-history-stays",
        rule: "what the archive has of commits beyond the journal's end was never done, and is dropped",
        file: OPEN,
        within: "",
        original: "archive.drop_beyond(head_lsn)?.jobs",
        mutated: "0",
        seed: Some(11),
    },
    Mutant {
        name: "stale-pages-taken-back",
        rule: "a page of jobs that changed while it was written elsewhere is not read from there",
        file: "crates/lineshaft-structures/src/page.rs",
        within: "let Content::Shared(shared) = &mut self.content else { return None };
        if !Arc::ptr_eq(shared, &lent)",
        original: "return None",
        mutated: "if let Content::Own(rows) = &mut self.content { return Some(what(rows)); }
            return None",
        seed: Some(9),
    },
];
