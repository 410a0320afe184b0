//! Options of the targets that translate addresses (kernel `struct nf_nat_range2`).

use std::net::{IpAddr, Ipv6Addr};

use palisade_wire::{Family, proto};

use super::extension::{Fault, Loaded};
use super::value::{self, Bad, Value};
use crate::model::*;

/// Protocols whose ports (or identifiers) a rule may name.
const WITH_PORTS: [u8; 5] = [
    proto::TCP,
    proto::UDP,
    proto::SCTP,
    proto::DCCP,
    proto::ICMP,
];

/// SNAT, DNAT, MASQUERADE, REDIRECT, NETMAP, SNPT or DNPT; `None` for another target.
pub(crate) fn build(l: &Loaded, family: Family) -> Result<Option<Target>, Fault> {
    let flags = NatRange {
        random: l.has("random"),
        random_fully: l.has("random-fully"),
        persistent: l.has("persistent"),
        ..NatRange::default()
    };
    let to = |option: &'static str| -> Result<NatRange, Fault> {
        once(l, option)?;
        let range = l.plain(&[option], |t| destination(t, family))?;
        let range = l.required(range, option)?;
        Ok(NatRange {
            addresses: range.addresses,
            ports: range.ports,
            base_port: range.base_port,
            ..flags
        })
    };
    let ports = || -> Result<NatRange, Fault> {
        let found = l.plain(&["to-ports"], |t| {
            let (range, base) = port_range(t)?;
            if base.is_some() {
                return Err(Bad::new("a base port goes with DNAT --to-destination only"));
            }
            Ok(range)
        })?;
        Ok(NatRange {
            ports: found,
            ..flags
        })
    };
    Ok(Some(match l.extension.name {
        "SNAT" => Target::Snat(to("to-source")?),
        "DNAT" => Target::Dnat(to("to-destination")?),
        "MASQUERADE" => Target::Masquerade(ports()?),
        "REDIRECT" => Target::Redirect(ports()?),
        "NETMAP" => {
            let net = l.plain(&["to"], |t| value::net(t, family))?;
            Target::Netmap(l.required(net, "to")?)
        }
        "SNPT" | "DNPT" => {
            let from = l.required(l.plain(&["src-pfx"], prefix)?, "src-pfx")?;
            let to = l.required(l.plain(&["dst-pfx"], prefix)?, "dst-pfx")?;
            Target::Npt {
                destination: l.extension.name == "DNPT",
                from,
                to,
            }
        }
        _ => return Ok(None),
    }))
}

/// An option that the real program takes once only.
fn once(l: &Loaded, option: &str) -> Result<(), Fault> {
    let long = format!("--{option}");
    if l.words.iter().filter(|w| **w == long).count() > 1 {
        return Err((
            l.word.clone(),
            Bad::new(format!("--{option} can be given only once"))
                .help("a range of addresses: first-last"),
        ));
    }
    Ok(())
}

/// Whether ports are named for a protocol that has none; the message is then the answer.
pub(crate) fn ports_fit(target: &Target, protocol: Option<u8>) -> Result<(), Bad> {
    let range = match target {
        Target::Snat(r) | Target::Dnat(r) | Target::Masquerade(r) | Target::Redirect(r) => r,
        _ => return Ok(()),
    };
    if range.ports.is_none() || protocol.is_some_and(|p| WITH_PORTS.contains(&p)) {
        return Ok(());
    }
    Err(
        Bad::new("ports can be translated for a protocol that has them only")
            .help("-p tcp, udp, sctp, dccp or icmp in the rule"),
    )
}

/// `[addresses][:ports]`; IPv6 addresses stand in brackets if ports follow.
fn destination(text: &str, family: Family) -> Value<NatRange> {
    let (addresses, ports) = match text.split_once('[') {
        Some((before, rest)) => {
            let closed = rest.split_once(']').filter(|_| family == Family::V6);
            let Some((inside, after)) = closed.filter(|_| before.is_empty()) else {
                return Err(Bad::new(format!("'{text}' is no address"))
                    .help("brackets go around an IPv6 address"));
            };
            let ports = after.split_once(':').map(|(_, ports)| ports);
            if ports.is_none() && !after.is_empty() {
                return Err(Bad::new(format!(
                    "'{after}' behind the address is too much"
                )));
            }
            (inside, ports)
        }
        // One colon is in front of a port; more belong to an IPv6 address.
        None => match text.split_once(':') {
            Some((addresses, ports)) if !ports.contains(':') => (addresses, Some(ports)),
            _ => (text, None),
        },
    };
    let mut range = NatRange::default();
    if let Some(ports) = ports {
        let (found, base) = port_range(ports)?;
        range.ports = Some(found);
        range.base_port = base;
        if addresses.is_empty() {
            return Ok(range);
        }
    }
    let address = |t: &str| -> Value<IpAddr> {
        let parsed = match family {
            Family::V4 => t.parse().map(IpAddr::V4).ok(),
            Family::V6 => t.parse().map(IpAddr::V6).ok(),
        };
        parsed.ok_or_else(|| Bad::new(format!("'{t}' is no {family} address")))
    };
    let (first, last) = match addresses.split_once('-') {
        Some((first, last)) => (address(first)?, address(last)?),
        None => (address(addresses)?, address(addresses)?),
    };
    range.addresses = Some((first, last));
    Ok(range)
}

/// A range of ports, and the base port that shifts it.
type Ports = ((u16, u16), Option<u16>);

/// `port`, `first-last` or `first-last/base`. Names stand for single ports and the base only.
fn port_range(text: &str) -> Value<Ports> {
    let number = |t: &str| value::number(t, 65_535).map(|n| n as u16);
    let starts_with_number = text.bytes().next().is_some_and(|b| b.is_ascii_digit());
    if !starts_with_number {
        let port = value::port(text)?;
        return Ok(((port, port), None));
    }
    let Some((first, rest)) = text.split_once('-') else {
        if text.contains(':') {
            return Err(Bad::new("ports of a range stand with '-' between them")
                .help(text.replacen(':', "-", 1)));
        }
        let port = number(text)?;
        return Ok(((port, port), None));
    };
    let (last, base) = match rest.split_once('/') {
        Some((last, base)) => (last, Some(base)),
        None => (rest, None),
    };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(
            Bad::new(format!("the port range {first}-{last} is backwards"))
                .help(format!("{last}-{first}")),
        );
    }
    let base = base.map(value::port).transpose()?;
    if base == Some(0) {
        return Err(Bad::new("the base port must not be 0"));
    }
    Ok(((first, last), base))
}

/// An IPv6 prefix of at most 64 bits, without bits behind it.
fn prefix(text: &str) -> Value<(Ipv6Addr, u8)> {
    let (address, length) = text.split_once('/').unwrap_or((text, "128"));
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return Err(Bad::new(format!("'{address}' is no IPv6 address")));
    };
    let length = value::number(length, 128)? as u8;
    if length > 64 {
        return Err(Bad::new(format!(
            "a prefix of {length} bits cannot be translated: 64 at most"
        )));
    }
    let inside = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    if u128::from(address) & !inside != 0 {
        return Err(Bad::new(format!(
            "'{text}' has bits behind its prefix of {length} bits"
        )));
    }
    Ok((address, length))
}
