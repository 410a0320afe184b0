//! See `palisade_testkit::fuzz::engine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| palisade_testkit::fuzz::engine(bytes));
