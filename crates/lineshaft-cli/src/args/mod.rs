//! What can be said on the command line.

mod bench;
mod cache;
mod enqueue;
mod job;
mod locks;
mod logs;
mod profile;
pub(crate) mod read;
mod schema;
mod store;
mod task;
mod torture;

use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;
use lineshaft_wire::code::Code;

use crate::complete;
use crate::flags::{HomeFlags, ServeFlags, WorkerFlags};
use read::duration;

pub use crate::colour::Colour;
pub use bench::{Bench, JsonTo};
pub use cache::{Cache, CacheVerb};
pub use enqueue::{Delivery, Enqueue, JobOptions, While};
pub use job::{Job, JobFilter, JobList, Jobs, Queue};
pub use locks::{Locks, LocksVerb};
pub use logs::Logs;
pub use profile::{Files, JobProfile, Kept, Profile, ProfileVerb};
pub use read::{Handler, Timeout, When};
pub use schema::Schema;
pub use store::{Backup, Doctor, Export, Restore, Store};
pub use task::Task;
pub use torture::Torture;

/// Longer lines are hard to read.
pub(crate) const HELP_COLUMNS: usize = 100;
/// Where help shows the options of every command: after the command's own.
pub(crate) const EVERYWHERE: &str = "Options of every command";

/// Durable background and parallel work.
#[derive(Debug, Parser)]
#[command(
    name = "lineshaft",
    bin_name = "lineshaft",
    version,
    arg_required_else_help = true,
    max_term_width = HELP_COLUMNS
)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 declined, 4 not authorised, 5 task failed, \
6 not found, 7 timeout, 8 unreachable. An error with a code has a page: lineshaft explain LS0007")]
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
    #[arg(
        long,
        global = true,
        action = ArgAction::SetTrue,
        value_parser = bench::standard_output(),
        help_heading = EVERYWHERE
    )]
    pub json: JsonTo,
    /// Print JSON, one line for each thing as it comes
    #[arg(long, global = true, conflicts_with = "json", help_heading = EVERYWHERE)]
    pub jsonl: bool,
    /// Colours
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = EVERYWHERE
    )]
    pub color: Colour,
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
    /// Show what attempts of tasks came to, and took
    #[command(subcommand)]
    Task(Task),
    /// Show what attempts logged, and look for it
    Logs(Logs),
    /// Show where the time of attempts went that were profiled, and what would help
    Profile(Profile),
    /// List the locks that are held or waited for, and break them
    Locks(Locks),
    /// Say how full the cache is, and make what is in it untrue
    Cache(Cache),
    /// Look at what tasks take and give, and what a change of that breaks
    #[command(subcommand)]
    Schema(Schema),
    /// Look after the files of a home
    #[command(subcommand)]
    Store(Store),
    /// Look at machine, home and server; says what to mend and how, fails with 1 for problems
    Doctor,
    /// Show settings and who set them
    #[command(subcommand)]
    Config(Config),
    /// Measure this machine: the engine's figures beside a probe of its disk
    Bench(Bench),
    /// Kill servers and workers at random for minutes, and check that no job was lost or run again
    Torture(Torture),
    /// Explain an error by its code, or what was chosen
    #[command(args_conflicts_with_subcommands = true)]
    Explain {
        /// The code, such as LS0007; without one, all of them are listed
        #[arg(value_parser = read::code, add = ArgValueCandidates::new(complete::codes))]
        code: Option<(Code, &'static str)>,
        /// Something else than an error
        #[command(subcommand)]
        what: Option<Explained>,
    },
    /// Print the script that teaches a shell to complete
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// What is explained besides errors.
#[derive(Debug, Subcommand)]
pub enum Explained {
    /// Which implementations of functions do the work, and why: what all processes of a home have learned
    Choice {
        /// Only of the function of this name, such as shop.orders.largest or its last parts
        function: Option<String>,
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
    /// How long a worker may be silent before its jobs are somebody else's; for `lineshaft torture`
    #[arg(long, hide = true, value_name = "DURATION", value_parser = duration)]
    pub lease: Option<Duration>,
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
            assert_eq!((global.home.home().as_deref(), global.json), (Some("h"), JsonTo::Output), "{line}");
        }
    }

    #[test]
    fn the_json_of_a_bench_goes_to_a_file_and_that_of_others_to_standard_output() {
        for (line, expected) in [
            ("lineshaft bench --json f.json enqueue", JsonTo::File("f.json".into())),
            ("lineshaft bench enqueue --json -", JsonTo::Output),
            ("lineshaft --json bench", JsonTo::Output),
            ("lineshaft bench", JsonTo::Nowhere),
            ("lineshaft status", JsonTo::Nowhere),
        ] {
            assert_eq!(parse(line).unwrap().global.json, expected, "{line}");
        }
        check_error("lineshaft bench --json", "a value is required for '--json <FILE>'");
    }

    #[test]
    fn mistakes_come_with_a_suggestion() {
        check_error("lineshaft statsu", "similar subcommand exists: 'status'");
        check_error("lineshaft job lst", "'list'");
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
            "did you mean completed? accepted: pending, scheduled, available",
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
