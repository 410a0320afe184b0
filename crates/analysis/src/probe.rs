//! A packet to ask rules with, and packets made to fit given conditions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::view::{Side, StateSet};
use palisade_rules::{Family, Hook, InterfacePattern, Net, Not, PortRange};
use palisade_wire::{proto, tcp::flags};

use crate::cover::net_within;
use crate::view::Conditions;
use palisade_rules::matches::pkttype::Kind;

/// Address types by their bit in `AddrType`.
const UNICAST: u16 = 1 << 1;
const LOCAL: u16 = 1 << 2;
const MULTICAST: u16 = 1 << 5;

/// A packet as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Interface it came in by; empty for none.
    pub in_interface: String,
    /// Interface it leaves by; empty for none.
    pub out_interface: String,
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// Protocol.
    pub protocol: u8,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// TCP flags.
    pub flags: u8,
    /// ICMP type and code.
    pub icmp: (u8, u8),
    /// State bits: one real state, and DNAT where its destination was translated.
    pub states: u8,
    /// Whether it goes in its connection's original direction.
    pub original: bool,
    /// Type of the source address, as one bit.
    pub source_type: u16,
    /// Type of the destination address, as one bit.
    pub destination_type: u16,
}

/// An interface that no rule names.
pub const ANY_INTERFACE: &str = "any0";

impl Probe {
    /// A connection's first TCP packet from a stranger, at a hook.
    pub fn stranger(family: Family, hook: Hook) -> Self {
        let (source, destination) = strangers(family)[0];
        let local = matches!(hook, Hook::Input | Hook::Prerouting);
        Probe {
            in_interface: match hook {
                Hook::Output | Hook::Postrouting => String::new(),
                _ => ANY_INTERFACE.into(),
            },
            out_interface: match hook {
                Hook::Input | Hook::Prerouting => String::new(),
                _ => "any1".into(),
            },
            source,
            destination,
            protocol: proto::TCP,
            source_port: 40123,
            destination_port: 40321,
            flags: flags::SYN,
            icmp: (0, 0),
            states: StateSet::NEW,
            original: true,
            source_type: match hook {
                Hook::Output | Hook::Postrouting => LOCAL,
                _ => UNICAST,
            },
            destination_type: if local { LOCAL } else { UNICAST },
        }
    }

    /// The same to another port.
    pub fn at_port(mut self, protocol: u8, port: u16) -> Self {
        self.protocol = protocol;
        self.destination_port = port;
        if protocol != proto::TCP {
            self.flags = 0;
        }
        self
    }

    /// The same in another state.
    pub fn in_state(mut self, state: u8) -> Self {
        self.states = state;
        if self.protocol == proto::TCP && state != StateSet::NEW {
            self.flags = flags::ACK;
        }
        self
    }

    /// An ICMP or ICMPv6 packet of a type.
    pub fn icmp(mut self, family: Family, kind: u8) -> Self {
        self.protocol = match family {
            Family::V4 => proto::ICMP,
            Family::V6 => proto::ICMPV6,
        };
        self.icmp = (kind, 0);
        (self.source_port, self.destination_port, self.flags) = (0, 0, 0);
        self
    }

    /// Whether it fits. A test that is not looked into holds when `assumed` says so.
    pub fn fits(&self, c: &Conditions, assumed: &[String]) -> bool {
        self.fits_plainly(c)
            && c.opaque.iter().all(|o| {
                let possible = !o.of_connection
                    || self.states & (StateSet::INVALID | StateSet::UNTRACKED) == 0;
                possible && assumed.contains(&o.text)
            })
    }

