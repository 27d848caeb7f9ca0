//! Mutants are changes of text, so each must still fit the text.

use std::fs;
use std::path::Path;

use lineshaft_testkit::mutants::{all, files, modelled, switched};

#[test]
fn every_mutant_fits_the_source() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in files() {
        let text = fs::read_to_string(workspace.join(file)).expect("its file is there");
        let switched = switched(file, &text).unwrap_or_else(|problem| panic!("{problem}"));
        assert_ne!(switched, text);
    }
}

#[test]
fn every_mutant_has_a_name_of_its_own() {
    let models = modelled().map(|(_, modelled)| modelled.mutant.name);
    let mut names: Vec<_> = all().map(|(_, mutant)| mutant.name).chain(models).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}
