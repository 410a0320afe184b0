//! Capture files, packet scripts, the virtual clock, the trace record.

pub mod pcap;
pub mod report;
pub mod script;
