//! What `lineshaft job` and `lineshaft queue` take.

use std::time::Duration;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use lineshaft_wire::{JobId, JobState};

use super::profile::JobProfile;
use super::read::{When, duration, name, state, when};
use crate::complete;

/// Looks at jobs and changes them.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// List jobs: unfinished ones, then finished ones from the newest
    #[command(alias = "ls")]
    List(JobList),
    /// Show everything about a job but its result
    #[command(alias = "describe")]
    Show {
        /// The job
        #[arg(add = ArgValueCandidates::new(complete::jobs))]
        id: JobId,
    },
    /// Print the result of a job
    Result {
        /// The job
        #[arg(add = ArgValueCandidates::new(complete::jobs))]
        id: JobId,
        /// Wait for the end, at most so long
        #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
              default_missing_value = "3650d", value_parser = duration)]
        wait: Option<Duration>,
    },
    /// Wait until jobs have ended; fails with 5 if one did not complete
    Wait {
        /// The jobs
        #[arg(required = true, value_name = "ID", add = ArgValueCandidates::new(complete::jobs))]
        ids: Vec<JobId>,
        /// At most so long; with 0 it only looks
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        timeout: Option<Duration>,
    },
    /// Print what the attempts of a job printed
    Output {
        /// The job
        #[arg(add = ArgValueCandidates::new(complete::jobs))]
        id: JobId,
        /// Only this attempt
        #[arg(long, value_name = "NUMBER")]
        attempt: Option<u32>,
        /// Go on until the job has ended, attempt by attempt
        #[arg(long, short)]
        follow: bool,
    },
    /// Print what the attempts of a job logged
    Logs {
        /// The job
        #[arg(add = ArgValueCandidates::new(complete::jobs))]
        id: JobId,
        /// Only this attempt
        #[arg(long, value_name = "NUMBER")]
        attempt: Option<u32>,
        /// Go on with what is logged from now on
        #[arg(long, short)]
        follow: bool,
    },
    /// Show where the time of an attempt went that was profiled
    Profile(JobProfile),
    /// Cancel jobs; running ones are stopped
    Cancel(Jobs),
    /// Run waiting jobs now, or finished ones again as new jobs
    Retry(Jobs),
    /// Forget finished jobs
    #[command(alias = "rm")]
    Delete(Jobs),
}

/// Some jobs: those named, or those that a filter lets through.
#[derive(Args, Debug)]
pub struct Jobs {
    /// The jobs; without any, those that --state, --queue, --task, --tag, --since and --until say
    #[arg(value_name = "ID", required_unless_present_any = FILTERS, conflicts_with_all = FILTERS,
          add = ArgValueCandidates::new(complete::jobs))]
    pub ids: Vec<JobId>,
    /// Instead of ids: which jobs.
    #[command(flatten)]
    pub filter: JobFilter,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

const FILTERS: [&str; 6] = ["states", "queue", "task", "tags", "since", "until"];

/// Which jobs.
#[derive(Args, Clone, Debug, Default)]
pub struct JobFilter {
    /// In this state, or in one of these: --state completed,discarded
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = state,
          add = ArgValueCandidates::new(complete::states))]
    pub states: Vec<JobState>,
    /// In this queue
    #[arg(long, add = ArgValueCandidates::new(complete::queues))]
    pub queue: Option<String>,
    /// Of this task, in every version or in one: 'shop.send v2'
    #[arg(long, add = ArgValueCandidates::new(complete::tasks))]
    pub task: Option<String>,
    /// With this tag; given more than once, with all of them
    #[arg(long = "tag", alias = "tags", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Created at this time or later: so long ago (1h), or a time (2026-01-31T08:00Z)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub since: Option<When>,
    /// Created before this time
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub until: Option<When>,
}

/// Lists jobs.
#[derive(Args, Debug)]
pub struct JobList {
    /// Which ones.
    #[command(flatten)]
    pub filter: JobFilter,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
    /// Go on where another list ended
    #[arg(long)]
    pub cursor: Option<String>,
}

/// Looks at queues and changes them.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List queues that have jobs or are paused
    #[command(alias = "ls")]
    List,
    /// Start no more jobs of a queue
    Pause {
        /// Name of the queue
        #[arg(value_parser = name, add = ArgValueCandidates::new(complete::queues))]
        queue: String,
    },
    /// Start jobs of a queue again
    Resume {
        /// Name of the queue
        #[arg(value_parser = name, add = ArgValueCandidates::new(complete::queues))]
        queue: String,
    },
    /// Cancel all jobs of a queue that do not run
    Purge {
        /// Name of the queue
        #[arg(value_parser = name, add = ArgValueCandidates::new(complete::queues))]
        queue: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}
