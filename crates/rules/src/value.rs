//! Values of options: addresses, ports, numbers, names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::Family;

use crate::lex::Word;
use crate::model::{InterfacePattern, Net, PortRange};

/// A value that does not parse: what is wrong and what to do.
pub(crate) struct Bad {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// An option is missing: likely a consequence when something else in the command is wrong.
    pub(crate) missing: bool,
    /// Code of the diagnostic, where it is not the common one.
    pub(crate) code: Option<&'static str>,
    /// What the real program says, without its name and version in front.
    pub(crate) said: Option<String>,
}

/// What is wrong, and the word that it is about.
pub(crate) type Fault = (Word, Bad);

impl Bad {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Bad {
            message: message.into(),
            help: None,
            missing: false,
            code: None,
            said: None,
        }
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// What the real program says, without its name and version in front.
    pub(crate) fn said(mut self, text: impl Into<String>) -> Self {
        self.said = Some(text.into());
        self
    }

    pub(crate) fn missing(mut self) -> Self {
        self.missing = true;
        self
    }

    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

pub(crate) type Value<T> = Result<T, Bad>;

/// A number in decimal, octal (leading 0) or hexadecimal (0x), as `strtoul` with base 0.
pub(crate) fn number(text: &str, max: u64) -> Value<u64> {
    let parsed = if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        u64::from_str_radix(text, 8)
    } else {
        text.parse()
    };
    match parsed {
        Ok(value) if value <= max && !text.starts_with('+') => Ok(value),
        _ => Err(Bad::new(format!(
            "'{text}' is not a number from 0 to {max}"
        ))),
    }
}

/// `value[/mask]`.
pub(crate) fn mark(text: &str) -> Value<(u32, u32)> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    let max = u64::from(u32::MAX);
    Ok((number(value, max)? as u32, number(mask, max)? as u32))
}

pub(crate) fn port(text: &str) -> Value<u16> {
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        return number(text, 65_535).map(|n| n as u16);
    }
    crate::names::service_port(text).ok_or_else(|| {
        Bad::new(format!("'{text}' is neither a port nor a known service"))
            .help("use the port number")
    })
}

/// An interface name, or its beginning and a `+` (`xtables_parse_interface`).
pub(crate) fn interface(text: &str) -> Value<InterfacePattern> {
    if text.len() > 15 {
        return Err(Bad::new(format!(
            "interface name '{text}' must have 1 to 15 bytes"
        )));
    }
    let name = text.strip_suffix('+');
    Ok(InterfacePattern {
        // No name at all fits every interface.
        prefix: name.is_some() || text.is_empty(),
        name: name.unwrap_or(text).to_string(),
    })
}

/// `value[/mask]`, or a name of a table for the value of a whole mask (`xtables_parse_val_mask`).
pub(crate) fn named_mark(text: &str, known: &[(&str, u32)], file: &str) -> Value<(u32, u32)> {
    let max = u64::from(u32::MAX);
    let (head, mask) = match text.split_once('/') {
        Some((head, mask)) => (head, Some(mask)),
        None => (text, None),
    };
    if let Ok(value) = number(head, max) {
        let mask = mask.map_or(Ok(max), |mask| number(mask, max))?;
        return Ok((value as u32, mask as u32));
    }
    match known.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok((*value, u32::MAX)),
        None => Err(Bad::new(format!(
            "'{text}' is neither a number nor a name known here"
        ))
        .help(format!("the number that {file} has for it"))),
    }
}

/// `first[:last]`, either side optional.
pub(crate) fn port_range(text: &str) -> Value<PortRange> {
    let Some((first, last)) = text.split_once(':') else {
        let port = port(text)?;
        return Ok(PortRange {
            first: port,
            last: port,
        });
    };
    let first = if first.is_empty() { 0 } else { port(first)? };
    let last = if last.is_empty() { 65_535 } else { port(last)? };
    if first > last {
        return Err(
            Bad::new(format!("the port range {first}:{last} is backwards"))
                .help(format!("{last}:{first}")),
        );
    }
    Ok(PortRange { first, last })
}

/// Two numbers `a[:b]`, with a default for a missing end.
pub(crate) fn number_range(text: &str, max: u64) -> Value<(u64, u64)> {
    let Some((first, last)) = text.split_once(':') else {
        let value = number(text, max)?;
        return Ok((value, value));
    };
    let first = if first.is_empty() {
        0
    } else {
        number(first, max)?
    };
    let last = if last.is_empty() {
        max
    } else {
        number(last, max)?
    };
    if first > last {
        return Err(Bad::new(format!("the range {first}:{last} is backwards")));
    }
    Ok((first, last))
}

