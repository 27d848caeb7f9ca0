//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lineshaft::duration::parse_duration;
use lineshaft_wire::{JobId, JobState};

/// Durable background and parallel work.
#[derive(Debug, Parser)]
#[command(
    name = "lineshaft",
    bin_name = "lineshaft",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 declined, 4 not authorised, 5 task failed, \
6 not found, 7 timeout, 8 unreachable.")]
pub struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Directory of the engine [default: `LINESHAFT_URL`, the project's file, or .lineshaft of the project]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<String>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a home until stopped; prints `ready ADDRESS`
    Serve(Serve),
    /// Run the tasks of an app
    Worker(Worker),
    /// Show the server, its queues and its workers
    Status(Status),
    /// Stop the server of the home
    Stop,
    /// Make a job
    Enqueue(Box<Enqueue>),
    /// Look at jobs and change them
    #[command(subcommand)]
    Job(Job),
    /// Look at queues and change them
    #[command(subcommand)]
    Queue(Queue),
}

/// Serves a home.
#[derive(Args, Debug)]
pub struct Serve {
    /// Also listen on TCP; clients then need the home's run/token
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// When an answer may leave
    #[arg(long, value_enum, default_value_t = Durability::Sync)]
    pub durability: Durability,
    /// Started by a client: stop 30 s after the last connection
    #[arg(long, hide = true)]
    pub on_demand: bool,
}

/// When an answer may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// After the disk has it: survives a power cut
    Sync,
    /// After the operating system has it: survives the server, not a power cut
    Os,
}

/// Runs the tasks of an app.
#[derive(Args, Debug)]
pub struct Worker {
    /// The app: module, module:attr or module:make(); path.py in place of the module
    #[expect(clippy::doc_markdown, reason = "shown as help, where backticks are noise")]
    pub target: String,
    /// Child processes [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub processes: Option<u32>,
    /// Attempts at a time in each child [default: 1; with kind thread 4 per core, with async 1000]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub slots: Option<u32>,
    /// What a slot is: the process, which can be killed for one attempt, or a thread or coroutine of it
    #[arg(long, value_name = "KIND", value_enum, default_value = "process")]
    pub kind: SlotKind,
    /// Queues to serve, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub queues: Vec<String>,
    /// What running attempts get to finish when the worker stops
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub grace: Duration,
    /// Python interpreter [default: that of `$VIRTUAL_ENV`, .venv, PATH]
    #[arg(long, value_name = "PATH")]
    pub python: Option<PathBuf>,
}

/// What a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SlotKind {
    /// The child itself: one attempt at a time
    Process,
    /// A thread of the child
    Thread,
    /// A coroutine of the child
    Async,
}

/// Shows the server.
#[derive(Args, Debug)]
pub struct Status {
    /// Wait until the server answers, at most so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait: Option<Duration>,
}

/// Makes a job.
#[derive(Args, Debug)]
pub struct Enqueue {
    /// Name of the task
    pub task: String,
    /// Positional arguments, each as JSON: 2 '"text"' '[1, 2]' null
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub arguments: Vec<String>,
    /// Keyword arguments as a JSON object: '{"path": "a.png"}'
    #[arg(long, value_name = "JSON")]
    pub kwargs: Option<String>,
    /// Queue of the job
    #[arg(long, default_value = "default")]
    pub queue: String,
    /// 1 (first) to 9, high (2), normal (5) or low (8)
    #[arg(long, default_value = "normal", value_parser = priority)]
    pub priority: u8,
    /// Retries after an error or a timeout
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..10_000))]
    pub retries: u32,
    /// Longest an attempt may take
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub timeout: Duration,
    /// Run it no earlier than so long from now
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub run_after: Option<Duration>,
    /// The same key within 24 hours gives the same job
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// A label; may be given more than once
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Wait for the end and print the result, at most so long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "3650d",
          value_parser = duration)]
    pub wait: Option<Duration>,
}

