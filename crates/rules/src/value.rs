//! Values of options: addresses, ports, numbers, names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::Family;

use crate::lex::Word;
use crate::model::{Net, PortRange};

/// A value that does not parse: what is wrong and what to do.
pub(crate) struct Bad {
    pub(crate) message: Box<str>,
    pub(crate) help: Option<String>,
    /// An option is missing: likely a consequence when something else in the command is wrong.
    pub(crate) missing: bool,
    /// Code of the diagnostic, where it is not the common one.
    pub(crate) code: Option<&'static str>,
    /// What the real program says, without its name and version in front; `{extension}` and
    /// `{option}` stand for the names of what is read.
    pub(crate) said: Option<Box<str>>,
}

/// What is wrong, and the word that it is about.
pub(crate) type Fault = (Word, Bad);

impl Bad {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Bad {
            message: message.into().into_boxed_str(),
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
        self.said = Some(text.into().into_boxed_str());
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
        _ => Err(
            Bad::new(format!("'{text}' is not a number from 0 to {max}")).said(format!(
                "{{extension}}: bad value for option \"--{{option}}\", or out of range (0-{max})."
            )),
        ),
    }
}

/// `value[/mask]`.
pub(crate) fn mark(text: &str) -> Value<(u32, u32)> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    let max = u64::from(u32::MAX);
    let part = |text| {
        number(text, max).map(|n| n as u32).map_err(|bad| {
            bad.said("{extension}: bad integer value for option \"--{option}\", or out of range.")
        })
    };
    Ok((part(value)?, part(mask)?))
}

pub(crate) fn port(text: &str) -> Value<u16> {
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        return number(text, 65_535)
            .map(|n| n as u16)
            .map_err(|bad| bad.said(format!("invalid port/service `{text}' specified")));
    }
    crate::names::service_port(text).ok_or_else(|| {
        Bad::new(format!("'{text}' is neither a port nor a known service"))
            .help("use the port number")
            .said(format!("invalid port/service `{text}' specified"))
    })
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
                .help(format!("{last}:{first}"))
                .said("invalid portrange (min > max)"),
        );
    }
    Ok(PortRange { first, last })
}

/// Two numbers `a[:b]`, with a default for a missing end.
pub(crate) fn number_range(text: &str, max: u64) -> Value<(u64, u64)> {
    let number = |part: &str, max: u64| {
        number(part, max).map_err(|bad| {
            // The program shows all from the number that it could not read.
            let rest = match text.starts_with(part) {
                true => text,
                false => part,
            };
            bad.said(format!(
                "{{extension}}: bad value for option \"--{{option}}\" near \"{rest}\", or out of range (0-{max})."
            ))
        })
    };
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
        // The one name that means the same everywhere.
        Family::V4 if text == "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Family::V4 => dotted(text).map(IpAddr::V4).ok_or_else(bad),
        Family::V6 => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| bad()),
    }
}

/// IPv4 with missing parts taken as zero: `10.1` is 10.1.0.0 for iptables, each part in any of C's
/// bases (iptables `__numeric_to_ipaddr`).
fn dotted(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let Some(part) = parts.next() else { break };
        *octet = number(part, 255).ok()? as u8;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// `address[/mask]`, the mask as a length or an address; with a mask of no bits the address may be
/// anything, as in `any/0`.
pub(crate) fn net(text: &str, family: Family) -> Value<Net> {
    let (head, mask) = match text.rsplit_once('/') {
        Some((head, mask)) => (head, Some(mask)),
        None => (text, None),
    };
    let bad = |m: &str, help: &str| {
        Bad::new(format!("'{m}' is not a netmask"))
            .help(help)
            .said(format!("invalid mask `{m}' specified"))
    };
    let not_found = |bad: Bad| bad.said(format!("host/network `{head}' not found"));
    match family {
        Family::V4 => {
            let bits = match mask {
                None => u32::MAX,
                Some(m) if m.matches('.').count() == 3 && dotted(m).is_some() => {
                    dotted(m).map_or(0, u32::from)
                }
                Some(m) => match number(m, 32) {
                    Ok(n) => prefix32(n as u32),
                    Err(_) => return Err(bad(m, "0 to 32, or a mask such as 255.255.255.0")),
                },
            };
            let address = match bits {
                0 => Ipv4Addr::UNSPECIFIED,
                _ => match address(head, family).map_err(not_found)? {
                    IpAddr::V4(a) => a,
                    IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
                },
            };
            Ok(Net {
                address: IpAddr::V4(Ipv4Addr::from(u32::from(address) & bits)),
                mask: IpAddr::V4(Ipv4Addr::from(bits)),
            })
        }
        Family::V6 => {
            let bits = match mask {
                None => u128::MAX,
                Some(m) => match (m.parse::<Ipv6Addr>(), number(m, 128)) {
                    (Ok(mask), _) => u128::from(mask),
                    (_, Ok(n)) => prefix128(n as u32),
                    _ => return Err(bad(m, "0 to 128")),
                },
            };
            let address = match bits {
                0 => Ipv6Addr::UNSPECIFIED,
                _ => match address(head, family).map_err(not_found)? {
                    IpAddr::V6(a) => a,
                    IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
                },
            };
            Ok(Net {
                address: IpAddr::V6(Ipv6Addr::from(u128::from(address) & bits)),
                mask: IpAddr::V6(Ipv6Addr::from(bits)),
            })
        }
    }
}

/// Length of a prefix, or a mask written out. A mask with holes counts as all of the address, and is
/// `None` here.
pub(crate) fn prefix(text: &str, family: Family) -> Value<Option<u8>> {
    let bits = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    if let Ok(length) = number(text, bits) {
        return Ok(Some(length as u8));
    }
    let mask = address(text, family).map_err(|_| {
        Bad::new(format!("'{text}' is neither a prefix length nor a mask"))
            .help(format!("0 to {bits}"))
    })?;
    Ok(crate::catalogue::write::prefix_length(mask).map(|n| n as u8))
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
    if let Ok(number) = number(text, 255) {
        return Ok(number as u8);
    }
    crate::names::protocol_number(text).ok_or_else(|| {
        let said = text.to_ascii_lowercase();
        Bad::new(format!("unknown protocol '{text}'"))
            .said(format!("unknown protocol \"{said}\" specified"))
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
            .said("Invalid MAC address specified.")
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
