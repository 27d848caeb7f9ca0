//! Looking at the files of a home: how large they are, and which are whole; and changing them as a whole where they must
//! be mended ([`repair`], [`rework`]) or brought to another format ([`upgrade`]).
//!
//! What the files mean together (jobs and their payloads) is the engine's to say; here is what needs no more than the
//! format.

mod checks;
pub mod repair;
pub(crate) mod rework;
mod sizes;
mod survey;
mod upgrade;

pub use crate::logs::{CheckedLogs, check_logs};
pub use checks::{CheckedFile, check_blobs, check_cold_files, check_snapshots, newest_snapshot};
pub use rework::rework;
pub use sizes::{DirectorySize, JournalSize, directories, journal_size};
pub use survey::{Survey, survey};
pub use upgrade::{Step, Upgraded, steps, upgrade};
