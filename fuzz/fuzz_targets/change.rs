//! See `lineshaft_fuzz::change`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lineshaft_fuzz::run("change", data));
