//! tcp, udp, icmp, icmp6, multiport (kernel `xt_tcpudp.c`, `ip_tables.c`, `xt_multiport.c`).

use palisade_rules::matches::{Side, icmp::Type, multiport, tcp, udp};
use palisade_rules::{Not, PortRange};
use palisade_wire::{Family, Packet, icmp::Icmp, proto, tcp::Tcp, udp::Udp};

use super::Answer;
use super::headers::is_later_fragment;

pub(super) fn port_fits(range: &Option<Not<PortRange>>, port: u16) -> bool {
    range
        .as_ref()
        .is_none_or(|not| not.apply(not.value.contains(port)))
}

/// Whether ports fit that stand where TCP and UDP have them.
pub(crate) fn ports_fit(
    source: &Option<Not<PortRange>>,
    destination: &Option<Not<PortRange>>,
    packet: &Packet<'_>,
) -> bool {
    packet
        .transport()
        .first_chunk()
        .is_some_and(|&[a, b, c, d]| {
            port_fits(source, u16::from_be_bytes([a, b]))
                && port_fits(destination, u16::from_be_bytes([c, d]))
        })
}

/// Kernel `tcp_mt`: never true for a later fragment; an IPv4 one that could rewrite flags (offset 8)
/// is dropped (IPv6 counts the offset in bytes there, and is not), as is a header cut short.
pub(super) fn tcp(rule: &tcp::Tcp, packet: &Packet<'_>) -> Answer {
    if is_later_fragment(packet) {
        let offset = packet.fragment().map(|f| f.offset);
        return if offset == Some(8) && packet.family() == Family::V4 {
            Answer::HotDrop
        } else {
            Answer::No
        };
    }
    let Some(tcp) = Tcp::new(packet.transport()) else {
        return Answer::HotDrop;
    };
    if !port_fits(&rule.source, tcp.source_port())
        || !port_fits(&rule.destination, tcp.destination_port())
    {
        return Answer::No;
    }
    if let Some(not) = &rule.flags
        && !not.apply(tcp.flags() & not.value.mask == not.value.set)
    {
        return Answer::No;
    }
    if let Some(not) = &rule.option {
        // Kernel `tcp_find_option`: options that are not there drop the packet too.
        if !(Tcp::HEADER_LEN..=packet.transport().len()).contains(&tcp.data_offset()) {
            return Answer::HotDrop;
        }
        return not.apply(has_option(tcp.options(), not.value)).into();
    }
    Answer::Yes
}

/// Kernel `tcp_find_option`: walks kinds and lengths without judging them.
fn has_option(options: &[u8], kind: u8) -> bool {
    let mut at = 0;
    while let Some(&found) = options.get(at) {
        if found == kind {
            return true;
        }
        at += if found < 2 {
            1
        } else {
            usize::from(options.get(at + 1).copied().unwrap_or(1).max(1))
        };
    }
    false
}

/// Kernel `udp_mt`.
pub(super) fn udp(rule: &udp::Udp, packet: &Packet<'_>) -> Answer {
    if is_later_fragment(packet) {
        return Answer::No;
    }
    let Some(udp) = Udp::new(packet.transport()) else {
        return Answer::HotDrop;
    };
    (port_fits(&rule.source, udp.source_port())
        && port_fits(&rule.destination, udp.destination_port()))
    .into()
}

/// Kernel `icmp_match`, `icmp6_match`.
pub(super) fn icmp(rule: &Not<Type>, packet: &Packet<'_>) -> Answer {
    if is_later_fragment(packet) {
        return Answer::No;
    }
    let Some(icmp) = Icmp::new(packet.transport()) else {
        return Answer::HotDrop;
    };
    let (first, last) = rule.value.codes;
    let fits = match rule.value.kind {
        None => true,
        Some(kind) => icmp.kind() == kind && (first..=last).contains(&icmp.code()),
    };
    rule.apply(fits).into()
}

/// Kernel `multiport_mt`: the first four transport bytes are ports.
pub(super) fn multiport(rule: &multiport::Multiport, packet: &Packet<'_>) -> Answer {
    let (side, ports) = (rule.side, &rule.ports);
    if is_later_fragment(packet) {
        return Answer::No;
    }
    let Some(&[a, b, c, d]) = packet.transport().first_chunk::<4>() else {
        return Answer::HotDrop;
    };
    if !matches!(
        packet.protocol(),
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP | proto::DCCP
    ) {
        return Answer::No;
    }
    let source = u16::from_be_bytes([a, b]);
    let destination = u16::from_be_bytes([c, d]);
    let hit = ports.value.iter().any(|range| match side {
        Side::Source => range.contains(source),
        Side::Destination => range.contains(destination),
        Side::Either => range.contains(source) || range.contains(destination),
    });
    ports.apply(hit).into()
}
