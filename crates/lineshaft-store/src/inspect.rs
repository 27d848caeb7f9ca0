//! Looking at the files of a home without changing them: how large they are, and which are whole.
//!
//! What the files mean together (jobs and their payloads) is the engine's to say; here are the sizes and the checks
//! that need no more than the format.

mod checks;
pub mod repair;
pub(crate) mod rework;
mod sizes;
mod survey;
mod upgrade;

pub use checks::{CheckedFile, check_blobs, check_cold_files, check_snapshots, newest_snapshot};
pub use rework::rework;
pub use sizes::{DirectorySize, JournalSize, directories, journal_size};
pub use survey::{Survey, survey};
pub use upgrade::{Step, Upgraded, steps, upgrade};
