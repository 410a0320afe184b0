//! See `palisade_testkit::fuzz::rule_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| palisade_testkit::fuzz::rule_text(bytes));
