//! Elements: parts separated by commas, and the ranges that they stand for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::{Family, proto};

use super::command::{Fault, Piece};
use super::icmp;
use super::kind::{Kind, Part};
use super::model::{Element, Interface, Set, prefix_mask, to_number};
use crate::diagnostic::nearest;
use crate::names;
use crate::value;

/// An address, network or range of addresses as it was written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) from: u128,
    /// Last of a range.
    pub(super) to: Option<u128>,
    /// Prefix length.
    pub(super) prefix: Option<u8>,
}

/// An element as it was written: what it stands for is in [`expand`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    first: Span,
    second: Span,
    protocol: u8,
    ports: (u16, Option<u16>),
    pub(super) mac: Option<[u8; 6]>,
    mark: u32,
    interface: Interface,
    physdev: bool,
}

impl Written {
    /// Whether the beginning and all of it lie in the range of a bitmap.
    pub(super) fn within(&self, set: &Set, first: u128, last: u128) -> bool {
        let (from, to) = match set.kind {
            Kind::BitmapPort => {
                let (from, to) = port_ends(self);
                (u128::from(from), u128::from(to))
            }
            _ => all_of(&self.first, 32),
        };
        let begins = set.kind == Kind::BitmapPort || (first..=last).contains(&self.first.from);
        begins && first <= from && to <= last
    }
}

/// Whether ports are ports (kernel `ip_set_proto_with_ports`).
pub(super) fn with_ports(protocol: u8) -> bool {
    matches!(
        protocol,
        proto::TCP | proto::UDP | proto::SCTP | proto::UDPLITE
    )
}

/// Reads the element of an `add` or `del`.
pub(super) fn read(set: &Set, piece: &Piece<'_>) -> Result<Written, Fault> {
    let parts = set.kind.parts();
    let pieces = piece.split(',');
    let optional = usize::from(set.kind == Kind::BitmapIpMac);
    if pieces.len() > parts.len() || pieces.len() + optional < parts.len() {
        return Err(piece
            .fault(
                "bad-element",
                format!(
                    "elements of {} have {} parts, '{}' has {}",
                    set.kind.name(),
                    parts.len(),
                    piece.text,
                    pieces.len()
                ),
            )
            .help(example(set)));
    }
    let mut written = Written::default();
    let mut addresses = 0;
    for (part, piece) in parts.iter().zip(&pieces) {
        match part {
            Part::Ip | Part::Net => {
                let span = address_span(set, *part, addresses == 1, piece)?;
                match addresses {
                    0 => written.first = span,
                    _ => written.second = span,
                }
                addresses += 1;
            }
            Part::Port => port_part(set, piece, &mut written)?,
            Part::BarePort => {
                port_part(set, piece, &mut written)?;
                if !matches!(written.protocol, proto::TCP | proto::UDP) {
                    return Err(piece.fault(
                        "bad-port",
                        "only TCP and UDP have a place in bitmap:port".into(),
                    ));
                }
                written.protocol = 0;
            }
            Part::Mac => written.mac = Some(piece.value(mac)?),
            Part::Mark => {
                written.mark = piece.value(|t| value::number(t, u64::from(u32::MAX)))? as u32;
            }
            Part::Interface => interface(piece, &mut written)?,
            Part::Set => {}
        }
    }
    Ok(written)
}

/// An element of the type, for advice.
fn example(set: &Set) -> String {
    let v6 = set.family == Some(Family::V6);
    let words: Vec<&str> = set
        .kind
        .parts()
        .iter()
        .map(|part| match part {
            Part::Ip if v6 => "2001:db8::1",
            Part::Ip => "192.0.2.1",
            Part::Net if v6 => "2001:db8::/32",
            Part::Net => "192.0.2.0/24",
            Part::Port => "tcp:80",
            Part::BarePort => "80",
            Part::Mac => "00:11:22:33:44:55",
            Part::Mark => "0x1",
            Part::Interface => "eth0",
            Part::Set => "NAME",
        })
        .collect();
    format!("such as {}", words.join(","))
}

/// One address of the set's family.
pub(super) fn address(family: Option<Family>, piece: &Piece<'_>) -> Result<u128, Fault> {
    let v6 = family == Some(Family::V6);
    let parsed = if v6 {
        piece.text.parse::<Ipv6Addr>().map(IpAddr::V6).ok()
    } else {
        piece.text.parse::<Ipv4Addr>().map(IpAddr::V4).ok()
    };
    parsed.map(to_number).ok_or_else(|| {
        let fault = piece.fault(
            "bad-address",
            format!(
                "'{}' is not an {} address",
                piece.text,
                if v6 { "IPv6" } else { "IPv4" }
            ),
        );
        match piece.text.parse::<IpAddr>() {
            Ok(_) if v6 => fault.help("the set is of family inet6"),
            Ok(_) => fault.help("create the set with family inet6"),
            Err(_) => fault,
        }
    })
}

