//! See `palisade_testkit::fuzz::packet_view`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| palisade_testkit::fuzz::packet_view(bytes));
