//! The names under which a report sums up protocols.

use palisade_wire::{Packet, proto};

/// Row of a report for IPv6 fragments.
pub(crate) const SIX_PIECES: &str = "fragments (IPv6)";

/// The row of a report for connections of a protocol.
pub(crate) fn name_of_protocol(protocol: u8) -> &'static str {
    match protocol {
        proto::TCP => "TCP",
        proto::UDP => "UDP",
        proto::UDPLITE => "UDP-Lite",
        proto::SCTP => "SCTP",
        proto::GRE => "GRE",
        proto::ESP | proto::AH => "ESP, AH",
        proto::ICMP => "ICMP",
        proto::ICMPV6 => "ICMPv6",
        _ => "other protocols",
    }
}

/// The protocol of a packet, as a report names it.
pub fn protocol_of(bytes: &[u8]) -> &'static str {
    let Ok(packet) = Packet::parse_truncated(bytes) else {
        return "broken";
    };
    let v6 = packet.source().is_ipv6();
    if packet.fragment().is_some() {
        return if v6 { SIX_PIECES } else { "fragments" };
    }
    let kind = packet.transport().first().copied().unwrap_or(0);
    match (packet.protocol(), v6) {
        (proto::TCP, false) => "TCP",
        (proto::TCP, true) => "TCP (IPv6)",
        (proto::UDP, false) => "UDP",
        (proto::UDP, true) => "UDP (IPv6)",
        (proto::UDPLITE, _) => "UDP-Lite",
        (proto::SCTP, false) => "SCTP",
        (proto::SCTP, true) => "SCTP (IPv6)",
        (proto::GRE, _) => "GRE",
        (proto::ESP | proto::AH, _) => "ESP, AH",
        (proto::ICMP, _) if matches!(kind, 3 | 4 | 5 | 11 | 12) => "ICMP errors",
        (proto::ICMP, _) => "ICMP",
        (proto::ICMPV6, _) if kind < 128 => "ICMPv6 errors",
        (proto::ICMPV6, _) => "ICMPv6",
        _ => "other protocols",
    }
}
