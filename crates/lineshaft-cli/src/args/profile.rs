//! Where the time of attempts went.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::ArgValueCandidates;
use lineshaft_wire::JobId;
use lineshaft_wire::message::PROFILE_NEXT_MAX;

use super::read::{When, when};
use crate::complete;

/// Shows where the time of attempts of a task went that were profiled, all of them together.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Profile {
    /// What else to do.
    #[command(subcommand)]
    pub verb: Option<ProfileVerb>,
    /// The task
    #[arg(required = true, add = ArgValueCandidates::new(complete::tasks))]
    pub task: Option<String>,
    /// Only those whose code was of this version: 2 or v2
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub version: Option<u32>,
    /// Instead of showing any, profile the next attempts of it, within an hour
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=i64::from(PROFILE_NEXT_MAX)),
          conflicts_with_all = ["version", "since", "until", "limit", "flame", "speedscope", "pprof"])]
    pub next: Option<u32>,
    /// With --next: find the lines that keep memory, too, which makes these attempts several times slower
    #[arg(long, requires = "next")]
    pub memory: bool,
    /// With --next: see functions of machine code, too, below the lines that call them
    #[arg(long, requires = "next")]
    pub native: bool,
    /// Which of them.
    #[command(flatten)]
    pub kept: Kept,
    /// Files for it.
    #[command(flatten)]
    pub files: Files,
}

/// Which profiles.
#[derive(Args, Clone, Debug, Default)]
pub struct Kept {
    /// That ended at this time or later: so long ago (1h), or a time (2026-01-31T08:00Z)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub since: Option<When>,
    /// That ended before this time
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub until: Option<When>,
    /// At most so many, the newest of them
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// In which form a profile is written besides.
#[derive(Args, Clone, Debug, Default)]
pub struct Files {
    /// Write a flame graph: a picture or a page, by its name
    #[arg(long, value_name = "FILE.svg|FILE.html", value_hint = ValueHint::FilePath, value_parser = flame)]
    pub flame: Option<PathBuf>,
    /// Write a file for speedscope, which shows it in a browser
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub speedscope: Option<PathBuf>,
    /// Write a file for pprof
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub pprof: Option<PathBuf>,
}

/// What to do with profiles.
#[derive(Debug, Subcommand)]
pub enum ProfileVerb {
    /// Show which functions take another part of the time in one version of a task than in another
    Diff {
        /// The task
        #[arg(add = ArgValueCandidates::new(complete::tasks))]
        task: String,
        /// The version before: 2 or v2
        #[arg(value_parser = version)]
        before: u32,
        /// The version after it
        #[arg(value_parser = version)]
        after: u32,
        /// Which of them.
        #[command(flatten)]
        kept: Kept,
    },
}

/// The profile of one job.
#[derive(Args, Debug)]
pub struct JobProfile {
    /// The job
    #[arg(add = ArgValueCandidates::new(complete::jobs))]
    pub id: JobId,
    /// Only this attempt
    #[arg(long, value_name = "NUMBER")]
    pub attempt: Option<u32>,
    /// Files for it.
    #[command(flatten)]
    pub files: Files,
}

fn version(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix('v').unwrap_or(text).parse();
    number.ok().filter(|number| *number > 0).ok_or_else(|| "accepted: a version such as 2 or v2".to_owned())
}

fn flame(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_known = path.extension().is_some_and(|suffix| suffix == "svg" || suffix == "html");
    if is_known { Ok(path) } else { Err("accepted: a name that ends with .svg or .html".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_with_or_without_their_letter() {
        assert_eq!((version("2"), version("v30")), (Ok(2), Ok(30)));
        for text in ["", "v", "0", "-1", "two"] {
            assert!(version(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_flame_graph_is_a_picture_or_a_page() {
        assert!(flame("out.svg").is_ok() && flame("a/b.html").is_ok());
        assert!(flame("out.png").is_err() && flame("svg").is_err());
    }
}
