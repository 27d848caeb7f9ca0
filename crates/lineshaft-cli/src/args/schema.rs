//! What `lineshaft schema` takes.

use clap::{Subcommand, ValueHint};

/// Says what tasks take and give.
#[derive(Debug, Subcommand)]
pub enum Schema {
    /// Show what tasks take and give; with --json as a file for `schema diff`
    Show {
        /// The app: module, module:attr or path.py; or a .json file that `schema show --json` wrote. Without one, what the
        /// workers of the home run
        #[arg(value_hint = ValueHint::FilePath)]
        target: Option<String>,
    },
    /// Say what comes of a change for the jobs that wait; fails with 1 if something breaks them
    ///
    /// Looks both ways: jobs of before that new workers run, and new jobs that old workers get while both run. If a server
    /// serves the home, it is asked how many unfinished jobs are of versions that the new code does not run.
    Diff {
        /// What runs now and what comes, each an app or a .json file that `schema show --json` wrote. One alone is what
        /// comes: it is compared with what the workers of the home run
        #[arg(required = true, num_args = 1..=2, value_names = ["OLD", "NEW"], value_hint = ValueHint::FilePath)]
        sources: Vec<String>,
    },
}
