//! See `lineshaft_fuzz::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lineshaft_fuzz::run("message", data));
