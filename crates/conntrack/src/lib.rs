//! Connection tracking as Linux netfilter does it: tuples, the table, protocol
//! trackers, expectations, helpers, reassembly, timeouts, limits.
//!
//! Pure: no clock, no randomness, no I/O. Time is an argument of every call, the hash
//! seed is configuration.
//!
//! ```
//! use palisade_conntrack::{Config, Conntrack, State, TrackHook};
//! use palisade_wire::{Buffer, Packet, Timestamp, build, tcp::flags};
//!
//! let mut table = Conntrack::new(Config::default());
//! let client = build::Ip::new("203.0.113.9".parse().unwrap(), "192.0.2.1".parse().unwrap());
//! let server = build::Ip::new("192.0.2.1".parse().unwrap(), "203.0.113.9".parse().unwrap());
//! let syn = build::tcp(&client, &build::Tcp { source_port: 40000, destination_port: 22,
//!     seq: 100, flags: flags::SYN, window: 64240, ..Default::default() }, b"");
//! let syn_ack = build::tcp(&server, &build::Tcp { source_port: 22, destination_port: 40000,
//!     seq: 900, ack: 101, flags: flags::SYN | flags::ACK, window: 65160, ..Default::default() }, b"");
//! let mut states = Vec::new();
//! for (n, bytes) in [syn, syn_ack].iter().enumerate() {
//!     let packet = Packet::parse(bytes).unwrap();
//!     let now = Timestamp::new(n as u64, 0);
//!     let mut track = table.track(&packet, TrackHook::Prerouting, None, now);
//!     states.push(track.state);
//!     table.leave(&mut Buffer::new(packet, Vec::new()), &mut track, &(), now);
//!     table.discard(&track);
//! }
//! assert_eq!(states, [State::New, State::Established]);
//! ```

// What threads share is compiled once more for its models.
#![cfg_attr(test, allow(clippy::duplicate_mod))]

pub mod config;
mod confirm;
pub mod connection;
pub mod defrag;
mod entries;
mod entry;
pub mod events;
pub mod expect;
mod extract;
mod flow;
pub mod follow;
pub mod hash;
pub mod helper;
mod index;
pub mod jhash;
mod leave;
pub mod manual;
#[cfg(test)]
mod modelled;
pub mod nat;
mod next;
pub mod parted;
pub mod policy;
pub mod print;
pub mod proto;
pub mod reason;
mod slab;
pub mod snapshot;
pub mod table;
pub mod tool;
mod track;
pub mod tuple;

pub use config::{Config, ConfigError};
pub use connection::{ConnId, Connection, ProtoState, Status};
pub use entry::Entry;
pub use expect::Expectation;
pub use follow::{Flow, Followed, Known, Strayed};
pub use policy::{PolicyError, TimeoutPolicy};
pub use proto::tcp::{TcpConnection, TcpState, TcpStep};
pub use reason::{DropReason, Reason};
pub use table::{Conntrack, Stats};
pub use track::{Announced, Leave, Template, Track, TrackHook, ZoneSpec};
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

impl State {
    /// The word that iptables uses.
    pub fn name(self) -> &'static str {
        match self {
            State::New => "NEW",
            State::Established => "ESTABLISHED",
            State::Related => "RELATED",
            State::Invalid => "INVALID",
            State::Untracked => "UNTRACKED",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
