//! What can be said to `lineshaft bench`.

use std::path::PathBuf;

use clap::builder::{BoolValueParser, PathBufValueParser, TypedValueParser};
use clap::{Args, ValueHint};
use clap_complete::ArgValueCandidates;

use crate::complete;

/// Where a JSON document goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JsonTo {
    /// There is none.
    #[default]
    Nowhere,
    /// Standard output, in place of text.
    Output,
    /// A file, beside the text.
    File(PathBuf),
}

/// The flag that other commands have.
pub(super) fn standard_output() -> impl TypedValueParser<Value = JsonTo> {
    BoolValueParser::new().map(|given| if given { JsonTo::Output } else { JsonTo::Nowhere })
}

pub(super) fn file() -> impl TypedValueParser<Value = JsonTo> {
    PathBufValueParser::new()
        .map(|path| if path.as_os_str() == "-" { JsonTo::Output } else { JsonTo::File(path) })
}

fn jobs(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K', 'm', 'M']) {
        Some(digits) if text.ends_with(['k', 'K']) => (digits, 1_000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let count = digits.replace(['_', ','], "").parse::<u64>().ok().and_then(|count| count.checked_mul(unit));
    count
        .filter(|count| (1_000..=1_000_000_000_000).contains(count))
        .ok_or_else(|| "a number of jobs from 1,000 to 1,000,000M, such as 200M".to_owned())
}

/// Measures this machine.
#[derive(Args, Debug)]
pub struct Bench {
    /// Figures or groups of them; default: all but growth and soak
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::figures))]
    pub names: Vec<String>,
    /// Also write the figures to FILE: one flat JSON object; `-` prints it in place of the table
    #[arg(id = "json", long = "json", value_name = "FILE", value_parser = file(), value_hint = ValueHint::FilePath)]
    pub json: Option<JsonTo>,
    /// Write below DIR, on the disk to be measured; default: the current directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Fewer rounds and smaller numbers
    #[arg(long)]
    pub quick: bool,
    /// Jobs of the soak: a number, or one with k or M behind it; default: 200M
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<u64>,
    /// The interpreter for what is measured in Python
    #[arg(long, value_name = "FILE", value_hint = ValueHint::ExecutablePath)]
    pub python: Option<PathBuf>,
    /// Work in this process for a home, as one of the workers in Rust
    #[arg(long, hide = true, value_name = "HOME")]
    pub work_for: Option<PathBuf>,
}
