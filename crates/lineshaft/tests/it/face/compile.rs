//! Declarations that are refused, each with the compiler's exact words.

/// `TRYBUILD=overwrite cargo test -p lineshaft --test it compile` writes them anew.
#[test]
fn wrong_declarations_are_refused_where_they_are_wrong() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
