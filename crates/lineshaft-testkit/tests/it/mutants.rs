//! Mutants are changes of text, so each must still fit the text.

use std::fs;
use std::path::Path;

use lineshaft_testkit::mutants::MUTANTS;

#[test]
fn every_mutant_fits_the_source() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for mutant in MUTANTS {
        let text = fs::read_to_string(workspace.join(mutant.file)).expect("its file is there");
        assert_eq!(
            text.matches(mutant.original).count(),
            1,
            "{}: the rule `{}` is not in {} any more as it was: see crates/lineshaft-testkit/src/mutants.rs",
            mutant.name,
            mutant.rule,
            mutant.file
        );
    }
}
