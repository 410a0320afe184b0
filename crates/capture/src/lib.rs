//! Capture files, packet scripts, the virtual clock, the trace record.

pub mod report;
pub mod script;
