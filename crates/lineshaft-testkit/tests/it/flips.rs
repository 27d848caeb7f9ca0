//! A byte of a small home changes, each in turn: a start refuses it, or says what was cut, or whatever is asked for is
//! as it was or refused by name. Never is anything else told than before.
//!
//! Each run of the tests takes every [`STEP`]-th byte. Every single one, with each of eight changes:
//! `LINESHAFT_EVERY_BYTE=1 cargo test --release -p lineshaft-testkit --test it flips`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::{JobId, JobRecord};

use crate::house::{House, Told, build};

const STEP: usize = 251;
/// What is unwritten or was cleared is left out if it is farther than this from anything else.
const NEAR: usize = 64;

type Truth = BTreeMap<JobId, Told>;

/// How a change was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    Refused,
    Cut,
    Named,
    Harmless,
}

#[test]
fn a_changed_byte_anywhere_in_a_home_is_never_answered_with_something_else() {
    let (disk, jobs) = build();
    let truth = tell(&disk, &jobs).expect("the home is well").1;
    check_truth(&truth);
    let every = std::env::var_os("LINESHAFT_EVERY_BYTE").is_some();
    let (step, masks) =
        if every { (1, (0..8).map(|bit| 1_u8 << bit).collect()) } else { (STEP, vec![0xff_u8]) };
    let (mut met, mut wrong) = (BTreeMap::<(String, Met), u64>::new(), Vec::new());
    for (path, offset) in written(&disk).into_iter().step_by(step) {
        for mask in &masks {
            let damaged = disk.restart();
            damaged.flip(&path, offset as u64, *mask);
            match judge(&damaged, &jobs, &truth) {
                Ok(how) => *met.entry((directory(&path), how)).or_default() += 1,
                Err(what) => wrong.push(format!("{path} at {offset}, bits {mask:#04x}: {what}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    let kinds: BTreeSet<Met> = met.keys().map(|(_, how)| *how).collect();
    assert!(kinds.len() >= 3, "they do not all come to the same: {met:?}");
    if every {
        writeln!(std::io::stderr(), "{met:#?}").expect("standard error is open");
    }
}

/// The home has what there is to lose.
fn check_truth(truth: &Truth) {
    let count = |has: fn(&Told) -> bool| truth.values().filter(|told| has(told)).count();
    assert!(
        truth.values().all(|told| told.record.is_ok() && told.arguments.is_ok() && told.listed.is_some())
    );
    assert!(count(|told| told.result.is_ok()) > 10, "results");
    let has_error =
        |told: &Told| attempts(told).any(|attempt| attempt.error.is_some() && !attempt.output.is_empty());
    assert!(count(has_error) > 3, "errors and outputs");
    assert!(
        count(|told| told.leased.as_ref().is_some_and(|payloads| payloads.len() == 1)) > 0,
        "available jobs"
    );
}

fn attempts(told: &Told) -> impl Iterator<Item = &lineshaft_wire::AttemptRecord> {
    told.record.iter().flat_map(|record| &record.attempts)
}

/// Where something was written: files, offsets.
fn written(disk: &SimulatedDisk) -> Vec<(String, usize)> {
    let mut places = Vec::new();
    for path in disk.files() {
        let content = disk.content(&path);
        let mut near = vec![false; content.len()];
        for (at, _) in content.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            let end = content.len().min(at + NEAR);
            near[at.saturating_sub(NEAR)..end].fill(true);
        }
        places.extend((0..content.len()).filter(|at| near[*at]).map(|at| (path.clone(), at)));
    }
    places
}

fn directory(path: &str) -> String {
    path.split('/').next().unwrap_or_default().to_owned()
}

/// What a start says, and then everything else.
fn tell(disk: &SimulatedDisk, jobs: &[JobId]) -> Result<(bool, Truth), lineshaft_engine::Error> {
    let (mut house, opened) = House::open(disk.restart())?;
    Ok((opened.cut.is_some(), house.tell(jobs)?))
}

/// How it is met, or what is wrong.
fn judge(disk: &SimulatedDisk, jobs: &[JobId], truth: &Truth) -> Result<Met, String> {
    let Ok((is_cut, told)) = tell(disk, jobs) else { return Ok(Met::Refused) };
    if told == *truth {
        // Of a home that was stopped in order only a seal may be cut, which nobody waited for.
        return Ok(if is_cut { Met::Cut } else { Met::Harmless });
    }
    for (job, told) in &told {
        same(told, &truth[job]).map_err(|what| format!("{job}: {what}: {told:?}, not {:?}", truth[job]))?;
    }
    Ok(Met::Named)
}

/// Everything is as it was, or refused, or said to be lost.
fn same(told: &Told, truth: &Told) -> Result<(), &'static str> {
    let is_gone = |text: &str| text.contains("no job");
    if told.record.as_ref().is_err_and(|text| is_gone(text)) {
        return Err("it is gone, and nobody said so");
    }
    if let (Ok(record), Ok(known)) = (&told.record, &truth.record)
        && !is_same(record, known)
    {
        return Err("its record differs");
    }
    if told.arguments.is_ok() && told.arguments != truth.arguments {
        return Err("its arguments differ");
    }
    if told.result.is_ok() && told.result != truth.result {
        return Err("its result differs");
    }
    if let (Ok(end), Ok(known)) = (&told.end, &truth.end)
        && end != known
        && !is_named(end)
    {
        return Err("another end is told");
    }
    if let (Some(record), Some(known)) = (&told.listed, &truth.listed)
        && !is_same(record, known)
    {
        return Err("it is listed otherwise");
    }
    let leases = told.leased.iter().zip(&truth.leased).flat_map(|(told, truth)| told.iter().zip(truth));
    for (payload, known) in leases {
        if payload.is_ok() && payload != known {
            return Err("a worker gets something else");
        }
    }
    Ok(())
}

/// Whether two records say the same but for what one says to be lost.
fn is_same(record: &JobRecord, known: &JobRecord) -> bool {
    let mut record = record.clone();
    for (attempt, known) in record.attempts.iter_mut().zip(&known.attempts) {
        if attempt.error.as_ref().is_some_and(|error| error.message.contains(" is lost: ")) {
            attempt.error.clone_from(&known.error);
        }
        if attempt.output.starts_with(b"[the output of this attempt is lost]") {
            attempt.output.clone_from(&known.output);
        }
    }
    record == *known
}

/// Whether an end says that something of it is lost.
fn is_named(end: &str) -> bool {
    let expired = format!(", {})", u64::MAX);
    end.contains(&expired) || end.contains(" is lost: ") || end.contains("Refused(")
}
