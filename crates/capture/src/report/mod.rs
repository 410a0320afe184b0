//! The trace: what is told of each packet, and the sums at the end. Plain data; rendering is the
//! command line's.

mod explain;
mod record;
mod summary;

pub use explain::{Explanation, Step};
pub use record::{Matched, MatchedRule, TraceRecord, Transport};
pub use summary::{Idle, Summary};
