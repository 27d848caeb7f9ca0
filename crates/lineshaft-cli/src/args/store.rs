//! What `lineshaft store` takes.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};

use super::JobFilter;
use super::read::{lsn, rate};

/// Looks after the files of a home.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Show how much a home holds and how large it is
    Stats,
    /// Read everything in a home and check it; fails with 1 if something is wrong
    Verify,
    /// Say why a home does not start, what would be lost, and go on without it if told to
    Doctor(Doctor),
    /// Bring a home of an earlier major version to the format of this one
    Upgrade,
    /// Write every job of a home, unfinished and archived, as a line of JSON; with --json as one document
    Export(Export),
    /// Copy a home, served or not, to where it can be restored from
    Backup(Backup),
    /// Make a home of a backup
    Restore(Restore),
}

impl Store {
    /// Whether it writes something outside of the home that is of no use before it is whole.
    pub(crate) fn puts_away(&self) -> bool {
        match self {
            Self::Backup(_) | Self::Restore(_) => true,
            Self::Export(export) => export.path().is_some(),
            Self::Doctor(doctor) => doctor.export.is_some(),
            Self::Stats | Self::Verify | Self::Upgrade => false,
        }
    }
}

/// Looks at a home that does not start.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Write every job that can still be read as a line of JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub export: Option<PathBuf>,
    /// Go on without what is lost; the damaged files are kept in `lost/` of the home
    #[arg(long)]
    pub accept_loss: bool,
}

/// Writes jobs as JSON.
#[derive(Args, Debug)]
pub struct Export {
    /// Where to; default: standard output
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Which ones.
    #[command(flatten)]
    pub filter: JobFilter,
}

impl Export {
    /// The file; `None` for standard output.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_deref().filter(|path| path.as_os_str() != "-")
    }
}

/// Copies a home.
#[derive(Args, Debug)]
pub struct Backup {
    /// A directory that is empty or does not exist, outside of the home
    #[arg(value_hint = ValueHint::DirPath)]
    pub destination: PathBuf,
    /// Copy at most so much a second, such as 50MiB
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub rate: Option<u64>,
    /// Leave out what jobs logged
    #[arg(long)]
    pub without_logs: bool,
}

/// Makes a home of a backup.
#[derive(Args, Debug)]
pub struct Restore {
    /// The backup; the home, which --home names, must be empty or not exist
    #[arg(value_hint = ValueHint::DirPath)]
    pub backup: PathBuf,
    /// Leave out what was committed after this, a number that `store stats` and `status --json` show
    #[arg(long, value_name = "LSN", value_parser = lsn)]
    pub until_lsn: Option<u64>,
}
