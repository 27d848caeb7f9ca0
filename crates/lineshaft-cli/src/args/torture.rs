//! What can be said to `lineshaft torture`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueHint};
use lineshaft_bench::torture::Victim;

use super::bench::{JsonTo, file};

/// Kills at random.
#[derive(Args, Debug)]
pub struct Torture {
    /// For how long; the ends of the last jobs are waited for afterwards
    #[arg(long, value_name = "M", default_value = "1", value_parser = minutes)]
    pub minutes: Duration,
    /// Who is killed when: a number, which a run says at its beginning; default: another one each time
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// What is killed: a child of a worker, a worker, a client, the server, or server and workers at once
    #[arg(
        long,
        value_name = "WHAT",
        value_delimiter = ',',
        default_value = "child,worker,client,server,group",
        value_parser = victim()
    )]
    pub kill: Vec<Victim>,
    /// Also write what it came to to FILE: one JSON object; `-` prints it in place of the text
    #[arg(id = "json", long = "json", value_name = "FILE", value_parser = file(), value_hint = ValueHint::FilePath)]
    pub json: Option<JsonTo>,
    /// Write below DIR; default: the current directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// In a mount namespace of its own
    #[arg(long, hide = true)]
    pub mounts: bool,
    /// Be a worker of a home that is tortured
    #[arg(long, hide = true, value_name = "HOME")]
    pub work_for: Option<PathBuf>,
    /// Be a child of such a worker
    #[arg(long, hide = true, value_name = "HOME")]
    pub child_of: Option<PathBuf>,
    /// Be a client of such a home
    #[arg(long, hide = true, value_name = "HOME", requires = "client")]
    pub client_of: Option<PathBuf>,
    /// Its number
    #[arg(long, hide = true, value_name = "N")]
    pub client: Option<u32>,
}

fn victim() -> impl TypedValueParser<Value = Victim> {
    PossibleValuesParser::new(Victim::ALL.map(Victim::as_str))
        .map(|word| Victim::ALL.into_iter().find(|it| it.as_str() == word).unwrap_or(Victim::Child))
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes = text.parse::<f64>().ok().filter(|minutes| (0.05..=10_080.0).contains(minutes));
    minutes
        .map(|minutes| Duration::from_secs_f64(minutes * 60.0))
        .ok_or_else(|| "accepted: a number of minutes from 0.05 to 10,080, which is a week".to_owned())
}
