//! Connection tracking as Linux netfilter does it: tuples, the table, protocol
//! trackers, expectations, helpers, timeouts, limits.
//!
//! Pure: no clock, no randomness, no I/O. Time is an argument of every call.

pub mod config;
pub mod connection;
pub mod defrag;
pub mod helper;
pub mod reason;
pub mod table;
pub mod tuple;

pub use config::Config;
pub use connection::{ConnId, Connection, Status};
pub use reason::Reason;
pub use table::{Conntrack, DropReason, Leave, Template, Track, TrackHook};
pub use tuple::{Direction, Tuple, TupleProto, Zone};

/// The state that `--ctstate` sees (kernel `enum ip_conntrack_info` without its direction).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum State {
    /// First packet of a connection, or a further one before any reply.
    New,
    /// Packet of a connection that has seen packets in both directions.
    Established,
    /// First packets of an expected connection, or an ICMP error about a known one.
    Related,
    /// Belongs to no connection and may not start one.
    Invalid,
    /// Exempted by NOTRACK / `-j CT --notrack`, or a type the kernel never tracks.
    Untracked,
}