/// `address`, `address/prefix` or `first-last`.
pub(super) fn any_span(family: Option<Family>, piece: &Piece<'_>) -> Result<Span, Fault> {
    let width: u8 = if family == Some(Family::V6) { 128 } else { 32 };
    if let Some((head, tail)) = piece.cut('/') {
        let prefix = tail.value(|t| {
            value::number(t, u64::from(width)).map_err(|bad| {
                value::Bad::new(format!("'{t}' is not a prefix length")).help(
                    bad.help
                        .unwrap_or_else(|| format!("a number from 0 to {width}")),
                )
            })
        })? as u8;
        return Ok(Span {
            from: address(family, &head)?,
            to: None,
            prefix: Some(prefix),
        });
    }
    if let Some((first, last)) = piece.cut('-') {
        return Ok(Span {
            from: address(family, &first)?,
            to: Some(address(family, &last)?),
            prefix: None,
        });
    }
    Ok(Span {
        from: address(family, piece)?,
        to: None,
        prefix: None,
    })
}

fn address_span(set: &Set, part: Part, second: bool, piece: &Piece<'_>) -> Result<Span, Fault> {
    let span = any_span(set.family, piece)?;
    let width = set.width();
    let single = matches!(set.kind, Kind::BitmapIpMac | Kind::HashIpMac)
        || second && part == Part::Ip
        || width == 128 && part == Part::Ip;
    if single && (span.to.is_some() || span.prefix.is_some_and(|p| p != width)) {
        return Err(piece
            .fault(
                "bad-element",
                format!("'{}' has to be one address here", piece.text),
            )
            .help(if width == 128 {
                "of IPv6, sets of networks (hash:net) take prefixes"
            } else {
                "one element for each address"
            }));
    }
    if width == 128 && span.to.is_some() {
        return Err(piece
            .fault(
                "bad-element",
                "ipset takes no ranges of IPv6 addresses".into(),
            )
            .help("prefixes instead"));
    }
    if span.prefix == Some(0) && !set.kind.takes_whole_internet() {
        let whole = |half: &str| piece.text.replace("/0", half);
        return Err(piece
            .fault(
                "bad-prefix",
                format!("{} takes no prefix of length 0", set.kind.name()),
            )
            .help(format!("two elements, such as {}", whole("/1"))));
    }
    if part == Part::Net && span.to.is_some() {
        let (from, to) = ends(&span);
        if from == 0 && to == prefix_mask(width, width) {
            return Err(piece.fault(
                "bad-element",
                "a range cannot be the whole address space".into(),
            ));
        }
    }
    Ok(span)
}

fn mac(text: &str) -> value::Value<[u8; 6]> {
    // ipset takes single digits too.
    let padded: Vec<String> = text.split(':').map(|p| format!("{p:0>2}")).collect();
    value::mac(&padded.join(":")).map_err(|bad| {
        value::Bad::new(format!("'{text}' is not a MAC address")).help(bad.help.unwrap_or_default())
    })
}

fn interface(piece: &Piece<'_>, written: &mut Written) -> Result<(), Fault> {
    let name = match piece.cut(':') {
        Some((head, tail)) if head.text == "physdev" => {
            written.physdev = true;
            tail
        }
        _ => piece.clone(),
    };
    if name.text.is_empty() {
        return Err(piece.fault("bad-interface", "the interface has no name".into()));
    }
    if name.text.len() > 15 {
        return Err(name
            .fault(
                "bad-interface",
                format!("the interface name '{}' is too long", name.text),
            )
            .help("at most 15 characters"));
    }
    written.interface = Interface::new(name.text);
    Ok(())
}

/// `[protocol:]port[-port]`.
fn port_part(set: &Set, piece: &Piece<'_>, written: &mut Written) -> Result<(), Fault> {
    let Some((name, port)) = piece.cut(':') else {
        written.protocol = proto::TCP;
        return port_range(piece, written);
    };
    written.protocol = protocol(&name)?;
    let v6 = set.family == Some(Family::V6);
    match written.protocol {
        p if with_ports(p) => return port_range(&port, written),
        proto::ICMP | proto::ICMPV6 => {
            if set.family.is_some() && v6 != (written.protocol == proto::ICMPV6) {
                return Err(name
                    .fault(
                        "bad-protocol",
                        format!("{} has no place in this set", name.text),
                    )
                    .help(if v6 { "icmpv6" } else { "icmp" }));
            }
            written.ports.0 = icmp_type(&port, v6)?;
        }
        _ if port.text == "0" => {}
        _ => {
            return Err(port
                .fault("bad-port", format!("protocol {} has no ports", name.text))
                .help("0")
                .fix("0"));
        }
    }
    Ok(())
}

