//! The targets of the fuzzer with inputs that are kept, in every run of the tests.

mod corpora;
mod seeds;
