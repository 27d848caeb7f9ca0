//! What `lineshaft enqueue` takes.

use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCandidates;
use lineshaft_wire::message::UniqueWhile;

use super::read::{Handler, Timeout, When, duration, handler, priority, timeout, when};
use crate::complete;

/// Makes a job.
#[derive(Args, Debug)]
pub struct Enqueue {
    /// Name of the task; without one, --jsonl reads jobs from standard input, an object a line
    #[arg(required_unless_present = "jsonl", add = ArgValueCandidates::new(complete::tasks))]
    pub task: Option<String>,
    /// Positional arguments, each as JSON: 2 '"text"' '[1, 2]' null
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub arguments: Vec<String>,
    /// Keyword arguments as a JSON object: '{"path": "a.png"}'
    #[arg(long, value_name = "JSON")]
    pub kwargs: Option<String>,
    /// Wait for the end and print the result, at most so long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "3650d",
          value_parser = duration)]
    pub wait: Option<Duration>,
    /// Options of the job.
    #[command(flatten)]
    pub options: JobOptions,
}

/// Options of a job. What is not given is as the task declares it, as far as a worker told the server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of the job (what is not given is as the task declares it)")]
pub struct JobOptions {
    /// Queue of the job [else: default]
    #[arg(long, add = ArgValueCandidates::new(complete::queues))]
    pub queue: Option<String>,
    /// 1 (first) to 9, high (2), normal (5) or low (8) [else: normal]
    #[arg(long, value_parser = priority)]
    pub priority: Option<u8>,
    /// Retries after an error or a timeout [else: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..10_000))]
    pub retries: Option<u32>,
    /// Wait before the first retry; doubles with each, and each is drawn from 0 to that [else: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub retry_first: Option<Duration>,
    /// Longest wait before a retry [else: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub retry_cap: Option<Duration>,
    /// Longest an attempt may take, or none [else: 1h]
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    pub timeout: Option<Timeout>,
    /// Run it no earlier: so long from now (5m), or a time (2026-01-31T08:00Z)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub run_after: Option<When>,
    /// Discard it if it has not begun by then
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub expires: Option<When>,
    /// Discard it if it has not ended by then, retries included
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub deadline: Option<When>,
    /// at_most_once: rather lost than run twice [else: at_least_once]
    #[expect(clippy::doc_markdown, reason = "shown as help, where backticks are noise")]
    #[arg(long, value_name = "HOW", value_enum)]
    pub delivery: Option<Delivery>,
    /// Keep nothing of what it returns
    #[arg(long = "no-result", conflicts_with = "wait", num_args = 0, default_missing_value = "false")]
    pub result: Option<bool>,
    /// Task that gets the job if it gives up, or none [else: none]
    #[arg(long, value_name = "TASK", value_parser = handler, add = ArgValueCandidates::new(complete::tasks))]
    pub on_failure: Option<Handler>,
    /// At most one job of the task with this key: answers with the job that is there
    #[arg(long, value_name = "KEY")]
    pub unique: Option<String>,
    /// How long --unique keeps others out
    #[arg(long, value_name = "STATE", value_enum, default_value = "unfinished", requires = "unique")]
    pub unique_while: While,
    /// --unique also keeps others out for so long, whatever has become of the job
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "unique")]
    pub unique_period: Option<Duration>,
    /// The same key within 24 hours gives the same job
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// A label; may be given more than once
    #[arg(long = "tag", alias = "tags", value_name = "TAG")]
    pub tags: Vec<String>,
    /// A note for people and programs, at most 4 KiB
    #[arg(long, value_name = "TEXT")]
    pub metadata: Option<String>,
}

/// How often a job may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Delivery {
    /// Until it has ended, again if need be
    AtLeastOnce,
    /// Never twice
    AtMostOnce,
}

/// How long a unique key keeps others out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum While {
    /// Until the job has ended
    Unfinished,
    /// Until the job first runs
    Queued,
}

impl From<While> for UniqueWhile {
    fn from(while_: While) -> Self {
        match while_ {
            While::Unfinished => Self::Unfinished,
            While::Queued => Self::Queued,
        }
    }
}
