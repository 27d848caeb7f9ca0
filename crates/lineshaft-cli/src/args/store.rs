//! What `lineshaft store` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::JobFilter;

/// Looks after the files of a home.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Show how much a home holds and how large it is
    Stats,
    /// Read everything in a home and check it; fails with 1 if something is wrong
    Verify,
    /// Write every job of a home, unfinished and archived, as a line of JSON
    Export(Export),
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
