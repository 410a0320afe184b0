//! See `palisade_testkit::fuzz::capture_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| palisade_testkit::fuzz::capture_file(bytes));
