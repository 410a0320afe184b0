//! A packet as it is handed to the engine.

use std::sync::Arc;

use palisade_wire::{Timestamp, link::PacketType};

use crate::socket::Owner;

/// What the link layer told about a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo {
    /// Source MAC address.
    pub source_mac: Option<[u8; 6]>,
    /// Destination MAC address.
    pub destination_mac: Option<[u8; 6]>,
    /// Packet type.
    pub packet_type: Option<PacketType>,
}

/// The ports of a bridge that carries a packet: `None` both of one that no bridge carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// Port that it came in by.
    pub came: Option<Arc<str>>,
    /// Port that it leaves by, of one that is not routed.
    pub leaves: Option<Arc<str>>,
}

/// Which way a packet takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// By the host's addresses: to one of them is INPUT, from one OUTPUT, the rest FORWARD.
    #[default]
    Auto,
    /// From the network by this interface; routing decides between INPUT and FORWARD.
    In(Arc<str>),
    /// Made by this host, leaving by this interface.
    Out(Arc<str>),
    /// Through this host.
    Forward(Arc<str>, Arc<str>),
    /// Through this host without being routed, as through a bridge that asks iptables (kernel `br_netfilter`): FORWARD,
    /// with the time to live and the IPv4 options as they are, whatever the addresses are, and for frames to groups too.
    Wire(Arc<str>, Arc<str>),
}

/// One packet.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Bytes from the IP header on.
    pub bytes: &'a [u8],
    /// When it came.
    pub time: Timestamp,
    /// Which way.
    pub route: Route,
    /// Link layer.
    pub link: LinkInfo,
    /// The capture kept fewer bytes than there were: what is missing is not held against it.
    pub snapped: bool,
    /// Packet mark that it comes with.
    pub mark: u32,
    /// Bridge that carries it.
    pub bridge: Bridge,
    /// Whose socket made it, of a packet of this host, where that is known.
    pub owner: Option<Owner>,
    /// Its transport checksum is still to be filled in by hardware (kernel `CHECKSUM_PARTIAL`): nothing is held against
    /// it. One that leaves with other bytes than it came with has it filled in; see [`crate::Changed`].
    pub unfinished: bool,
}

impl<'a> Input<'a> {
    /// A packet at time zero, routed by the host's addresses.
    pub fn new(bytes: &'a [u8]) -> Self {
        Input {
            bytes,
            time: Timestamp::default(),
            route: Route::Auto,
            link: LinkInfo::default(),
            snapped: false,
            mark: 0,
            bridge: Bridge::default(),
            owner: None,
            unfinished: false,
        }
    }
}
