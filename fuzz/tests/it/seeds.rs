//! What the corpora begin with: bytes that the product made.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lineshaft_engine::recover;
use lineshaft_fuzz::{TARGETS, forged_logs_seed, forged_seed, unpack};
use lineshaft_jobs::{Limits, encode_rules};
use lineshaft_store::{Error, Home, Journal, Options, SegmentJournal};
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::message::{OnFailure, Rules};
use serde_json::Value;

use crate::corpora::corpus;

const CRATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates");

/// Writes the seeds anew, beside what was found.
#[test]
#[ignore = "writes files of the source"]
fn make() {
    for target in &TARGETS {
        let directory = corpus(target);
        fs::create_dir_all(&directory).unwrap();
        for file in fs::read_dir(&directory).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("seed-") {
                fs::remove_file(path).unwrap();
            }
        }
        for (name, bytes) in seeds(target.name) {
            fs::write(directory.join(format!("seed-{name}")), bytes).unwrap();
        }
    }
}

type Seeds = Vec<(String, Vec<u8>)>;

fn seeds(target: &str) -> Seeds {
    match target {
        "frame" => frames(),
        "message" => messages(),
        "value" => values(),
        "change" => homes(|disk| bodies(disk).concat()),
        "snapshot" => homes(snapshot),
        "rules" => rules(),
        "journal" => named(&[("untouched", &[0]), ("resealed", &[1])]),
        "block" => vec![("untouched".into(), vec![0]), ("forged".into(), forged_seed())],
        "logs" => vec![("untouched".into(), vec![0]), ("forged".into(), forged_logs_seed())],
        "cursor" => named(&[
            ("unfinished", b"\x05\xffu0"),
            ("some", b"\x01\x03u2"),
            ("finished", b"\x02\xfff18446744073709551615"),
            ("archived", b"\x64\x05f2"),
        ]),
        "text" => named(&[
            ("duration", b"1h30m"),
            ("seconds", b"0.25"),
            ("size", b"512MiB"),
            ("path", b"~/jobs"),
            ("file", b"file:///var/my%20jobs"),
            ("id", b"0199b1c2-7a5e-7800-8000-000000000001"),
            ("names", b"default, mail"),
            ("address", b"127.0.0.1:7070x"),
            ("state", b"retryable"),
        ]),
        "config" => configurations(),
        other => panic!("{other} has no seeds"),
    }
}

fn named(seeds: &[(&str, &[u8])]) -> Seeds {
    seeds.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

fn vectors(path: &str) -> Vec<Value> {
    serde_json::from_slice(&fs::read(Path::new(CRATES).join(path)).unwrap()).unwrap()
}

fn from_hex(digits: &Value) -> Vec<u8> {
    let digits = digits.as_str().unwrap().as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A short stream with each kind of frame that is small.
fn frames() -> Seeds {
    let frames = vectors("lineshaft-wire/tests/it/messages.json");
    let frames = frames.iter().map(|vector| from_hex(&vector["frame"])).filter(|frame| frame.len() < 150);
    vec![("stream".into(), frames.collect::<Vec<_>>().concat())]
}

/// The first vector of each type.
fn messages() -> Seeds {
    let mut seen = BTreeSet::new();
    let vectors = vectors("lineshaft-wire/tests/it/messages.json");
    let first = vectors.iter().filter(|vector| seen.insert(vector["type"].as_u64().unwrap()));
    let seed = |vector: &Value| {
        let (kind, frame) = (vector["type"].as_u64().unwrap() as u8, from_hex(&vector["frame"]));
        let length = u32::from_le_bytes(frame[16..20].try_into().unwrap()) as usize;
        (format!("{kind:02}"), [&[kind], &frame[20..20 + length]].concat())
    };
    first.map(seed).collect()
}

/// The first vector of each beginning: format, type, and extension type where it is one.
fn values() -> Seeds {
    let mut seen = BTreeSet::new();
    let payloads = vectors("lineshaft-wire/tests/it/vectors.json");
    let payloads =
        payloads.iter().map(|vector| from_hex(&vector["hex"])).filter(|payload| payload.len() < 2_000);
    let kind = |payload: &[u8]| {
        (payload[0], payload.get(1).copied(), payload.get(3).copied().filter(|_| payload[1] == 0xc7))
    };
    let first = payloads.filter(|payload| seen.insert(kind(payload)));
    first.enumerate().map(|(number, payload)| (format!("{number:02}"), payload)).collect()
}

fn homes(seed: impl Fn(&SimulatedDisk) -> Vec<u8>) -> Seeds {
    let golden = Path::new(CRATES).join("lineshaft-engine/tests/golden");
    ["1-first", "2-pages"]
        .map(|name| {
            let disk = SimulatedDisk::new();
            unpack(&fs::read(golden.join(format!("{name}.home"))).unwrap(), &disk);
            (name.to_owned(), seed(&disk))
        })
        .into()
}

fn open(disk: &SimulatedDisk) -> (SegmentJournal<SimulatedDisk>, lineshaft_store::Recovery) {
    let options = Options { background: false, ..Options::default() };
    SegmentJournal::open(&Home::open(disk.clone()).unwrap(), options).unwrap()
}

/// The commits of a home, but for large ones.
fn bodies(disk: &SimulatedDisk) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let (mut journal, recovery) = open(disk);
    let after = recovery.oldest_lsn.saturating_sub(1);
    journal
        .replay(after, |_, body| {
            bodies.push(body.to_vec());
            Ok::<_, Error>(())
        })
        .unwrap();
    bodies.retain(|body| body.len() < 2_000);
    bodies
}

/// The state that a home holds.
fn snapshot(disk: &SimulatedDisk) -> Vec<u8> {
    let (mut journal, recovery) = open(disk);
    let snapshot = recover(&mut journal, &recovery, Limits::default()).unwrap().state.snapshot();
    let mut bytes = Vec::new();
    let mut part = |part: &[u8]| {
        bytes.extend((part.len() as u32).to_le_bytes());
        bytes.extend(part);
    };
    part(&snapshot.tables);
    snapshot.pages.iter().for_each(|(number, page)| part(&[&number.to_le_bytes(), &page[..]].concat()));
    bytes
}

fn rules() -> Seeds {
    let handler = OnFailure {
        task: "shop.apologise".into(),
        queue: "mail".into(),
        priority: 3,
        expires_ms: Some(5),
        deadline_ms: None,
        tags: vec!["red".into()],
        rules: Rules { retry_on: vec!["builtins.OSError".into()], ..Rules::default() }.into(),
        version: 2,
    };
    let handled = Rules { on_failure: Some(handler.into()), ..Rules::default() };
    vec![("plain".into(), encode_rules(&Rules::default())), ("handled".into(), encode_rules(&handled))]
}

fn configurations() -> Seeds {
    let ours = "\0url = \"jobs\"\nprocesses = 2\ngrace = 1.5\nqueues = [\"a\", \"b\"]\nhistory_bytes = \"10GiB\"\n\
                [tasks.\"mail.send\"]\ntimeout = \"2m\"\nretries = 3\n";
    let shared = "\x01[project]\nname = \"x\"\n[tool.lineshaft]\ngrace = \"30s\"\n[tool.lineshaft.tasks.send]\ntags = [\"a\"]\n";
    named(&[("ours", ours.as_bytes()), ("shared", shared.as_bytes())])
}
