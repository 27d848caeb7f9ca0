//! See `lineshaft_fuzz::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lineshaft_fuzz::run("snapshot", data));
