//! See `palisade_testkit::fuzz::packet_script`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| palisade_testkit::fuzz::packet_script(bytes));