fn protocol(piece: &Piece<'_>) -> Result<u8, Fault> {
    let number = match value::number(piece.text, 255) {
        Ok(number) => Some(number as u8),
        Err(_) => names::protocol_number(piece.text),
    };
    number.filter(|n| *n != 0).ok_or_else(|| {
        const COMMON: [&str; 8] = [
            "tcp", "udp", "sctp", "udplite", "icmp", "icmpv6", "esp", "vrrp",
        ];
        let fault = piece.fault(
            "bad-protocol",
            format!("'{}' is not a protocol", piece.text),
        );
        match nearest(piece.text, COMMON) {
            Some(near) => fault.help(near).fix(near),
            None => fault.help("a name such as tcp, udp, icmp or a number from 1 to 255"),
        }
    })
}

fn port_range(piece: &Piece<'_>, written: &mut Written) -> Result<(), Fault> {
    // Names of services have hyphens in them.
    if let Ok(port) = port(piece.text) {
        written.ports = (port, None);
        return Ok(());
    }
    let Some((first, last)) = piece.cut('-') else {
        written.ports = (piece.value(port)?, None);
        return Ok(());
    };
    written.ports = (first.value(port)?, Some(last.value(port)?));
    Ok(())
}

fn port(text: &str) -> value::Value<u16> {
    value::number(text, 65_535)
        .map(|n| n as u16)
        .or_else(|_| value::port(text))
}

fn icmp_type(piece: &Piece<'_>, v6: bool) -> Result<u16, Fault> {
    if let Some(port) = icmp::by_name(piece.text, v6) {
        return Ok(port);
    }
    let Some((kind, code)) = piece.cut('/') else {
        let fault = piece.fault(
            "bad-icmp-type",
            format!("'{}' is not an ICMP type", piece.text),
        );
        return Err(
            match nearest(piece.text, icmp::names(v6).iter().map(|r| r.0)) {
                Some(near) => fault.help(near).fix(near),
                None => fault.help("a name or type/code, such as 8/0"),
            },
        );
    };
    let byte = |piece: &Piece<'_>| piece.value(|t| value::number(t, 255)).map(|n| n as u8);
    Ok(u16::from_be_bytes([byte(&kind)?, byte(&code)?]))
}

/// First and last address of what was written.
fn ends(span: &Span) -> (u128, u128) {
    let to = span.to.unwrap_or(span.from);
    (span.from.min(to), span.from.max(to))
}

/// First and last address, prefixes included.
pub(super) fn all_of(span: &Span, width: u8) -> (u128, u128) {
    match span.prefix {
        Some(prefix) => {
            let mask = prefix_mask(prefix, width);
            let all = prefix_mask(width, width);
            (span.from & mask, (span.from & mask) | (all & !mask))
        }
        None => ends(span),
    }
}

/// The widest network that begins a range (kernel `ip_set_range_to_cidr`): its prefix length and last address.
fn head_of_range(from: u128, to: u128, least: u8) -> (u8, u128) {
    (least..32)
        .map(|prefix| (prefix, prefix_mask(prefix, 32)))
        .find(|(_, mask)| from & mask == from && from | (0xffff_ffff & !mask) <= to)
        .map_or((32, from), |(prefix, mask)| {
            (prefix, from | (0xffff_ffff & !mask))
        })
}

/// The networks of what was written.
fn networks(set: &Set, span: &Span, mask: u128) -> Vec<(u128, u8)> {
    let width = set.width();
    if span.to.is_none() {
        let prefix = span.prefix.unwrap_or(width);
        return vec![(span.from & prefix_mask(prefix, width) & mask, prefix)];
    }
    let (mut from, to) = ends(span);
    let mut found = Vec::new();
    // At most two networks a length.
    loop {
        let (prefix, last) = head_of_range(from, to, 1);
        found.push((from, prefix));
        if last >= to {
            return found;
        }
        from = last + 1;
    }
}

