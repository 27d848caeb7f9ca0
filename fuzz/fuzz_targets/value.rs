//! See `lineshaft_fuzz::value`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lineshaft_fuzz::run("value", data));