pub(crate) fn address(text: &str, family: Family) -> Value<IpAddr> {
    let bad = || {
        let host = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            && text.bytes().any(|b| b.is_ascii_alphabetic());
        let other = match family {
            Family::V4 => text.parse::<Ipv6Addr>().is_ok(),
            Family::V6 => text.parse::<Ipv4Addr>().is_ok(),
        };
        if other {
            Bad::new(format!(
                "'{text}' is an address of the other family in an {family} rule"
            ))
            .help(match family {
                Family::V4 => "put it into the ip6tables rules",
                Family::V6 => "put it into the iptables rules",
            })
        } else if host && (family == Family::V4 || !text.contains(':')) {
            Bad::new(format!(
                "'{text}' is a host name; names are not resolved here"
            ))
            .help("write its address")
        } else {
            Bad::new(format!("'{text}' is not an {family} address"))
        }
    };
    match family {
        Family::V4 => dotted(text).map(IpAddr::V4).ok_or_else(bad),
        Family::V6 => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| bad()),
    }
}

/// An address as the C library's `inet_aton` reads it: the last part of a short one fills what is left, so that
/// 10.1.2 is 10.1.0.2.
pub(crate) fn host(text: &str, family: Family) -> Value<IpAddr> {
    let parts: Vec<&str> = text.split('.').collect();
    if family == Family::V6 || parts.len() > 4 {
        return address(text, family);
    }
    let mut value = 0u32;
    for (at, part) in parts.iter().enumerate() {
        let last = at + 1 == parts.len();
        let left = 32 - 8 * at as u32;
        let most = if last { (1u64 << left) - 1 } else { 255 };
        let Ok(number) = number(part, most) else {
            return address(text, family);
        };
        value |= if last {
            number as u32
        } else {
            (number as u32) << (left - 8)
        };
    }
    Ok(IpAddr::V4(Ipv4Addr::from(value)))
}

/// IPv4 with missing parts taken as zero: `10.1` is 10.1.0.0 for iptables.
fn dotted(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    let mut octets = [0u8; 4];
    for (octet, part) in octets.iter_mut().zip(&parts) {
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    Some(Ipv4Addr::from(octets))
}

/// `address[/mask]`, the mask as a length or an address.
pub(crate) fn net(text: &str, family: Family) -> Value<Net> {
    let (head, mask) = match text.split_once('/') {
        Some((head, mask)) => (head, Some(mask)),
        None => (text, None),
    };
    let address = address(head, family)?;
    let bad = |m: &str| Bad::new(format!("'{m}' is not a netmask"));
    Ok(match address {
        IpAddr::V4(a) => {
            let bits = match mask {
                None => u32::MAX,
                Some(m) => match m.parse::<u32>() {
                    Ok(n) if n <= 32 => prefix32(n),
                    Ok(_) => return Err(bad(m).help("0 to 32")),
                    Err(_) => dotted(m).map(u32::from).ok_or_else(|| bad(m))?,
                },
            };
            Net {
                address: IpAddr::V4(Ipv4Addr::from(u32::from(a) & bits)),
                mask: IpAddr::V4(Ipv4Addr::from(bits)),
            }
        }
        IpAddr::V6(a) => {
            let bits = match mask {
                None => u128::MAX,
                Some(m) => match m.parse::<u32>() {
                    Ok(n) if n <= 128 => prefix128(n),
                    Ok(_) => return Err(bad(m).help("0 to 128")),
                    Err(_) => m.parse::<Ipv6Addr>().map(u128::from).map_err(|_| bad(m))?,
                },
            };
            Net {
                address: IpAddr::V6(Ipv6Addr::from(u128::from(a) & bits)),
                mask: IpAddr::V6(Ipv6Addr::from(bits)),
            }
        }
    })
}

fn prefix32(n: u32) -> u32 {
    u32::MAX.checked_shl(32 - n).unwrap_or(0)
}

fn prefix128(n: u32) -> u128 {
    u128::MAX.checked_shl(128 - n).unwrap_or(0)
}

/// `first[-last]`.
pub(crate) fn address_range(text: &str, family: Family) -> Value<(IpAddr, IpAddr)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = (address(first, family)?, address(last, family)?);
    if range.0 > range.1 {
        return Err(Bad::new(format!("the address range {text} is backwards")));
    }
    Ok(range)
}

