//! What can go wrong between the engine and the disk.

use std::io;

use lineshaft_wire::JobId;
use lineshaft_wire::code::{self, Code};

const DOCTOR: &str = "`lineshaft store doctor` says what would be lost and how to go on";

/// An error of the journal, the archive or the home.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file of the home.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory, relative to the home.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The disk has no room; nothing was written and the store goes on working.
    #[error(
        "no space left in the home: {needed_bytes} bytes have to be free{}; free some, or shorten retention",
        and_are(*free_bytes)
    )]
    Full {
        /// How much has to be free: for what was to be written, and for what is kept back for others.
        needed_bytes: u64,
        /// How much is, where that was looked at.
        free_bytes: Option<u64>,
    },
    /// An earlier write or sync failed, so nobody knows what is on disk; only a restart finds out.
    #[error("the journal stopped after a failed write or sync: restart to recover what is durable")]
    Poisoned,
    /// Another process works in this home.
    #[error("the home is in use by {}: stop it, or choose another home", holder(*pid, host))]
    Locked {
        /// The holder's process id, 0 if it is not known.
        pid: u32,
        /// The holder's host name, empty if it is not known.
        host: String,
    },
    /// A backup was to be restored over a home.
    #[error("there is a home already: a backup is never restored over something")]
    NotEmpty,
    /// The home was written by a version with another format.
    #[error("the home has format {found}, this version reads {supported}: {hint}")]
    Format {
        /// What `FORMAT` says, shortened.
        found: String,
        /// The format of this version.
        supported: u32,
        /// The way on.
        hint: &'static str,
    },
    /// The commit does not follow the newest one: someone else wrote, or the caller lost count.
    #[error(
        "commit {expected_lsn} does not follow the journal's head: the head is {head_lsn} with crc {head_crc:08x}, the commit follows crc {previous_crc:08x}"
    )]
    NotNext {
        /// The LSN the commit was to have.
        expected_lsn: u64,
        /// The CRC of the commit it was to follow.
        previous_crc: u32,
        /// The newest commit.
        head_lsn: u64,
        /// Its CRC.
        head_crc: u32,
    },
    /// A writer of an older epoch tried to go on.
    #[error("epoch {epoch} is over: the journal is owned by epoch {newest}")]
    Fenced {
        /// The writer's epoch.
        epoch: u64,
        /// The journal's newest epoch.
        newest: u64,
    },
    /// A body, payload or block above its maximum.
    #[error("{what} of {bytes} bytes is too large: the maximum is {max_bytes}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The maximum.
        max_bytes: u64,
    },
    /// Commits that were durable are damaged or missing: opening would lose them.
    #[error(
        "commits {first_lsn} to {last_lsn} are damaged or missing ({file}: {reason}), although they were durable: \
         refusing to start; {DOCTOR}"
    )]
    DamagedCommits {
        /// The first commit that cannot be read.
        first_lsn: u64,
        /// The last commit known to have been durable.
        last_lsn: u64,
        /// The segment concerned, relative to the home.
        file: String,
        /// What is wrong there.
        reason: String,
    },
    /// The journal was trimmed because snapshots held what came before, and none of them can be read.
    #[error(
        "no snapshot of the state can be read (the newest was {newest_lsn}), and the journal begins with commit \
         {oldest_lsn}: refusing to start; {DOCTOR}"
    )]
    SnapshotsLost {
        /// The oldest commit there is.
        oldest_lsn: u64,
        /// The commit of the newest snapshot file, 0 if there is none.
        newest_lsn: u64,
    },
    /// Finished jobs that were archived are not there any more.
    #[error(
        "finished jobs {first} to {last} are missing from the history ({file}), although they were archived: refusing \
         to start; {DOCTOR}"
    )]
    HistoryMissing {
        /// Finish number of the first one.
        first: u64,
        /// Finish number of the last one.
        last: u64,
        /// Between which files they are missing, relative to the home.
        file: String,
    },
    /// A file of the archive is there twice.
    #[error(
        "{file} has blocks of the history that {other} has too: it is a copy under another name; {DOCTOR}"
    )]
    Copied {
        /// The file, relative to the home.
        file: String,
        /// The one that it is a copy of.
        other: String,
    },
    /// A file fails its checks.
    #[error("{file} is damaged at byte {offset}: {reason}; {DOCTOR}")]
    Damaged {
        /// The file, relative to the home.
        file: String,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The commit was trimmed, or does not exist yet.
    #[error("commit {lsn} is not in the journal, which holds {oldest_lsn} to {head_lsn}")]
    NoCommit {
        /// The commit asked for.
        lsn: u64,
        /// The oldest one kept.
        oldest_lsn: u64,
        /// The newest one.
        head_lsn: u64,
    },
    /// A payload's location points outside its commit.
    #[error("bytes {offset} to {end} are outside the body of commit {lsn} ({body_bytes} bytes)")]
    OutOfBody {
        /// The commit.
        lsn: u64,
        /// Where the payload was to begin.
        offset: u32,
        /// Where it was to end.
        end: u64,
        /// The size of the commit's body.
        body_bytes: u64,
    },
    /// A snapshot of a commit that is not durable yet.
    #[error("a snapshot of commit {lsn} must wait: only {durable_lsn} is durable")]
    SnapshotTooNew {
        /// The snapshot's commit.
        lsn: u64,
        /// The newest durable commit.
        durable_lsn: u64,
    },
    /// A snapshot lacks a page: it is not among those that changed, and the snapshot before has none either.
    #[error("the snapshot of commit {lsn} lacks page {page}: the one before has none either")]
    PageMissing {
        /// The snapshot's commit.
        lsn: u64,
        /// The page.
        page: u64,
    },
    /// No blob has this id.
    #[error("blob/{id:016x} is missing, although a job needs it; {DOCTOR}")]
    NoBlob {
        /// The id asked for.
        id: u64,
    },
    /// A payload of a finished job did not read any more when the job was archived.
    #[error("{what} of job {id} are lost: the file that held them was damaged before the job was archived")]
    PayloadLost {
        /// The job.
        id: JobId,
        /// Which payload, in the plural.
        what: &'static str,
    },
    /// No cold file has this number.
    #[error("cold/{file:020} is missing, although a job needs it; {DOCTOR}")]
    NoCold {
        /// The number asked for.
        file: u64,
    },
    /// A block that cannot follow the archive's newest one.
    #[error(
        "a block of finish numbers {first} to {last} cannot follow {head}: numbers grow within and across blocks"
    )]
    BlockOrder {
        /// First number of the block.
        first: u64,
        /// Last number of the block.
        last: u64,
        /// The newest number in the archive.
        head: u64,
    },
    /// A backup that was not finished, or of which a file is missing or damaged.
    #[error("the backup cannot be used: {file}: {reason}")]
    Backup {
        /// The file, relative to the backup.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The backup does not hold the state after this commit.
    #[error(
        "the backup cannot be restored to commit {lsn}: it gives the states from {first_lsn} to {last_lsn}"
    )]
    NotInBackup {
        /// The commit asked for.
        lsn: u64,
        /// The oldest one that it can be restored to.
        first_lsn: u64,
        /// The newest one.
        last_lsn: u64,
    },
    /// The state after this commit needs a blob or cold file that was removed before the backup was made.
    #[error(
        "the backup cannot be restored to commit {lsn}: a payload that it needs was removed before the backup was made; a \
         later commit, up to {newest_lsn}, may do"
    )]
    PayloadGone {
        /// The commit asked for.
        lsn: u64,
        /// The newest one.
        newest_lsn: u64,
    },
    /// Whoever watches a copy stopped it.
    #[error("{reason}")]
    GivenUp {
        /// Why.
        reason: String,
    },
    /// Files are being copied, so none is removed. Try again later.
    #[error("the files of the home are held for a backup: nothing is removed until it is done")]
    Held,
    /// A job that has not finished was to be archived.
    #[error("job {id} has not finished, so it cannot be archived")]
    NotFinished {
        /// The job.
        id: JobId,
    },
}

