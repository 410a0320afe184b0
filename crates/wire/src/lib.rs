//! Checked views over packets, builders and checksums.
//!
//! Two layers, as in smoltcp: a *view* checks once that its fixed fields are
//! present and judges nothing else (a filter must see nonsense to match it, to
//! log it and to call it INVALID); a *builder* in [`build`] makes well-formed
//! packets for replies, scripts and tests.
//!
//! Nothing here does I/O, allocates on the parse path or panics on input.

pub mod buffer;
pub mod build;
pub mod checksum;
pub mod complete;
pub mod gre;
pub mod icmp;
pub mod ip;
pub mod link;
pub mod plain;
pub mod sctp;
pub mod seq;
pub mod tcp;
pub mod time;
pub mod translate;
pub mod udp;

pub use buffer::Buffer;
pub use ip::{Family, Fragment, IpError, Packet, proto};
pub use plain::Plain;
pub use seq::SeqNumber;
pub use time::Timestamp;