/// Calls `each` with every element that is written, as kernel `*_uadt` do; stops at the first error.
pub(super) fn expand<E>(
    set: &Set,
    written: &Written,
    each: &mut dyn FnMut(Element) -> Result<(), E>,
) -> Result<(), Expansion<E>> {
    let width = set.width();
    let base = Element {
        interface: written.interface,
        physdev: written.physdev,
        mac: match set.kind {
            Kind::BitmapIpMac => [0; 6],
            _ => written.mac.unwrap_or_default(),
        },
        mark: written.mark & set.options.markmask,
        protocol: written.protocol,
        prefix: width,
        prefix2: width,
        ..Element::default()
    };
    let zero = |what| Err(Expansion::Zero(what));
    match set.kind {
        Kind::ListSet => Ok(()),
        Kind::HashMac if base.mac == [0; 6] => zero("the hardware address 0"),
        Kind::HashMac => each(Element {
            prefix: 0,
            prefix2: 0,
            ..base
        })
        .map_err(Expansion::Refused),
        Kind::BitmapPort => {
            let (first, last) = port_ends(written);
            for port in first..=last {
                each(Element {
                    port,
                    ..Element::default()
                })
                .map_err(Expansion::Refused)?;
            }
            Ok(())
        }
        Kind::BitmapIp | Kind::BitmapIpMac | Kind::HashIp => {
            let (mut from, to) = match &written.first {
                // What is masked is the beginning only.
                span if span.prefix.is_none() && span.to.is_none() => {
                    let masked = span.from & set.mask();
                    (masked, masked)
                }
                span => {
                    let (from, to) = all_of(span, width);
                    let from = if set.kind == Kind::HashIp {
                        from & set.mask()
                    } else {
                        from
                    };
                    (from, to)
                }
            };
            if set.kind == Kind::HashIp && from == 0 {
                return zero("the address 0");
            }
            let hosts = 1u128 << (width - set.options.netmask.unwrap_or(width)).min(127);
            while from <= to {
                let address = if set.kind == Kind::BitmapIp {
                    from & set.mask()
                } else {
                    from
                };
                each(Element {
                    address,
                    prefix2: 0,
                    ..base
                })
                .map_err(Expansion::Refused)?;
                let Some(next) = from.checked_add(hosts) else {
                    break;
                };
                from = next;
            }
            Ok(())
        }
        _ => tuples(set, written, base, each),
    }
}

/// Why an expansion ended early.
pub(super) enum Expansion<E> {
    /// The set cannot hold this.
    Zero(&'static str),
    /// What the caller said of one element.
    Refused(E),
}

fn port_ends(written: &Written) -> (u16, u16) {
    let (first, last) = (written.ports.0, written.ports.1.unwrap_or(written.ports.0));
    (first.min(last), first.max(last))
}

/// The types of two and three parts, and hash:net.
fn tuples<E>(
    set: &Set,
    written: &Written,
    base: Element,
    each: &mut dyn FnMut(Element) -> Result<(), E>,
) -> Result<(), Expansion<E>> {
    let width = set.width();
    let parts = set.kind.parts();
    let has_second = parts
        .iter()
        .filter(|p| matches!(p, Part::Ip | Part::Net))
        .count()
        == 2;
    let firsts: Box<dyn Iterator<Item = (u128, u8)>> = if parts.first() == Some(&Part::Net) {
        let mask = match set.kind {
            Kind::HashNetNet => set.mask(),
            _ => u128::MAX,
        };
        Box::new(networks(set, &written.first, mask).into_iter())
    } else {
        let (mut from, to) = all_of(&written.first, width);
        if set.kind == Kind::HashIpPort {
            let masked = from & set.mask();
            if written.first.prefix.is_none() && written.first.to.is_none() {
                return tuples_of(
                    set,
                    written,
                    base,
                    Box::new(std::iter::once((masked, width))),
                    has_second,
                    each,
                );
            }
            from = masked;
        }
        Box::new((from..=to).map(move |a| (a, width)))
    };
    tuples_of(set, written, base, firsts, has_second, each)
}

fn tuples_of<E>(
    set: &Set,
    written: &Written,
    base: Element,
    firsts: Box<dyn Iterator<Item = (u128, u8)> + '_>,
    has_second: bool,
    each: &mut dyn FnMut(Element) -> Result<(), E>,
) -> Result<(), Expansion<E>> {
    let seconds = if !has_second {
        vec![(0, 0)]
    } else if set.kind == Kind::HashIpPortIp {
        vec![(written.second.from, set.width())]
    } else {
        let mask = match set.kind {
            Kind::HashNetNet => set.mask(),
            _ => u128::MAX,
        };
        networks(set, &written.second, mask)
    };
    let (first_port, last_port) = port_ends(written);
    for (address, prefix) in firsts {
        if address == 0 && set.kind == Kind::HashIpPort
            || address == 0 && base.mark == 0 && set.kind == Kind::HashIpMark
        {
            return Err(Expansion::Zero("the address 0"));
        }
        if set.kind == Kind::HashIpMac && base.mac == [0; 6] {
            return Err(Expansion::Zero("the hardware address 0"));
        }
        for port in first_port..=last_port {
            for &(address2, prefix2) in &seconds {
                each(Element {
                    address,
                    prefix,
                    port,
                    address2,
                    prefix2,
                    ..base
                })
                .map_err(Expansion::Refused)?;
            }
        }
    }
    Ok(())
}
