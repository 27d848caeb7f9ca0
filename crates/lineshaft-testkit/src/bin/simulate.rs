//! Runs seeds of the simulation: `cargo run --release -p lineshaft-testkit --bin simulate -- --seed 1 --seeds 2000`.
//!
//! Stops at the first promise that is broken, makes its run smaller, shows what happened and the command that repeats
//! it, and exits with 1.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use lineshaft_testkit::simulation::{Plan, Violation, run, run_traced, shrink};

const USAGE: &str = "usage: simulate --seed S [--seeds N] [--producers P] [--workers W] [--requests R] [--faults none|NUMBERS] [--as-found]

  --seed S       the seed to run
  --seeds N      N seeds from S on (1)
  --producers P, --workers W, --requests R, --faults 1,4
                 a part of the seed's run: what a violation prints
  --as-found     does not make the run of a violation smaller";

/// What the command line asks for.
struct Arguments {
    seed: u64,
    seeds: u64,
    producers: Option<u32>,
    workers: Option<u32>,
    requests: Option<u32>,
    faults: Option<Vec<u32>>,
    as_found: bool,
}

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            drop(writeln!(io::stderr(), "{problem}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    // A panic of the engine is a violation like others, and shown as one.
    std::panic::set_hook(Box::new(|_| {}));
    match simulate(&arguments, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

fn simulate(arguments: &Arguments, out: &mut impl Write) -> io::Result<bool> {
    let began = Instant::now();
    let (mut turns, mut starts, mut jobs) = (0, 0, 0);
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let plan = plan(arguments, seed);
        match run(&plan) {
            Ok(report) => {
                turns += report.turns;
                starts += report.starts;
                jobs += report.acknowledged;
            }
            Err(violation) => {
                writeln!(out, "seed {seed}: {}", violation.what)?;
                if !arguments.as_found {
                    show(&plan, violation, out)?;
                }
                return Ok(false);
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let a_minute = arguments.seeds as f64 / seconds * 60.0;
    writeln!(
        out,
        "seeds={} a_minute={a_minute:.0} jobs={jobs} turns={turns} starts={starts} violations=0",
        arguments.seeds
    )?;
    Ok(true)
}

/// Makes the run smaller and shows it.
fn show(plan: &Plan, violation: Violation, out: &mut impl Write) -> io::Result<()> {
    let (small, _) = shrink(plan, violation);
    match run_traced(&small) {
        Err(violation) => writeln!(out, "{violation}")?,
        Ok(_) => {
            writeln!(out, "a second run of the same plan breaks nothing: the simulation does not repeat")?;
        }
    }
    writeln!(
        out,
        "\nto repeat it:\n  cargo run --release -p lineshaft-testkit --bin simulate -- {}",
        small.arguments()
    )
}

fn plan(arguments: &Arguments, seed: u64) -> Plan {
    let whole = Plan::of(seed);
    Plan {
        seed,
        producers: arguments.producers.unwrap_or(whole.producers),
        workers: arguments.workers.unwrap_or(whole.workers),
        requests: arguments.requests.unwrap_or(whole.requests),
        faults: arguments.faults.clone().unwrap_or(whole.faults),
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut seed = None;
    let mut arguments = Arguments {
        seed: 0,
        seeds: 1,
        producers: None,
        workers: None,
        requests: None,
        faults: None,
        as_found: false,
    };
    while let Some(word) = words.next() {
        if word == "--as-found" {
            arguments.as_found = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let wrong = |_| format!("{word} {value}: not a number");
        match word.as_str() {
            "--seed" => seed = Some(value.parse().map_err(wrong)?),
            "--seeds" => arguments.seeds = value.parse().map_err(wrong)?,
            "--producers" => arguments.producers = Some(value.parse().map_err(wrong)?),
            "--workers" => arguments.workers = Some(value.parse().map_err(wrong)?),
            "--requests" => arguments.requests = Some(value.parse().map_err(wrong)?),
            "--faults" if value == "none" => arguments.faults = Some(Vec::new()),
            "--faults" => {
                let numbers: Result<Vec<u32>, _> = value.split(',').map(str::parse).collect();
                arguments.faults = Some(numbers.map_err(wrong)?);
            }
            _ => return Err(format!("{word} is not an option")),
        }
    }
    arguments.seed = seed.ok_or("--seed is missing")?;
    Ok(arguments)
}
