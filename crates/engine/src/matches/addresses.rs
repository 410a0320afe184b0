//! iprange and addrtype: what addresses are.

use std::net::IpAddr;

use palisade_rules::Not;
use palisade_rules::matches::addrtype::{Addrtype, TypeSet};
use palisade_rules::matches::iprange::Iprange;
use palisade_wire::Packet;

use super::Context;
use crate::host::{AddressKind, Host};

/// Kernel `iprange_mt4`, `iprange_mt6`.
pub(super) fn iprange(rule: &Iprange, packet: &Packet<'_>) -> bool {
    in_range(&rule.source, packet.source()) && in_range(&rule.destination, packet.destination())
}

fn in_range(range: &Option<Not<(IpAddr, IpAddr)>>, address: IpAddr) -> bool {
    range
        .as_ref()
        .is_none_or(|not| not.apply(not.value.0 <= address && address <= not.value.1))
}

/// Kernel `xt_addrtype`: the routing table's word about an address. `--limit-iface-…` asks about
/// one interface only, for which everything but its own addresses is UNICAST.
pub(super) fn addrtype(rule: &Addrtype, context: &Context<'_>) -> bool {
    let interface = if rule.limit_in {
        Some(context.in_interface)
    } else if rule.limit_out {
        Some(context.out_interface)
    } else {
        None
    };
    let packet = &context.packet;
    let side = |not: &Option<Not<TypeSet>>, address: IpAddr| {
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
    // All of 127.0.0.0/8 belongs to the loopback interface.
    (address.is_ipv4() && address.is_loopback() && interface == "lo")
        || host
            .interface(interface)
            .is_some_and(|i| i.addresses.contains(&address))
}

/// IPv4 addresses are of one type (kernel `inet_dev_addr_type`); 0.0.0.0/8 counts as broadcast.
fn type_v4(set: TypeSet, address: IpAddr, interface: Option<&str>, host: &Host) -> bool {
    let zero = matches!(address, IpAddr::V4(a) if a.octets()[0] == 0);
    let kind = match (host.kind(address), interface) {
        (AddressKind::Multicast, _) => MULTICAST,
        _ if zero || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) => BROADCAST,
        (AddressKind::Local, Some(name)) if owned(address, name, host) => LOCAL,
        (AddressKind::Local, None) => LOCAL,
        (AddressKind::Broadcast, None) => BROADCAST,
        (AddressKind::Broadcast, Some(name)) if host.is_broadcast_of(address, name) => BROADCAST,
        _ => UNICAST,
    };
    set.0 & kind != 0
}

/// IPv6 asks one question a type, and all must hold (kernel `match_type6`): a local address is
/// UNICAST too.
fn type_v6(set: TypeSet, address: IpAddr, interface: Option<&str>, host: &Host) -> bool {
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
