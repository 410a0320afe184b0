//! What each match means: one function a match, each with the kernel's semantics.

mod connection;
mod limit;
mod recent;
mod transport;

pub use limit::{Jiffies, Limits};
pub use recent::RecentLists;

use std::net::IpAddr;

use palisade_conntrack::{Conntrack, Track};
use palisade_rules::{AddrType, AddrtypeMatch, Hook, Match, Not, PktType, Side, TtlTest};
use palisade_wire::{Family, Packet, Timestamp, link::PacketType};

use crate::host::{AddressKind, Host};
use crate::path::LinkInfo;

/// Everything a rule can look at.
pub(crate) struct Context<'a> {
    pub(crate) packet: Packet<'a>,
    pub(crate) hook: Hook,
    pub(crate) in_interface: &'a str,
    pub(crate) out_interface: &'a str,
    pub(crate) link: &'a LinkInfo,
    pub(crate) host: &'a Host,
    pub(crate) now: Timestamp,
}

/// What rules may change, and the state they share.
pub(crate) struct Shared<'a> {
    pub(crate) conntrack: &'a mut Conntrack,
    pub(crate) limits: &'a mut Limits,
    pub(crate) recent: &'a mut RecentLists,
    pub(crate) track: Option<&'a Track>,
    pub(crate) mark: u32,
}

/// Result of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// Not evaluated.
    Unknown,
    /// The packet is too broken: drop it (kernel `hotdrop`).
    HotDrop,
}

impl From<bool> for Answer {
    #[inline]
    fn from(yes: bool) -> Self {
        if yes { Answer::Yes } else { Answer::No }
    }
}

/// Evaluates one match; `slot` numbers the state of a stateful one.
#[inline]
pub(crate) fn evaluate(
    m: &Match,
    slot: Option<u32>,
    context: &Context<'_>,
    shared: &mut Shared<'_>,
) -> Answer {
    let packet = &context.packet;
    match m {
        Match::Tcp(tcp) => transport::tcp(tcp, packet),
        Match::Udp(udp) => transport::udp(udp, packet),
        Match::Icmp(not) | Match::Icmp6(not) => transport::icmp(not, packet),
        Match::Multiport { side, ports } => transport::multiport(*side, ports, packet),
        Match::State(not) => connection::state(not, shared).into(),
        Match::Conntrack(ct) => connection::conntrack(ct, shared, context.now).into(),
        Match::Limit(_) => slot
            .is_some_and(|slot| shared.limits.take(slot, context.now))
            .into(),
        Match::Recent(rule) => match slot {
            Some(slot) => shared
                .recent
                .check(
                    slot,
                    rule,
                    packet,
                    !context.out_interface.is_empty(),
                    context.now,
                )
                .into(),
            None => Answer::No,
        },
        Match::Mark(not) => not.apply(shared.mark & not.value.1 == not.value.0).into(),
        Match::Comment(_) => Answer::Yes,
        Match::Iprange {
            source,
            destination,
        } => (in_range(source, packet.source()) && in_range(destination, packet.destination()))
            .into(),
        Match::Addrtype(rule) => addrtype(rule, context).into(),
        Match::Length(not) => not
            .apply(
                (usize::from(not.value.0)..=usize::from(not.value.1)).contains(&ip_length(packet)),
            )
            .into(),
        Match::Ttl(test) | Match::Hl(test) => {
            let ttl = packet.ttl();
            match *test {
                TtlTest::Equal(n) => ttl == n,
                TtlTest::Differs(n) => ttl != n,
                TtlTest::Less(n) => ttl < n,
                TtlTest::Greater(n) => ttl > n,
            }
            .into()
        }
        // Without a MAC header (locally made, or a link layer without one) it never matches,
        // negated or not.
        Match::Mac(not) => context
            .link
            .source_mac
            .is_some_and(|mac| not.apply(mac == not.value))
            .into(),
        Match::Pkttype(not) => pkttype(not, context).into(),
        Match::Kept(_) => Answer::Unknown,
    }
}

/// Bytes that `length` and the counters see: the IPv4 total length, the whole IPv6 packet.
#[inline]
pub(crate) fn ip_length(packet: &Packet<'_>) -> usize {
    packet.declared_len()
}

fn in_range(range: &Option<Not<(IpAddr, IpAddr)>>, address: IpAddr) -> bool {
    range
        .as_ref()
        .is_none_or(|not| not.apply(not.value.0 <= address && address <= not.value.1))
}

/// Kernel `xt_addrtype`: the routing table's word about an address. `--limit-iface-…` looks at
/// one interface only.
fn addrtype(rule: &AddrtypeMatch, context: &Context<'_>) -> bool {
    let fits = |set: AddrType, address: IpAddr| {
        let interface = if rule.limit_in {
            Some(context.in_interface)
        } else if rule.limit_out {
            Some(context.out_interface)
        } else {
            None
        };
        let mut kind = context.host.kind(address);
        if let Some(name) = interface
            && kind == AddressKind::Local
        {
            let own = context
                .host
                .interfaces
                .iter()
                .any(|i| i.name == name && i.addresses.contains(&address));
            if !own && !address.is_loopback() {
                kind = AddressKind::Unicast;
            }
        }
        let bit = match kind {
            AddressKind::Unspecified => 0,
            AddressKind::Unicast => 1,
            AddressKind::Local => 2,
            AddressKind::Broadcast => 3,
            AddressKind::Multicast => 5,
        };
        set.0 & (1 << bit) != 0
    };
    let packet = &context.packet;
    let side = |not: &Option<Not<AddrType>>, address: IpAddr| {
        not.as_ref()
            .is_none_or(|not| not.apply(fits(not.value, address)))
    };
    side(&rule.source, packet.source()) && side(&rule.destination, packet.destination())
}

/// Kernel `xt_pkttype`: what the link layer said; for packets made here, by the address.
fn pkttype(not: &Not<PktType>, context: &Context<'_>) -> bool {
    let destination = context.packet.destination();
    let by_address = || {
        if destination.is_multicast() {
            PktType::Multicast
        } else if context.packet.family() == Family::V4 && context.host.is_broadcast(destination) {
            PktType::Broadcast
        } else {
            PktType::Unicast
        }
    };
    let kind = match context.link.packet_type {
        Some(PacketType::Broadcast) => PktType::Broadcast,
        Some(PacketType::Multicast) => PktType::Multicast,
        Some(PacketType::Host) => PktType::Unicast,
        _ => by_address(),
    };
    not.apply(kind == not.value)
}

/// The address that a side names.
pub(crate) fn side_address(side: Side, packet: &Packet<'_>) -> IpAddr {
    match side {
        Side::Destination => packet.destination(),
        _ => packet.source(),
    }
}
