//! See `palisade_testkit::fuzz::helper_payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| palisade_testkit::fuzz::helper_payload(bytes));
