//! Targets that translate addresses: SNAT, DNAT, MASQUERADE, REDIRECT, NETMAP (kernel `struct nf_nat_range2`).

use std::net::IpAddr;

use super::prelude::*;

/// What an address translation may choose from (kernel `struct nf_nat_range2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Range {
    /// First and last address.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// First and last port, or ICMP identifier.
    pub ports: Option<(u16, u16)>,
    /// Ports are shifted by their distance from this one.
    pub base_port: Option<u16>,
    /// `--random`.
    pub random: bool,
    /// `--random-fully`.
    pub random_fully: bool,
    /// `--persistent`.
    pub persistent: bool,
}

/// `-j SNAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Snat(pub Range);

/// `-j DNAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dnat(pub Range);

/// `-j MASQUERADE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Masquerade(pub Range);

/// `-j REDIRECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Redirect(pub Range);

/// `-j NETMAP`: the network that addresses are mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Netmap(pub Net);

const ADDRESSES: &str = "[ADDRESS[-ADDRESS]][:PORT[-PORT]]";
const RANDOM: Opt = flag("random", "ports by chance");
const RANDOM_FULLY: Opt = flag(
    "random-fully",
    "ports by chance, without regard to the packet",
);
const PERSISTENT: Opt = flag("persistent", "a client gets the same address every time");
const TO_PORTS: Opt = opt("to-ports", "PORT[-PORT]", "ports to choose from");

impl Spec for Snat {
    const ROW: Extension = Extension::new(
        "SNAT",
        Families::Both,
        "Changes the source of a connection.",
    )
    .options(&[
        opt("to-source", ADDRESSES, "what the source becomes").required(),
        RANDOM,
        RANDOM_FULLY,
        PERSISTENT,
    ])
    .tables(&[TableKind::Nat])
    .hooks(&[Hook::Postrouting, Hook::Input])
    .needs(&[Need::Connection]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Range::to(loaded, "to-source").map(Snat)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, "to-source");
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("to:{}", self.0.text(true)));
        out.bare(|out| self.0.write_flags(out));
    }
}

impl Spec for Dnat {
    const ROW: Extension = Extension::new(
        "DNAT",
        Families::Both,
        "Changes the destination of a connection.",
    )
    .options(&[
        opt(
            "to-destination",
            "[ADDRESS[-ADDRESS]][:PORT[-PORT[/PORT]]]",
            "what the destination becomes",
        )
        .required(),
        RANDOM,
        PERSISTENT,
    ])
    .tables(&[TableKind::Nat])
    .hooks(&[Hook::Prerouting, Hook::Output])
    .needs(&[Need::Connection]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Range::to(loaded, "to-destination").map(Dnat)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, "to-destination");
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("to:{}", self.0.text(true)));
        out.bare(|out| self.0.write_flags(out));
    }
}

impl Spec for Masquerade {
    const ROW: Extension = Extension::new(
        "MASQUERADE",
        Families::Both,
        "Changes the source of a connection to the address of the interface it leaves by.",
    )
    .options(&[TO_PORTS, RANDOM, RANDOM_FULLY])
    .tables(&[TableKind::Nat])
    .hooks(&[Hook::Postrouting])
    .needs(&[Need::Connection, Need::Host]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Range::to_ports(loaded).map(Masquerade)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, "to-ports");
    }

    fn list(&self, out: &mut Out) {
        if self.0.ports.is_some() {
            out.word(format_args!("masq ports: {}", self.0.text(false)));
        }
        out.bare(|out| self.0.write_flags(out));
    }
}

impl Spec for Redirect {
    const ROW: Extension = Extension::new(
        "REDIRECT",
        Families::Both,
        "Changes the destination of a connection to this host.",
    )
    .options(&[TO_PORTS, RANDOM])
    .tables(&[TableKind::Nat])
    .hooks(&[Hook::Prerouting, Hook::Output])
    .needs(&[Need::Connection, Need::Host]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Range::to_ports(loaded).map(Redirect)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, "to-ports");
    }

    fn list(&self, out: &mut Out) {
        if self.0.ports.is_some() {
            out.word(format_args!("redir ports {}", self.0.text(false)));
        }
        out.bare(|out| self.0.write_flags(out));
    }
}

impl Spec for Netmap {
    const ROW: Extension = Extension::new(
        "NETMAP",
        Families::Both,
        "Maps one network to another, address by address.",
    )
    .options(&[opt("to", "ADDRESS[/MASK]", "the network it becomes").required()])
    .tables(&[TableKind::Nat])
    .hooks(&[
        Hook::Prerouting,
        Hook::Input,
        Hook::Output,
        Hook::Postrouting,
    ])
    .needs(&[Need::Connection]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded
            .need("to", |t| value::host_mask(t, loaded.family))
            .map(|net| Netmap(net.masked()))
    }