impl Error {
    /// The code of its page, for errors that an operator can do something about.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Io { .. } | Self::Poisoned => Some(code::STORE_FAILED),
            Self::Full { .. } => Some(code::STORE_FULL),
            Self::Locked { .. } => Some(code::HOME_IN_USE),
            Self::Format { .. } => Some(code::HOME_FORMAT),
            Self::DamagedCommits { .. } => Some(code::COMMITS_DAMAGED),
            Self::SnapshotsLost { .. } => Some(code::SNAPSHOTS_LOST),
            Self::HistoryMissing { .. } => Some(code::HISTORY_MISSING),
            Self::Damaged { .. }
            | Self::Copied { .. }
            | Self::NoBlob { .. }
            | Self::NoCold { .. }
            | Self::PayloadLost { .. } => Some(code::FILE_DAMAGED),
            Self::Backup { .. } | Self::NotInBackup { .. } | Self::PayloadGone { .. } => {
                Some(code::BACKUP_UNUSABLE)
            }
            Self::GivenUp { .. } => Some(code::BACKUP_GIVEN_UP),
            _ => None,
        }
    }

    /// Names the operation and the file of a system error; a full disk becomes [`Error::Full`].
    pub(crate) fn io(action: &'static str, path: &str, needed_bytes: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { needed_bytes, free_bytes: None }
            }
            _ => Self::Io { action, path: path.to_owned(), source },
        }
    }

    /// A file that fails its checks.
    pub(crate) fn damaged(file: &str, offset: u64, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), offset, reason: reason.into() }
    }
}

fn and_are(free_bytes: Option<u64>) -> String {
    free_bytes.map_or_else(String::new, |free| format!(", and {free} are"))
}

/// Who has a home. Its lock names nobody at the moment in which it is taken.
fn holder(pid: u32, host: &str) -> String {
    if pid == 0 { "another process".to_owned() } else { format!("process {pid} on {host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "in use by process 0 on : stop it" was said where the lock had just been taken.
    #[test]
    fn a_holder_that_is_not_known_is_not_made_up() {
        let message = |pid, host: &str| Error::Locked { pid, host: host.to_owned() }.to_string();
        assert!(message(0, "").starts_with("the home is in use by another process: "), "{}", message(0, ""));
        assert!(message(7, "vm").starts_with("the home is in use by process 7 on vm: "));
    }
}
