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

fn file() -> impl TypedValueParser<Value = JsonTo> {
    PathBufValueParser::new()
        .map(|path| if path.as_os_str() == "-" { JsonTo::Output } else { JsonTo::File(path) })
}

/// Measures this machine.
#[derive(Args, Debug)]
pub struct Bench {
    /// Figures or groups of them; default: all but growth_ratio
    #[expect(clippy::doc_markdown, reason = "shown as help, where backticks are noise")]
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
    /// The interpreter for what is measured in Python
    #[arg(long, value_name = "FILE", value_hint = ValueHint::ExecutablePath)]
    pub python: Option<PathBuf>,
    /// Work in this process for a home, as one of the workers in Rust
    #[arg(long, hide = true, value_name = "HOME")]
    pub work_for: Option<PathBuf>,
}
