//! Looking at tasks.

use clap::Subcommand;
use clap_complete::ArgValueCandidates;

use crate::complete;

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// List the tasks whose attempts are counted, a line for each version
    List,
    /// Say what attempts of a task came to and took: outcomes, times with quantiles, memory, repeated arguments
    Stats {
        /// Of this task, in all of its versions or in the one that it names (`shop.send v2`); of all of them without
        #[arg(value_name = "TASK", add = ArgValueCandidates::new(complete::tasks))]
        task: Option<String>,
    },
}
