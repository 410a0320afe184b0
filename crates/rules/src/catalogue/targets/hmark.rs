//! `-j HMARK`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::prelude::*;

/// `-j HMARK`: marks a packet with a hash of its addresses and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmark {
    /// Bits of the source that count; `None`: it does not.
    pub source: Option<u8>,
    /// Bits of the destination that count.
    pub destination: Option<u8>,
    /// Of the two ports, or of an SPI in their place, what counts.
    pub port_mask: Ports,
    /// What is set in them all the same.
    pub port_set: Ports,
    /// What of the protocol counts.
    pub protocol_mask: Option<u16>,
    /// What the hash begins with.
    pub seed: u32,
    /// The mark is less than this …
    pub modulus: u32,
    /// … and so much greater; `None`: 0, and not printed.
    pub offset: Option<u32>,
    /// What the connection says is hashed, not what the packet says.
    pub connection: bool,
}

/// Two ports, or the number that stands in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Ports {
    /// Nothing said.
    #[default]
    None,
    /// The source's and the destination's.
    Two(Option<u16>, Option<u16>),
    /// The SPI.
    Spi(u32),
}

impl Ports {
    /// The number that the two make, the source's above.
    pub fn word(self) -> u32 {
        match self {
            Ports::None => 0,
            Ports::Two(a, b) => u32::from(a.unwrap_or(0)) << 16 | u32::from(b.unwrap_or(0)),
            Ports::Spi(spi) => spi,
        }
    }

    fn of(two: (Option<u16>, Option<u16>), spi: Option<u32>) -> Ports {
        match (two, spi) {
            (_, Some(spi)) => Ports::Spi(spi),
            ((None, None), None) => Ports::None,
            ((a, b), None) => Ports::Two(a, b),
        }
    }

    fn write(self, out: &mut Out, end: &str) {
        let port = |out: &mut Out, name: &str, port: Option<u16>| {
            if let Some(port) = port {
                out.opt(&format!("hmark-{name}{end}"), format_args!("{port:#06x}"));
            }
        };
        match self {
            Ports::None => {}
            Ports::Two(a, b) => {
                port(out, "sport", a);
                port(out, "dport", b);
            }
            Ports::Spi(spi) => out.opt(&format!("hmark-spi{end}"), format_args!("{spi:#010x}")),
        }
    }

    fn list(self, out: &mut Out, end: &str) {
        match self {
            Ports::None => {}
            Ports::Two(a, b) => {
                for (name, port) in [("sport", a), ("dport", b)] {
                    if let Some(port) = port {
                        out.text.push_str(&format!("{name}{end} {port:#x} "));
                    }
                }
            }
            Ports::Spi(spi) => out.text.push_str(&format!("spi{end} {spi:#x} ")),
        }
    }
}

/// What `--hmark-tuple` takes, in the order in which beginnings of words are tried; each is another way to give an
/// option with all of its bits.
const TUPLE: [(&str, &str); 7] = [
    ("ct", ""),
    ("src", "hmark-src-prefix"),
    ("dst", "hmark-dst-prefix"),
    ("sport", "hmark-sport-mask"),
    ("dport", "hmark-dport-mask"),
    ("proto", "hmark-proto-mask"),
    ("spi", "hmark-spi-mask"),
];

fn tuple(text: &str) -> Value<Vec<&'static str>> {
    text.split(',')
        .map(|word| {
            let lower = word.to_ascii_lowercase();
            TUPLE
                .iter()
                .find(|(name, _)| !word.is_empty() && name.starts_with(&lower))
                .map(|(_, option)| *option)
                .ok_or_else(|| {
                    Bad::new(format!("'{word}' is no part of a tuple"))
                        .help("src, dst, sport, dport, spi, proto or ct")
                })
        })
        .collect()
}

impl Hmark {
    /// What of an address counts.
    pub fn mask(prefix: Option<u8>, family: Family) -> IpAddr {
        let gone = |bits: u32| bits.saturating_sub(u32::from(prefix.unwrap_or(0)));
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(u32::MAX.checked_shl(gone(32)).unwrap_or(0))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(
                u128::MAX.checked_shl(gone(128)).unwrap_or(0),
            )),
        }
    }
}

