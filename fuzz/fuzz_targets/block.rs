//! See `lineshaft_fuzz::block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lineshaft_fuzz::run("block", data));
