//! See `lineshaft_fuzz::text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lineshaft_fuzz::run("text", data));
