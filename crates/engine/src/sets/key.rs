//! From a packet to an element (kernel `*_kadt`).

use std::net::IpAddr;

use palisade_rules::ipset::{Element, Interface, Kind, Part};
use palisade_wire::{Family, Packet, proto};

use super::set::Set;
use super::{Flags, Look};

/// What a packet is to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) element: Element,
    /// Hardware address for bitmap:ip,mac, where it is no part of the element.
    pub(super) mac: [u8; 6],
}

/// Protocol and port (kernel `ip_set_get_ip4_port`, `ip_set_get_ip6_port`): type and code for ICMP, 0 where a protocol
/// has no ports. `None`: a later fragment, or cut off.
pub(super) fn port(packet: &Packet<'_>, source: bool) -> Option<(u8, u16)> {
    let protocol = packet.protocol();
    let needs = match protocol {
        proto::TCP => 20,
        proto::SCTP => 12,
        proto::UDP | proto::UDPLITE | proto::ICMP | proto::ICMPV6 => 8,
        _ => 0,
    };
    match packet.family() {
        Family::V4 if protocol == 0 => return None,
        Family::V4 if packet.is_later_fragment() => {
            return (needs == 0 || protocol == proto::ICMPV6).then_some((protocol, 0));
        }
        Family::V6
            if protocol == proto::NONE || packet.chain_broken() || packet.is_later_fragment() =>
        {
            return None;
        }
        _ => {}
    }
    if needs == 0 {
        return Some((protocol, 0));
    }
    let transport = packet.transport();
    if transport.len() < needs {
        return None;
    }
    let &[a, b, c, d] = transport.first_chunk::<4>()?;
    let word = match protocol {
        proto::ICMP | proto::ICMPV6 => [a, b],
        _ if source => [a, b],
        _ => [c, d],
    };
    Some((protocol, u16::from_be_bytes(word)))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// The element of a packet. For a test addresses are whole; what is added or deleted is the network of the longest
/// prefix that the set has (kernel `INIT_CIDR`).
pub(super) fn key(set: &Set, look: &Look<'_>, flags: Flags, test: bool) -> Option<Key> {
    let model = &set.model;
    let width = model.width();
    let address = |at: usize| {
        let packet = look.packet;
        number(if flags.source(at) {
            packet.source()
        } else {
            packet.destination()
        })
    };
    let hardware = |at: usize| {
        let mac = if flags.source(at) {
            look.link.source_mac
        } else {
            look.link.destination_mac
        };
        mac.filter(|mac| *mac != [0; 6])
    };
    let in_range = |n: u128| {
        let (first, last) = model.options.range;
        (u128::from(first)..=u128::from(last)).contains(&n)
    };
    let mut element = Element::default();
    let mut mac = [0; 6];
    match model.kind {
        Kind::BitmapPort => {
            let (protocol, port) = port(look.packet, flags.source(0))?;
            if !matches!(protocol, proto::TCP | proto::UDP) || !in_range(u128::from(port)) {
                return None;
            }
            element.port = port;
            return Some(Key { element, mac });
        }
        Kind::BitmapIp | Kind::BitmapIpMac => {
            let ip = address(0);
            if !in_range(ip) {
                return None;
            }
            element.address = ip & model.mask();
            element.prefix = width;
            if model.kind == Kind::BitmapIpMac {
                mac = hardware(1)?;
            }
            return Some(Key { element, mac });
        }
        Kind::HashMac => {
            element.mac = hardware(0)?;
            return Some(Key { element, mac });
        }
        Kind::ListSet => return None,
        _ => {}
    }
    let mut addresses = 0;
    let mut nets = 0;
    for (at, part) in model.kind.parts().iter().enumerate() {
        match part {
            Part::Ip | Part::Net => {
                let mut ip = address(at);
                let mut prefix = width;
                if *part == Part::Net {
                    if !test {
                        prefix = set.longest(nets).unwrap_or(width);
                        ip &= model.prefix_mask(prefix);
                    }
                    nets += 1;
                }
                if matches!(model.kind, Kind::HashIp | Kind::HashIpPort) {
                    ip &= model.mask();
                    if ip == 0 {
                        return None;
                    }
                }
                if model.kind == Kind::HashNetNet && model.family == Some(Family::V4) {
                    ip &= model.mask();
                }
                if addresses == 0 {
                    (element.address, element.prefix) = (ip, prefix);
                } else {
                    (element.address2, element.prefix2) = (ip, prefix);
                }
                addresses += 1;
            }
            Part::Port => {
                (element.protocol, element.port) = port(look.packet, flags.source(at))?;
            }
            Part::Mac => element.mac = hardware(at)?,
            Part::Mark => element.mark = look.mark & model.options.markmask,
            Part::Interface => {
                element.interface = Interface::new(if flags.source(at) {
                    look.in_interface
                } else {
                    look.out_interface
                });
                if element.interface.is_empty() {
                    return None;
                }
            }
            Part::BarePort | Part::Set => {}
        }
    }
    Some(Key { element, mac })
}
