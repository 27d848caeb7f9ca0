//! What can be said on the command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;
use lineshaft::duration::parse_duration;
use lineshaft_wire::{JobId, JobState};

use crate::complete;
use crate::flags::{HomeFlags, ServeFlags, WorkerFlags};

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
    /// Which home.
    #[command(flatten)]
    pub home: HomeFlags,
    /// Print JSON instead of text, one document
    #[arg(long, global = true)]
    pub json: bool,
    /// Print JSON, one line for each thing as it comes
    #[arg(long, global = true, conflicts_with = "json")]
    pub jsonl: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a home until stopped; prints `ready ADDRESS`
    Serve(Serve),
    /// Run the tasks of an app
    Worker(Worker),
    /// Serve and run the tasks of an app while it is written: code that changed is loaded
    Dev(Worker),
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
    /// Show settings and who set them
    #[command(subcommand)]
    Config(Config),
    /// Print the script that teaches a shell to complete
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// Serves a home.
#[derive(Args, Debug)]
pub struct Serve {
    /// Settings of the server.
    #[command(flatten)]
    pub flags: ServeFlags,
    /// Started by a client: stop 30 s after the last connection
    #[arg(long, hide = true)]
    pub on_demand: bool,
}

/// Runs the tasks of an app.
#[derive(Args, Debug)]
pub struct Worker {
    /// The app: module, module:attr or module:make(); path.py in place of the module
    #[expect(clippy::doc_markdown, reason = "shown as help, where backticks are noise")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub target: String,
    /// Settings of the worker.
    #[command(flatten)]
    pub flags: WorkerFlags,
}

/// Shows settings.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Config {
    /// Show every setting, options of tasks included
    Show {
        /// Also show who set it: flag, variable, or file and line
        #[arg(long)]
        origin: bool,
    },
}

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// `source <(lineshaft completions bash)` in ~/.bashrc
    Bash,
    /// `source <(lineshaft completions zsh)` in ~/.zshrc
    Zsh,
    /// `lineshaft completions fish | source` in ~/.config/fish/config.fish
    Fish,
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
    /// Name of the task; without one, --jsonl reads jobs from standard input, an object a line
    #[arg(required_unless_present = "jsonl", add = ArgValueCandidates::new(complete::tasks))]
    pub task: Option<String>,
    /// Positional arguments, each as JSON: 2 '"text"' '[1, 2]' null
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub arguments: Vec<String>,
    /// Keyword arguments as a JSON object: '{"path": "a.png"}'
    #[arg(long, value_name = "JSON")]
    pub kwargs: Option<String>,
    /// Queue of the job
    #[arg(long, default_value = "default", add = ArgValueCandidates::new(complete::queues))]
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
        /// At most so long
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
    },
    /// Cancel jobs; running ones are stopped
    Cancel(Jobs),
    /// Run waiting jobs now, or finished ones again as new jobs
    Retry(Jobs),
    /// Forget finished jobs
    Delete(Jobs),
}

/// Some jobs: those named, or those that a filter lets through.
#[derive(Args, Debug)]
pub struct Jobs {
    /// The jobs; without any, those that --state, --queue, --task and --tag say
    #[arg(value_name = "ID", required_unless_present_any = ["states", "queue", "task", "tags"],
          conflicts_with_all = ["states", "queue", "task", "tags"], add = ArgValueCandidates::new(complete::jobs))]
    pub ids: Vec<JobId>,
    /// Instead of ids: which jobs.
    #[command(flatten)]
    pub filter: JobFilter,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Which jobs.
#[derive(Args, Clone, Debug, Default)]
pub struct JobFilter {
    /// In this state; may be given more than once
    #[arg(long = "state", value_name = "STATE", add = ArgValueCandidates::new(complete::states))]
    pub states: Vec<JobState>,
    /// In this queue
    #[arg(long, add = ArgValueCandidates::new(complete::queues))]
    pub queue: Option<String>,
    /// Of this task
    #[arg(long, add = ArgValueCandidates::new(complete::tasks))]
    pub task: Option<String>,
    /// With this tag; may be given more than once
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
}

/// Lists jobs.
#[derive(Args, Debug)]
pub struct JobList {
    /// Which ones.
    #[command(flatten)]
    pub filter: JobFilter,
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
        #[arg(add = ArgValueCandidates::new(complete::queues))]
        queue: String,
    },
    /// Start jobs of a queue again
    Resume {
        /// Name of the queue
        #[arg(add = ArgValueCandidates::new(complete::queues))]
        queue: String,
    },
    /// Cancel all jobs of a queue that do not run
    Purge {
        /// Name of the queue
        #[arg(add = ArgValueCandidates::new(complete::queues))]
        queue: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub(crate) fn priority(text: &str) -> Result<u8, String> {
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
            assert_eq!((global.home.home().as_deref(), global.json), (Some("h"), true), "{line}");
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
        check_error("lineshaft worker app --processes 0", "accepted: a number from 1 to 1,024");
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
    fn jobs_to_change_are_named_or_filtered_and_never_all_by_accident() {
        check_error("lineshaft job cancel", "required arguments were not provided:\n  <ID>...");
        check_error(
            "lineshaft job cancel 0199b1c2-7a5e-7800-8000-000000000001 --queue mail",
            "cannot be used with",
        );
        assert!(parse("lineshaft job cancel --queue mail").is_ok());
    }

    #[test]
    fn flags_of_names_may_be_repeated() {
        let Command::Worker(worker) = parse("lineshaft worker app --queues a,b --queues c").unwrap().command
        else {
            panic!()
        };
        let queues =
            worker.flags.0.get(&lineshaft::config::QUEUES).and_then(lineshaft::config::Value::into_names);
        assert_eq!(queues.unwrap(), ["a", "b", "c"]);
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