impl Spec for Hmark {
    const ROW: Extension = Extension::new(
        "HMARK",
        Families::Both,
        "Marks a packet with a hash of its addresses and ports.",
    )
    .options(&[
        opt(
            "hmark-tuple",
            "WHAT[,WHAT]",
            "all of src, dst, sport, dport, spi, proto; ct: as the connection has it",
        ),
        opt("hmark-mod", "NUMBER", "the hash is made less than this").required(),
        opt("hmark-offset", "NUMBER", "added to it"),
        opt(
            "hmark-src-prefix",
            "LENGTH",
            "how much of the source counts",
        ),
        opt(
            "hmark-dst-prefix",
            "LENGTH",
            "how much of the destination counts",
        ),
        opt("hmark-sport-mask", "MASK", "what of the source port counts"),
        opt(
            "hmark-dport-mask",
            "MASK",
            "what of the destination port counts",
        ),
        opt(
            "hmark-spi-mask",
            "MASK",
            "what of the SPI of ESP and AH counts",
        )
        .excludes(&["hmark-sport-mask", "hmark-dport-mask"]),
        opt("hmark-sport", "NUMBER", "bits set in the source port"),
        opt("hmark-dport", "NUMBER", "bits set in the destination port"),
        opt("hmark-spi", "NUMBER", "bits set in the SPI").excludes(&["hmark-sport", "hmark-dport"]),
        opt("hmark-proto-mask", "MASK", "what of the protocol counts"),
        opt("hmark-rnd", "NUMBER", "what the hash begins with").required(),
    ])
    .needs(&[Need::Network, Need::Transport]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let whole = l.plain("hmark-tuple", tuple)?.unwrap_or_default();
        let all = match l.family {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        // What stands last counts, and nothing may be said again after the tuple said it.
        let place = |name: &str| l.given.iter().position(|g| g.option.name == name);
        let tuple_at = place("hmark-tuple");
        let from_tuple = |name: &str| -> Result<bool, Fault> {
            let said = whole.contains(&name);
            match (l.find(name), place(name) < tuple_at) {
                (Some(given), false) if said => Err(given.fault(Bad::new(format!(
                    "--{name} was said by --hmark-tuple already"
                )))),
                _ => Ok(said),
            }
        };
        let prefix = |name: &str| -> Result<Option<u8>, Fault> {
            let given = l.plain(name, |t| value::prefix(t, l.family))?;
            let given = given.map(|prefix| prefix.unwrap_or(all));
            Ok(if from_tuple(name)? { Some(all) } else { given })
        };
        let short = |name: &str| -> Result<Option<u16>, Fault> {
            let given = l.plain(name, read::short)?;
            Ok(if from_tuple(name)? {
                Some(u16::MAX)
            } else {
                given
            })
        };
        let spi = l.plain("hmark-spi-mask", read::word)?;
        let spi = match from_tuple("hmark-spi-mask")? {
            true => Some(u32::MAX),
            false => spi,
        };
        let two = (short("hmark-sport-mask")?, short("hmark-dport-mask")?);
        if spi.is_some() && two != (None, None) {
            return Err(l.fault(Bad::new("ports and an SPI cannot be hashed both")));
        }
        let modulus = |t: &str| match read::word(t)? {
            0 => Err(Bad::new("nothing is less than 0")),
            n => Ok(n),
        };
        let set = (
            l.plain("hmark-sport", read::short)?,
            l.plain("hmark-dport", read::short)?,
        );
        let rule = Hmark {
            source: prefix("hmark-src-prefix")?,
            destination: prefix("hmark-dst-prefix")?,
            port_mask: Ports::of(two, spi),
            port_set: Ports::of(set, l.plain("hmark-spi", read::word)?),
            protocol_mask: short("hmark-proto-mask")?,
            seed: l.need("hmark-rnd", read::word)?,
            modulus: l.need("hmark-mod", modulus)?,
            offset: l.plain("hmark-offset", read::word)?,
            connection: whole.contains(&""),
        };
        let nothing = rule.source.is_none()
            && rule.destination.is_none()
            && rule.port_mask == Ports::None
            && rule.port_set == Ports::None
            && rule.protocol_mask.is_none()
            && !rule.connection;
        if nothing {
            return Err(l.missing("hmark-tuple"));
        }
        Ok(rule)
    }

    fn write(&self, out: &mut Out) {
        for (name, prefix) in [
            ("hmark-src-prefix", self.source),
            ("hmark-dst-prefix", self.destination),
        ] {
            if let Some(prefix) = prefix {
                out.opt(name, prefix);
            }
        }
        self.port_mask.write(out, "-mask");
        self.port_set.write(out, "");
        if let Some(mask) = self.protocol_mask {
            out.opt("hmark-proto-mask", format_args!("{mask:#04x}"));
        }
        out.opt("hmark-rnd", format_args!("{:#010x}", self.seed));
        out.opt("hmark-mod", self.modulus);
        if let Some(offset) = self.offset {
            out.opt("hmark-offset", offset);
        }
        if self.connection {
            out.opt("hmark-tuple", "ct");
        }
    }

    fn list(&self, out: &mut Out) {
        // Each part has its blank behind it.
        out.text.push_str(&format!(" HMARK mod {} ", self.modulus));
        if let Some(offset) = self.offset {
            out.text.push_str(&format!("+ {offset:#x} "));
        }
        if self.connection {
            out.text.push_str("ct, ");
        }
        for (name, prefix) in [("src", self.source), ("dst", self.destination)] {
            match (prefix, out.family) {
                // The real program leaves out the length of a whole address, with the slash that it cuts off.
                (Some(128), Family::V6) => out.text.push_str(&format!("{name}-prefix  ")),
                (Some(prefix), _) => out.text.push_str(&format!("{name}-prefix {prefix} ")),
                (None, _) => {}
            }
        }
        self.port_mask.list(out, "-mask");
        self.port_set.list(out, "");
        if let Some(mask) = self.protocol_mask {
            out.text.push_str(&format!("proto-mask {mask:#x} "));
        }
        out.text.push_str(&format!("rnd {:#x} ", self.seed));
    }
}
