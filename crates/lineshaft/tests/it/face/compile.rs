//! Declarations that are refused, each with the compiler's exact words.

/// `TRYBUILD=overwrite cargo test -p lineshaft --features log --test it compile` writes them anew. Without logging, which has
/// a `Handler` too, the compiler gives that of tasks a shorter name.
#[cfg(feature = "log")]
#[test]
fn wrong_declarations_are_refused_where_they_are_wrong() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