pub(crate) fn protocol(text: &str) -> Value<u8> {
    crate::names::protocol_number(text).ok_or_else(|| {
        Bad::new(format!("unknown protocol '{text}'"))
            .help("tcp, udp, icmp, ipv6-icmp, esp, ah, sctp, gre, all or a number from 0 to 255")
    })
}

/// A rate such as `3/minute`: time between packets in ten-thousandths of a second.
pub(crate) fn rate(text: &str) -> Value<u32> {
    let bad = || {
        Bad::new(format!("'{text}' is not a rate"))
            .help("a number and /second, /minute, /hour or /day, such as 5/minute")
    };
    let (count, unit) = match text.split_once('/') {
        Some((count, unit)) if !unit.is_empty() => (count, unit),
        Some(_) => return Err(bad()),
        None => (text, "s"),
    };
    let unit = unit.to_ascii_lowercase();
    let seconds: u64 = ["second", "minute", "hour", "day"]
        .iter()
        .zip([1, 60, 3600, 86_400])
        .find(|(name, _)| name.starts_with(&unit))
        .map(|(_, s)| s)
        .ok_or_else(bad)?;
    let count: u64 = count.parse().map_err(|_| bad())?;
    if count == 0 {
        return Err(bad());
    }
    let average = 10_000 * seconds / count;
    if average == 0 {
        return Err(
            Bad::new(format!("the rate {text} is too fast")).help("at most 10000 packets a second")
        );
    }
    Ok(average as u32)
}

pub(crate) fn mac(text: &str) -> Value<[u8; 6]> {
    let bad = || {
        Bad::new(format!("'{text}' is not a MAC address"))
            .help("six pairs of hex digits, such as 00:11:22:33:44:55")
    };
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().ok_or_else(bad)?;
        if part.len() != 2 {
            return Err(bad());
        }
        *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
    }
    if parts.next().is_some() {
        return Err(bad());
    }
    Ok(bytes)
}

/// Names separated by commas, as a set of bits.
pub(crate) fn names<T: Copy + Into<u64>>(
    text: &str,
    table: &[(&str, T)],
    what: &str,
) -> Value<u64> {
    let mut set = 0;
    for name in text.split(',') {
        match table.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, bit)) => set |= (*bit).into(),
            None => {
                let near = crate::diagnostic::nearest(
                    &name.to_ascii_uppercase(),
                    table.iter().map(|(n, _)| *n),
                );
                let known: Vec<&str> = table.iter().map(|(n, _)| *n).collect();
                return Err(Bad::new(format!("'{name}' is no {what}")).help(match near {
                    Some(near) => near.to_string(),
                    None => format!("one of {}", known.join(", ")),
                }));
            }
        }
    }
    Ok(set)
}

/// `type[/code]`, by number or name: (type, first code, last code); type 255 stands for any.
pub(crate) fn icmp_type(text: &str, table: &[(&str, u8, u8, u8)]) -> Value<(u8, u8, u8)> {
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        let (kind, code) = match text.split_once('/') {
            Some((kind, code)) => (kind, Some(code)),
            None => (text, None),
        };
        let kind = number(kind, 255)? as u8;
        return Ok(match code {
            Some(code) => {
                let code = number(code, 255)? as u8;
                (kind, code, code)
            }
            None => (kind, 0, 255),
        });
    }
    let lower = text.to_ascii_lowercase();
    let mut hits = table
        .iter()
        .filter(|(n, ..)| n.to_ascii_lowercase().starts_with(&lower));
    let exact = table.iter().find(|(n, ..)| n.eq_ignore_ascii_case(text));
    match (exact, hits.next(), hits.next()) {
        (Some(row), ..) | (None, Some(row), None) => Ok((row.1, row.2, row.3)),
        (None, Some(_), Some(_)) => Err(Bad::new(format!("ICMP type '{text}' is ambiguous"))),
        _ => {
            let near = crate::diagnostic::nearest(&lower, table.iter().map(|r| r.0));
            let bad = Bad::new(format!("unknown ICMP type '{text}'"));
            Err(match near {
                Some(near) => bad.help(near),
                None => bad,
            })
        }
    }
}
