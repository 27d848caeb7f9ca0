//! Every input of `corpus/`: `seed-…` was made by the product and has to be taken, anything else was found by a fuzzer or
//! written against a fault and has to be dealt with. `seeds.rs` makes the former.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use lineshaft_fuzz::{TARGETS, Target};

/// Ways in which one input is changed, about.
const VARIANTS: usize = 64;

pub(crate) fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let directory = corpus(target);
    let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut inputs: Vec<(String, Vec<u8>)> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

fn check(target: &Target, name: &str, data: &[u8]) -> bool {
    catch_unwind(|| (target.check)(data)).unwrap_or_else(|_| {
        panic!("{}, {name}: see above; the input is {}", target.name, data.escape_ascii())
    })
}

#[test]
fn every_input_that_was_kept_is_dealt_with() {
    for target in &TARGETS {
        let inputs = inputs(target);
        assert!(inputs.iter().any(|(name, _)| name.starts_with("seed-")), "{} has no seed", target.name);
        for (name, data) in inputs {
            let is_taken = check(target, &name, &data);
            assert!(is_taken || !name.starts_with("seed-"), "{} does not take {name}", target.name);
        }
    }
}

#[test]
fn inputs_that_are_cut_or_changed_are_dealt_with() {
    for target in &TARGETS {
        let mut rng = Numbers(0x1234_5678_9abc_def1);
        for (name, data) in inputs(target) {
            check(target, &name, &[&data[..], &data].concat());
            for length in (0..data.len()).step_by(data.len().div_ceil(VARIANTS).max(1)) {
                check(target, &format!("{name} cut at {length}"), &data[..length]);
                let mut data = data.clone();
                let (place, value) = (rng.below(data.len()), rng.below(256) as u8);
                data[place] = value;
                check(target, &format!("{name} with {value} at {place}"), &data);
            }
        }
    }
}

/// The same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
