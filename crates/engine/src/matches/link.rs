//! mac and pkttype: what the link layer said.

use palisade_rules::Not;
use palisade_rules::matches::pkttype::Kind;
use palisade_wire::{Family, link::PacketType};

use super::Context;

/// Kernel `mac_mt`: without a MAC header (locally made, or a link layer without one) it never matches,
/// negated or not.
pub(super) fn mac(not: &Not<[u8; 6]>, context: &Context<'_>) -> bool {
    context
        .link
        .source_mac
        .is_some_and(|mac| not.apply(mac == not.value))
}

/// Kernel `xt_pkttype`: what the link layer said. Packets made here are unicast, whatever their
/// destination.
pub(super) fn pkttype(not: &Not<Kind>, context: &Context<'_>) -> bool {
    let destination = context.packet.destination();
    let by_address = || {
        if destination.is_multicast() {
            Kind::Multicast
        } else if context.packet.family() == Family::V4 && context.host.is_broadcast(destination) {
            Kind::Broadcast
        } else {
            Kind::Unicast
        }
    };
    let kind = match context.link.packet_type {
        Some(PacketType::Broadcast) => Kind::Broadcast,
        Some(PacketType::Multicast) => Kind::Multicast,
        Some(PacketType::Host) => Kind::Unicast,
        Some(PacketType::Loopback) if destination.is_multicast() => Kind::Multicast,
        Some(PacketType::Loopback) => Kind::Broadcast,
        _ if context.in_interface.is_empty() => Kind::Unicast,
        _ => by_address(),
    };
    not.apply(kind == not.value)
}
