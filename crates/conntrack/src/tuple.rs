//! Tuples: one direction of a connection, as a value that can be inverted.

use std::net::IpAddr;

use palisade_wire::Family;

/// Direction of a packet relative to the packet that created the connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Direction {
    /// As the first packet.
    Original = 0,
    /// Against it.
    Reply = 1,
}

/// A conntrack zone id (0 is the default zone).
pub type Zone = u16;

/// The protocol's part of a tuple.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TupleProto {
    /// TCP, UDP, SCTP, DCCP, UDP-Lite: ports.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP and ICMPv6 queries.
    Icmp {
        /// Identifier.
        id: u16,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// GRE keys (call ids of PPTP; 0 otherwise).
    Gre {
        /// Source key.
        source: u16,
        /// Destination key.
        destination: u16,
    },
    /// Protocols without a tracker of their own: addresses only.
    Generic,
}

/// One direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// The protocol's part.
    pub proto: TupleProto,
}

impl Tuple {
    /// Address family.
    pub fn family(&self) -> Family {
        match self.source {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}