    /// Whether everything that is looked into fits.
    pub fn fits_plainly(&self, c: &Conditions) -> bool {
        let ports = matches!(
            self.protocol,
            proto::TCP | proto::UDP | proto::SCTP | proto::UDPLITE | proto::DCCP
        );
        let in_list = |not: &Not<Vec<PortRange>>, port: u16| {
            ports && not.apply(not.value.iter().any(|r| r.contains(port)))
        };
        c.sources
            .iter()
            .all(|n| n.apply(n.value.contains(self.source)))
            && (c.destinations.iter()).all(|n| n.apply(n.value.contains(self.destination)))
            && interface(&c.in_interface, &self.in_interface)
            && interface(&c.out_interface, &self.out_interface)
            && c.protocol
                .as_ref()
                .is_none_or(|p| p.apply(p.value == self.protocol))
            && c.fragment != Some(true)
            && c.source_ports.iter().all(|p| in_list(p, self.source_port))
            && c.destination_ports
                .iter()
                .all(|p| in_list(p, self.destination_port))
            && c.either_ports.iter().all(|p| {
                let hit = |port| p.value.iter().any(|r| r.contains(port));
                ports && p.apply(hit(self.source_port) || hit(self.destination_port))
            })
            && c.flags.as_ref().is_none_or(|f| {
                self.protocol == proto::TCP && f.apply(self.flags & f.value.mask == f.value.set)
            })
            && c.icmp.as_ref().is_none_or(|t| {
                matches!(self.protocol, proto::ICMP | proto::ICMPV6)
                    && t.apply(t.value.kind.is_none_or(|kind| {
                        kind == self.icmp.0
                            && (t.value.codes.0..=t.value.codes.1).contains(&self.icmp.1)
                    }))
            })
            && c.states
                .iter()
                .all(|s| s.apply(s.value.0 & self.states != 0))
            && c.original.is_none_or(|original| {
                original == self.original
                    && self.states & (StateSet::INVALID | StateSet::UNTRACKED) == 0
            })
            && c.ranges.iter().all(|(side, r)| {
                let inside = |a: IpAddr| r.apply(r.value.0 <= a && a <= r.value.1);
                match side {
                    Side::Source => inside(self.source),
                    _ => inside(self.destination),
                }
            })
            && c.source_type
                .as_ref()
                .is_none_or(|t| t.apply(t.value.0 & self.source_type != 0))
            && c.destination_type
                .as_ref()
                .is_none_or(|t| t.apply(t.value.0 & self.destination_type != 0))
            && c.packet_type
                .as_ref()
                .is_none_or(|t| t.apply(t.value == Kind::Unicast))
    }
}

fn interface(wanted: &Option<Not<InterfacePattern>>, name: &str) -> bool {
    wanted.as_ref().is_none_or(|n| n.apply(n.value.fits(name)))
}

/// Pairs of a source and a destination that rules seldom name.
pub fn strangers(family: Family) -> [(IpAddr, IpAddr); 2] {
    match family {
        Family::V4 => [
            (
                Ipv4Addr::new(93, 184, 44, 91).into(),
                Ipv4Addr::new(88, 99, 13, 77).into(),
            ),
            (
                Ipv4Addr::new(45, 33, 201, 18).into(),
                Ipv4Addr::new(149, 28, 5, 201).into(),
            ),
        ],
        Family::V6 => [
            (
                Ipv6Addr::new(0x2a03, 0x4000, 6, 0x1111, 0, 0, 0, 0x91).into(),
                Ipv6Addr::new(0x2a01, 0x4f8, 0xa0, 0x77, 0, 0, 0, 0x77).into(),
            ),
            (
                Ipv6Addr::new(0x2600, 0x3c01, 0, 0x17, 0, 0, 0x2, 0x18).into(),
                Ipv6Addr::new(0x2001, 0x19f0, 5, 0x3f, 0, 0, 0x3, 0x201).into(),
            ),
        ],
    }
}