    fn write(&self, out: &mut Out) {
        out.opt("to", write::net(&self.0));
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("to:{}", write::net(&self.0)));
    }
}

/// Protocols whose ports (or identifiers) a rule may name.
const WITH_PORTS: [u8; 5] = [
    proto::TCP,
    proto::UDP,
    proto::SCTP,
    proto::DCCP,
    proto::ICMP,
];

impl Range {
    fn to(loaded: &Loaded, option: &str) -> Result<Self, Fault> {
        let range = loaded.need(option, |t| destination(t, loaded.family))?;
        range.with_flags(loaded)
    }

    fn to_ports(loaded: &Loaded) -> Result<Self, Fault> {
        let ports = loaded.plain("to-ports", |t| {
            let (range, base) = port_range(t)?;
            if base.is_some() && loaded.extension.name == "REDIRECT" {
                return Err(Bad::new("a base port goes with DNAT --to-destination only"));
            }
            Ok((range, base))
        })?;
        let range = Range {
            ports: ports.map(|(range, _)| range),
            base_port: ports.and_then(|(_, base)| base),
            ..Range::default()
        };
        range.with_flags(loaded)
    }

    fn with_flags(self, loaded: &Loaded) -> Result<Self, Fault> {
        // The program asks for the protocol when it reads the ports, and not whether `!` stands before it.
        let known = |g: &read::Given| g.option.values == 0 || WITH_PORTS.contains(&g.protocol);
        if self.ports.is_some() && !loaded.given.iter().all(known) {
            return Err(loaded.fault(
                Bad::new("ports can be translated for a protocol that has them only")
                    .help("-p tcp, udp, sctp, dccp or icmp in the rule")
                    .code("target-needs-protocol"),
            ));
        }
        // Only DNAT has room for the base port: SNAT and MASQUERADE reckon from port 0.
        let base_port = match loaded.extension.name {
            "DNAT" => self.base_port,
            _ => self.base_port.map(|_| 0),
        };
        Ok(Range {
            base_port,
            random: loaded.has("random"),
            random_fully: loaded.has("random-fully"),
            persistent: loaded.has("persistent"),
            ..self
        })
    }

    /// Addresses and ports; a colon in front of the ports with `colon`.
    fn text(&self, colon: bool) -> String {
        use std::fmt::Write;
        let mut to = String::new();
        if let Some((first, last)) = self.addresses {
            let brackets = first.is_ipv6() && self.ports.is_some();
            if brackets {
                to.push('[');
            }
            to.push_str(&write::address(first));
            if last != first {
                let _ = write!(to, "-{}", write::address(last));
            }
            if brackets {
                to.push(']');
            }
        }
        if let Some((first, last)) = self.ports {
            if colon {
                to.push(':');
            }
            let _ = write!(to, "{first}");
            if last != first {
                let _ = write!(to, "-{last}");
            }
            if let Some(base) = self.base_port {
                let _ = write!(to, "/{base}");
            }
        }
        to
    }

    fn write(&self, out: &mut Out, option: &str) {
        let to = self.text(option != "to-ports");
        if !to.is_empty() {
            out.opt(option, to);
        }
        self.write_flags(out);
    }

    fn write_flags(&self, out: &mut Out) {
        for (set, name) in [
            (self.random, "random"),
            (self.random_fully, "random-fully"),
            (self.persistent, "persistent"),
        ] {
            if set {
                out.flag(name);
            }
        }
    }
}

/// `[addresses][:ports]`; IPv6 addresses stand in brackets if ports follow.
fn destination(text: &str, family: Family) -> Value<Range> {
    let (addresses, ports) = match text.split_once('[') {
        Some((before, rest)) => {
            let closed = rest.split_once(']').filter(|_| family == Family::V6);
            let Some((inside, after)) = closed.filter(|_| before.is_empty()) else {
                return Err(Bad::new(format!("'{text}' is no address"))
                    .help("brackets go around an IPv6 address"));
            };
            // What stands there without a colon is not looked at.
            (inside, after.split_once(':').map(|(_, ports)| ports))
        }
        // One colon is in front of a port; more belong to an IPv6 address.
        None => match text.split_once(':') {
            Some((addresses, ports)) if !ports.contains(':') => (addresses, Some(ports)),
            _ => (text, None),
        },
    };
    let mut range = Range::default();
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
    if value::leading_number(text).is_none() {
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
