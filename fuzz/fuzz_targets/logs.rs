//! See `lineshaft_fuzz::logs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lineshaft_fuzz::run("logs", data));