/// Packets that fit all of the conditions, starting from a given one; tests that are not looked into are taken to
/// hold. None, when the conditions exclude each other as far as one can see.
pub fn fitting(start: &Probe, family: Family, all: &[&Conditions]) -> Vec<Probe> {
    strangers(family)
        .into_iter()
        .filter_map(|(source, destination)| {
            let mut p = start.clone();
            p.source = address(all, Side::Source, source)?;
            p.destination = address(all, Side::Destination, destination)?;
            if let Some(protocol) = all.iter().find_map(|c| c.one_protocol()) {
                p.protocol = protocol;
                if protocol != proto::TCP {
                    p.flags = 0;
                }
            }
            if !p.in_interface.is_empty() {
                p.in_interface = named(all.iter().map(|c| &c.in_interface), &p.in_interface);
            }
            if !p.out_interface.is_empty() {
                p.out_interface = named(all.iter().map(|c| &c.out_interface), &p.out_interface);
            }
            p.source_port = port(all.iter().flat_map(|c| &c.source_ports), p.source_port);
            p.destination_port = port(
                all.iter().flat_map(|c| &c.destination_ports),
                p.destination_port,
            );
            if let Some(either) = all.iter().flat_map(|c| &c.either_ports).next()
                && let Some(range) = either.value.first()
                && !either.negated
            {
                p.destination_port = range.first;
            }
            if let Some(kind) = all.iter().find_map(|c| c.icmp.as_ref())
                && !kind.negated
            {
                p.icmp = (kind.value.kind.unwrap_or(8), kind.value.codes.0);
            }
            for types in all.iter().filter_map(|c| c.destination_type.as_ref()) {
                if types.apply(types.value.0 & p.destination_type != 0) {
                    continue;
                }
                p.destination_type = [UNICAST, LOCAL, MULTICAST]
                    .into_iter()
                    .find(|t| types.apply(types.value.0 & t != 0))?;
            }
            all.iter().all(|c| p.fits_plainly(c)).then_some(p)
        })
        .collect()
}

fn address(all: &[&Conditions], side: Side, stranger: IpAddr) -> Option<IpAddr> {
    let nets = |c: &Conditions| match side {
        Side::Source => c.sources.clone(),
        _ => c.destinations.clone(),
    };
    let mut narrowest: Option<Net> = None;
    for net in all.iter().flat_map(|c| nets(c)).filter(|n| !n.negated) {
        if narrowest.is_none_or(|n| net_within(&n, &net.value)) {
            narrowest = Some(net.value);
        }
    }
    if let Some(range) =
        (all.iter().flat_map(|c| &c.ranges)).find(|(s, r)| *s == side && !r.negated)
    {
        return Some(range.1.value.0);
    }
    let Some(net) = narrowest else {
        return Some(stranger);
    };
    // The stranger's own bits outside the mask, so that two samples differ.
    match (net.address, net.mask, stranger) {
        (IpAddr::V4(a), IpAddr::V4(m), IpAddr::V4(s)) => {
            Some(Ipv4Addr::from(u32::from(a) | (u32::from(s) & !u32::from(m))).into())
        }
        (IpAddr::V6(a), IpAddr::V6(m), IpAddr::V6(s)) => {
            Some(Ipv6Addr::from(u128::from(a) | (u128::from(s) & !u128::from(m))).into())
        }
        _ => None,
    }
}

fn named<'a>(
    wanted: impl Iterator<Item = &'a Option<Not<InterfacePattern>>>,
    otherwise: &str,
) -> String {
    wanted
        .flatten()
        .find(|n| !n.negated)
        .map_or_else(|| otherwise.to_string(), |n| interface_of(&n.value))
}

/// An interface that fits a pattern.
pub fn interface_of(pattern: &InterfacePattern) -> String {
    if pattern.prefix {
        format!("{}9", pattern.name)
    } else {
        pattern.name.clone()
    }
}

fn port<'a>(wanted: impl Iterator<Item = &'a Not<Vec<PortRange>>>, otherwise: u16) -> u16 {
    let ranges: Vec<&Not<Vec<PortRange>>> = wanted.collect();
    let fits = |port: u16| {
        ranges
            .iter()
            .all(|n| n.apply(n.value.iter().any(|r| r.contains(port))))
    };
    if fits(otherwise) {
        return otherwise;
    }
    (ranges.iter())
        .filter(|n| !n.negated)
        .flat_map(|n| n.value.iter().flat_map(|r| [r.first, r.last]))
        .find(|p| fits(*p))
        .unwrap_or(otherwise)
}
