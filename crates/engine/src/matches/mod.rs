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
use crate::input::LinkInfo;
use crate::linear::RawState;

/// What a rule can look at beside the packet.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) hook: Hook,
    pub(crate) in_interface: &'a str,
    pub(crate) out_interface: &'a str,
    pub(crate) link: &'a LinkInfo,
    pub(crate) host: &'a Host,
    /// Made by a program of this host.
    pub(crate) made_here: bool,
    pub(crate) now: Timestamp,
}

impl<'a> Facts<'a> {
    /// Together with the packet as it is now.
    pub(crate) fn with(self, packet: Packet<'a>) -> Context<'a> {
        Context {
            packet,
            in_interface: self.in_interface,
            out_interface: self.out_interface,
            link: self.link,
            host: self.host,
            made_here: self.made_here,
            now: self.now,
        }
    }
}

/// Everything a rule can look at.
pub(crate) struct Context<'a> {
    pub(crate) packet: Packet<'a>,
    pub(crate) in_interface: &'a str,
    pub(crate) out_interface: &'a str,
    pub(crate) link: &'a LinkInfo,
    pub(crate) host: &'a Host,
    pub(crate) made_here: bool,
    pub(crate) now: Timestamp,
}

/// What rules may change, and the state they share.
pub(crate) struct Shared<'a> {
    pub(crate) conntrack: &'a mut Conntrack,
    pub(crate) limits: &'a mut Limits,
    pub(crate) recent: &'a mut RecentLists,
    pub(crate) track: Option<&'a Track>,
    pub(crate) raw: &'a mut RawState,
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
        Match::Conntrack(ct) => {
            connection::conntrack(ct, shared, packet.family(), context.now).into()
        }
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
                    !context.out_interface.is_empty() && !context.made_here,
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
        Match::Connlabel(not) => slot
            .is_some_and(|label| connection::label(not, label, shared))
            .into(),
        Match::Helper(not) => connection::helper(not, shared).into(),
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

/// Kernel `xt_addrtype`: the routing table's word about an address. `--limit-iface-…` asks about
/// one interface only, for which everything but its own addresses is UNICAST.
fn addrtype(rule: &AddrtypeMatch, context: &Context<'_>) -> bool {
    let interface = if rule.limit_in {
        Some(context.in_interface)
    } else if rule.limit_out {
        Some(context.out_interface)
    } else {
        None
    };
    let packet = &context.packet;
    let side = |not: &Option<Not<AddrType>>, address: IpAddr| {
        not.as_ref().is_none_or(|not| {
            let fits = match address {
                IpAddr::V4(_) => type_v4(not.value, address, interface, context.host),
                IpAddr::V6(_) => type_v6(not.value, address, interface, context.host),
            };
            not.apply(fits)
        })
    };
    side(&rule.source, packet.source()) && side(&rule.destination, packet.destination())
}

const UNSPEC: u16 = 1;
const UNICAST: u16 = 1 << 1;
const LOCAL: u16 = 1 << 2;
const BROADCAST: u16 = 1 << 3;
const ANYCAST: u16 = 1 << 4;
const MULTICAST: u16 = 1 << 5;
const UNREACHABLE: u16 = 1 << 7;

fn owned(address: IpAddr, interface: &str, host: &Host) -> bool {
    host.interfaces
        .iter()
        .any(|i| i.name == interface && i.addresses.contains(&address))
}

/// IPv4 addresses are of one type (kernel `inet_dev_addr_type`); 0.0.0.0/8 counts as broadcast.
fn type_v4(set: AddrType, address: IpAddr, interface: Option<&str>, host: &Host) -> bool {
    let zero = matches!(address, IpAddr::V4(a) if a.octets()[0] == 0);
    let kind = match (host.kind(address), interface) {
        (AddressKind::Multicast, _) => MULTICAST,
        _ if zero || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) => BROADCAST,
        (AddressKind::Local, Some(name)) if owned(address, name, host) => LOCAL,
        (AddressKind::Local, None) => LOCAL,
        (AddressKind::Broadcast, None) => BROADCAST,
        _ => UNICAST,
    };
    set.0 & kind != 0
}

/// IPv6 asks one question a type, and all must hold (kernel `match_type6`): a local address is
/// UNICAST too.
fn type_v6(set: AddrType, address: IpAddr, interface: Option<&str>, host: &Host) -> bool {
    let wanted = |bit| set.0 & bit != 0;
    let unicast = !address.is_multicast() && !address.is_unspecified();
    if wanted(MULTICAST) && !address.is_multicast()
        || wanted(UNICAST) && !unicast
        || wanted(UNSPEC) && !address.is_unspecified()
    {
        return false;
    }
    if !wanted(LOCAL | ANYCAST | UNREACHABLE) {
        return true;
    }
    let local = match interface {
        Some(name) => owned(address, name, host),
        None => host.is_local(address),
    };
    // What a route lookup can say; it never says UNICAST.
    let kind = if local {
        LOCAL
    } else if host.closed && host.interface_towards(address).is_none() {
        UNREACHABLE
    } else {
        0
    };
    set.0 & kind != 0
}

/// Kernel `xt_pkttype`: what the link layer said. Packets made here are unicast, whatever their
/// destination.
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
        _ if context.in_interface.is_empty() => PktType::Unicast,
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