/// Looks at jobs and changes them.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// List jobs: unfinished ones, then finished ones from the newest
    List(JobList),
    /// Show everything about a job but its result
    Show {
        /// The job
        id: JobId,
    },
    /// Print the result of a job
    Result {
        /// The job
        id: JobId,
        /// Wait for the end, at most so long
        #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
              default_missing_value = "3650d", value_parser = duration)]
        wait: Option<Duration>,
    },
    /// Print what the attempts of a job printed
    Output {
        /// The job
        id: JobId,
        /// Only this attempt
        #[arg(long, value_name = "NUMBER")]
        attempt: Option<u32>,
    },
    /// Cancel jobs; running ones are stopped
    Cancel(Jobs),
    /// Run waiting jobs now, or finished ones again as new jobs
    Retry(Jobs),
    /// Forget finished jobs
    Delete(Jobs),
}

/// Some jobs.
#[derive(Args, Debug)]
pub struct Jobs {
    /// The jobs
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<JobId>,
}

/// Lists jobs.
#[derive(Args, Debug)]
pub struct JobList {
    /// In this state; may be given more than once
    #[arg(long = "state", value_name = "STATE")]
    pub states: Vec<JobState>,
    /// In this queue
    #[arg(long)]
    pub queue: Option<String>,
    /// Of this task
    #[arg(long)]
    pub task: Option<String>,
    /// With this tag; may be given more than once
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
    /// Go on where another list ended
    #[arg(long)]
    pub cursor: Option<String>,
}

/// Looks at queues and changes them.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List queues that have jobs or are paused
    List,
    /// Start no more jobs of a queue
    Pause {
        /// Name of the queue
        queue: String,
    },
    /// Start jobs of a queue again
    Resume {
        /// Name of the queue
        queue: String,
    },
    /// Cancel all jobs of a queue that do not run
    Purge {
        /// Name of the queue
        queue: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

fn priority(text: &str) -> Result<u8, String> {
    let number = match text {
        "high" => Some(2),
        "normal" => Some(5),
        "low" => Some(8),
        _ => text.parse().ok(),
    };
    number
        .filter(|number| (1..=9).contains(number))
        .ok_or_else(|| "accepted: 1 (first) to 9, high, normal or low".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration("duration", text).map_err(|error| error.hint().unwrap_or_else(|| error.to_string()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = line.split_whitespace();
        Arguments::try_parse_from(words).map_err(|error| error.to_string())
    }

    fn check_error(line: &str, expected: &str) {
        let error = parse(line).unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_go_before_and_after_the_command() {
        for line in ["lineshaft --home h --json status", "lineshaft status --json --home h"] {
            let global = parse(line).unwrap().global;
            assert_eq!((global.home.as_deref(), global.json), (Some("h"), true), "{line}");
        }
    }

    #[test]
    fn mistakes_come_with_a_suggestion() {
        check_error("lineshaft statsu", "similar subcommand exists: 'status'");
        check_error("lineshaft job lst", "similar subcommand exists: 'list'");
        check_error("lineshaft worker app --proceses 2", "similar argument exists: '--processes'");
    }

    #[test]
    fn values_out_of_range_name_what_is_accepted() {
        check_error("lineshaft worker app --processes 0", "0 is not in 1..=1024");
        check_error("lineshaft enqueue t --priority 10", "accepted: 1 (first) to 9, high, normal or low");
        check_error("lineshaft status --wait soon", "accepted: a number of seconds");
        check_error("lineshaft job show 17", "is not a job id: expected a UUID of version 7");
        check_error(
            "lineshaft job list --state done",
            "\"done\" is not a job state: expected one of pending",
        );
        check_error("lineshaft serve --durability none", "[possible values: sync, os]");
    }

    #[test]
    fn enqueue_takes_negative_numbers_and_a_wait_with_or_without_a_time() {
        let Command::Enqueue(enqueue) = parse("lineshaft enqueue add -2 3.5 --wait=10s").unwrap().command
        else {
            panic!()
        };
        assert_eq!(enqueue.arguments, ["-2", "3.5"]);
        assert_eq!(enqueue.wait, Some(Duration::from_secs(10)));
        let Command::Enqueue(enqueue) = parse("lineshaft enqueue add --wait 1").unwrap().command else {
            panic!()
        };
        assert!(enqueue.wait.is_some() && enqueue.arguments == ["1"]);
    }
}
