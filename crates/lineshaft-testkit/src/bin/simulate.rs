//! Runs seeds of the simulation: `cargo run --release -p lineshaft-testkit --bin simulate -- --seed 1 --seeds 2000`.
//!
//! Stops at the first promise that is broken, makes its run smaller, shows what happened and the command that repeats
//! it, and exits with 1.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use lineshaft_testkit::simulation::{Plan, Violation, run, run_traced, shrink};

const USAGE: &str = "usage: simulate --seed S [--seeds N] [--producers P] [--workers W] [--requests R] [--faults none|NUMBERS] [--power-cut OPERATION] [--each-operation] [--as-found]

  --seed S       the seed to run
  --seeds N      N seeds from S on (1)
  --producers P, --workers W, --requests R, --faults 1,4
                 a part of the seed's run: what a violation prints
  --power-cut N  the machine dies at the N-th operation of its disk
  --each-operation
                 a short run of each seed, with a power cut at every operation of the disk in turn
  --as-found     does not make the run of a violation smaller";

/// What the command line asks for.
#[derive(Default)]
struct Arguments {
    seed: u64,
    seeds: u64,
    producers: Option<u32>,
    workers: Option<u32>,
    requests: Option<u32>,
    faults: Option<Vec<u32>>,
    power_cut: Option<u64>,
    each_operation: bool,
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
    let mut sum = Sum::default();
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let is_kept = if arguments.each_operation {
            each_operation(seed, &mut sum, arguments, out)?
        } else {
            one(&plan(arguments, seed), &mut sum, arguments, out)?
        };
        if !is_kept {
            return Ok(false);
        }
    }
    let Sum { runs, jobs, turns, starts, history } = sum;
    let a_minute = runs as f64 / began.elapsed().as_secs_f64() * 60.0;
    writeln!(
        out,
        "runs={runs} a_minute={a_minute:.0} jobs={jobs} turns={turns} starts={starts} history={history:016x} violations=0"
    )?;
    Ok(true)
}

/// What all runs came to.
#[derive(Default)]
struct Sum {
    runs: u64,
    jobs: u64,
    turns: u64,
    starts: u64,
    /// Two builds that give the same one for the same seeds ran the same histories.
    history: u64,
}

/// Runs a plan; says whether every promise was kept.
fn one(plan: &Plan, sum: &mut Sum, arguments: &Arguments, out: &mut impl Write) -> io::Result<bool> {
    match run(plan) {
        Ok(report) => {
            sum.runs += 1;
            sum.jobs += report.acknowledged;
            sum.turns += report.turns;
            sum.starts += report.starts;
            sum.history = sum.history.rotate_left(1) ^ report.history;
            Ok(true)
        }
        Err(violation) => {
            writeln!(out, "seed {}: {}", plan.seed, violation.what)?;
            if !arguments.as_found {
                show(plan, violation, out)?;
            }
            Ok(false)
        }
    }
}

/// A short run, and then the same with a power cut at each operation of the disk.
fn each_operation(seed: u64, sum: &mut Sum, arguments: &Arguments, out: &mut impl Write) -> io::Result<bool> {
    let short = Plan::short(seed);
    let operations = run(&short).map_or(0, |report| report.operations);
    for power_cut in std::iter::once(None).chain((1..=operations).map(Some)) {
        if !one(&Plan { power_cut, ..short.clone() }, sum, arguments, out)? {
            return Ok(false);
        }
    }
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
        power_cut: arguments.power_cut,
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut seed = None;
    let mut arguments = Arguments { seeds: 1, ..Arguments::default() };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--as-found" => arguments.as_found = true,
            "--each-operation" => arguments.each_operation = true,
            _ => option(&word, words.next(), &mut seed, &mut arguments)?,
        }
    }
    arguments.seed = seed.ok_or("--seed is missing")?;
    Ok(arguments)
}

fn option(
    word: &str,
    value: Option<String>,
    seed: &mut Option<u64>,
    arguments: &mut Arguments,
) -> Result<(), String> {
    let value = value.ok_or_else(|| format!("{word} needs a value"))?;
    let wrong = |_| format!("{word} {value}: not a number");
    match word {
        "--seed" => *seed = Some(value.parse().map_err(wrong)?),
        "--seeds" => arguments.seeds = value.parse().map_err(wrong)?,
        "--producers" => arguments.producers = Some(value.parse().map_err(wrong)?),
        "--workers" => arguments.workers = Some(value.parse().map_err(wrong)?),
        "--requests" => arguments.requests = Some(value.parse().map_err(wrong)?),
        "--power-cut" => arguments.power_cut = Some(value.parse().map_err(wrong)?),
        "--faults" if value == "none" => arguments.faults = Some(Vec::new()),
        "--faults" => {
            let numbers: Result<Vec<u32>, _> = value.split(',').map(str::parse).collect();
            arguments.faults = Some(numbers.map_err(wrong)?);
        }
        _ => return Err(format!("{word} is not an option")),
    }
    Ok(())
}
