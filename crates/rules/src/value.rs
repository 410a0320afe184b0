//! Values of options: addresses, ports, numbers, names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::Family;

use crate::lex::Word;
use crate::model::{InterfacePattern, Net, PortRange};

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

    /// The real program takes it, and the kernel does not.
    pub(crate) fn by_kernel(self) -> Self {
        self.said("{kernel}")
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

/// A number at the beginning of a text as the C library's `strtoul` reads it with base 0: blanks and `+`
/// in front, decimal, octal (leading 0) or hexadecimal (0x); what is left behind it.
pub(crate) fn leading_number(text: &str) -> Option<(u64, &str)> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let text = text.strip_prefix('+').unwrap_or(text);
    let hex = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (digits, radix) = match hex {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let value = u64::from_str_radix(digits.get(..end)?, radix).ok()?;
    Some((value, digits.get(end..)?))
}

/// A number from `min` to `max` (iptables `xtables_strtoul`).
pub(crate) fn number_from(text: &str, min: u64, max: u64) -> Value<u64> {
    match leading_number(text) {
        Some((value, "")) if (min..=max).contains(&value) => Ok(value),
        _ => Err(
            Bad::new(format!("'{text}' is not a number from {min} to {max}")).said(format!(
                "{{extension}}: bad value for option \"--{{option}}\", or out of range ({min}-{max})."
            )),
        ),
    }
}

/// A number from 0 to `max`.
pub(crate) fn number(text: &str, max: u64) -> Value<u64> {
    number_from(text, 0, max)
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

/// A port by number, or by the name that it has for a protocol, or for any (`xtables_parse_port`).
pub(crate) fn port_of(text: &str, protocol: Option<u8>) -> Value<u16> {
    if let Some((value, "")) = leading_number(text) {
        return u16::try_from(value)
            .map_err(|_| unknown_port(text))
            .map_err(|bad| bad.said(format!("invalid port/service `{text}' specified")));
    }
    crate::services::port(text, protocol)
        .ok_or_else(|| unknown_port(text).said(format!("invalid port/service `{text}' specified")))
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

/// A port by number, or by the name of any service.
pub(crate) fn port(text: &str) -> Value<u16> {
    port_of(text, None)
}

fn unknown_port(text: &str) -> Bad {
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        let bad = Bad::new(format!(
            "'{text}' is not a port, which is a number from 0 to 65535"
        ));
        return match text.split_once([',', '-']) {
            Some(_) if text.contains(',') => bad.help(format!(
                "several ports need multiport: -m multiport --dports {text} (or --sports)"
            )),
            Some((first, last)) => {
                bad.help(format!("a range is written with a colon: {first}:{last}"))
            }
            None => bad,
        };
    }
    let bad = Bad::new(format!("'{text}' is neither a port nor a known service"));
    match crate::services::nearest(text) {
        Some(near) if near != text => bad.help(near),
        _ => bad.help("use the port number"),
    }
}

/// A port as `getaddrinfo` takes it: decimal only, of which the low 16 bits count, or any service.
pub(crate) fn resolved_port(text: &str) -> Value<u16> {
    let digits = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let parsed = match digits.is_empty() {
        true if text.is_empty() => Some(0),
        true => None,
        false if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<u64>().ok(),
        false => None,
    };
    match parsed.map(|n| n as u32 as i32) {
        Some(port) if port >= 0 => Ok(port as u16),
        _ => crate::services::port(text, None).ok_or_else(|| {
            unknown_port(text).said(format!("Port \"{text}\" does not resolve to anything."))
        }),
    }
}

/// `first[:last]` with ports as `getaddrinfo` takes them, in whatever order (iptables `XTTYPE_PORTRC`).
pub(crate) fn resolved_ports(text: &str) -> Value<PortRange> {
    let mut parts = text.split(':');
    let part = |text: Option<&str>, missing: u16| match text {
        None | Some("") => Ok(missing),
        Some(text) => resolved_port(text),
    };
    let first = part(parts.next(), 0)?;
    let second = parts.next();
    if parts.next().is_some() {
        return Err(Bad::new(format!("'{text}' has more than two ports"))
            .said("{extension}: Too many components for option \"--{option}\" (max: 2)"));
    }
    let last = match second {
        None => first,
        second => part(second, 65_535)?,
    };
    Ok(PortRange { first, last })
}

/// `first[:last]`, either side optional; names are those of one protocol, or of any.
pub(crate) fn port_range_of(text: &str, protocol: Option<u8>) -> Value<PortRange> {
    port_range_by(text, |text| port_of(text, protocol))
}

/// As [`port_range_of`], each port read by a function.
pub(crate) fn port_range_by(text: &str, port: impl Fn(&str) -> Value<u16>) -> Value<PortRange> {
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

/// Two numbers `a[:b]`, with a default for a missing end; `b` may be less than `a` (iptables
/// `XTTYPE_UINT32RC` and its siblings).
pub(crate) fn number_range(text: &str, max: u64) -> Value<(u64, u64)> {
    // The program shows all from the number that it could not read.
    let part = |part: &str, missing: u64, near: &str| {
        match part {
        "" => Ok(missing),
        part => number(part, max).map_err(|bad| {
            bad.said(format!(
                "{{extension}}: bad value for option \"--{{option}}\" near \"{near}\", or out of range (0-{max})."
            ))
        }),
    }
    };
    match text.split_once(':') {
        None => part(text, 0, text).map(|value| (value, value)),
        Some((first, last)) => Ok((part(first, 0, text)?, part(last, max, last)?)),
    }
}

/// An address as `getaddrinfo` takes it; host names are not resolved.
pub(crate) fn host(text: &str, family: Family) -> Value<IpAddr> {
    let parsed = match family {
        // The one name that means the same everywhere.
        Family::V4 if text == "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Family::V4 => classful(text).map(IpAddr::V4),
        Family::V6 => {
            // An interface behind the address is of no matter here.
            let plain = text.split_once('%').map_or(text, |(address, _)| address);
            plain.parse().ok().map(IpAddr::V6)
        }
    };
    match parsed {
        Some(address) => Ok(address),
        // Whatever is wrong with it is said by the stricter reading.
        None => Err(match address(text, family) {
            Err(bad) => bad,
            Ok(_) => Bad::new(format!("'{text}' is not an {family} address")),
        }),
    }
}

/// IPv4 as `inet_aton`: one to four numbers, of which the last fills what is left.
fn classful(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    let mut bits = 0u32;
    for (i, part) in parts.iter().enumerate() {
        if !part.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let (value, rest) = leading_number(part)?;
        let last = i + 1 == parts.len();
        let room = if last { 32 - 8 * i as u32 } else { 8 };
        if !rest.is_empty() || value >> room != 0 {
            return None;
        }
        let shift = if last { 0 } else { 24 - 8 * i as u32 };
        bits |= (value as u32) << shift;
    }
    Some(Ipv4Addr::from(bits))
}

/// `address[/mask]` as matches and targets take it: the address keeps its bits outside of the mask, and
/// a mask with holes counts as none (iptables `XTTYPE_HOSTMASK`).
pub(crate) fn host_mask(text: &str, family: Family) -> Value<Net> {
    let (head, mask) = match text.split_once('/') {
        Some((head, mask)) => (head, Some(mask)),
        None => (text, None),
    };
    let address = host(head, family)?;
    let width = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    let length = match mask.map(|m| (m, number(m, width))) {
        None => width as u32,
        Some((_, Ok(length))) => length as u32,
        Some((text, Err(_))) => {
            let bad =
                |_| Bad::new(format!("'{text}' is not a netmask")).help(format!("0 to {width}"));
            let mask = host(text, family).map_err(bad)?;
            crate::catalogue::write::prefix_length(mask).unwrap_or(width as u32)
        }
    };
    Ok(Net {
        address,
        mask: match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(prefix32(length))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(prefix128(length))),
        },
    })
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
            .help("write its address; palisade fmt --resolve looks it up")
        } else {
            let bad = Bad::new(format!("'{text}' is not an {family} address"));
            match family {
                Family::V4 => bad.help("four numbers from 0 to 255, as in 192.0.2.1"),
                Family::V6 => bad.help("as in 2001:db8::1"),
            }
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
    // A number too great is an address to the real program, and as a mask it has holes.
    if number(text, u64::from(u32::MAX)).is_ok() && family == Family::V4 {
        return Ok(None);
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

/// `first[-last]`, in whatever order.
pub(crate) fn address_range(text: &str, family: Family) -> Value<(IpAddr, IpAddr)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if let Some(name) = [first, last].iter().find(|t| **t == "localhost") {
        return Err(Bad::new(format!(
            "'{name}' is a host name; a range has addresses"
        )));
    }
    Ok((address(first, family)?, address(last, family)?))
}

pub(crate) fn protocol(text: &str) -> Value<u8> {
    if let Ok(number) = number(text, 255) {
        return Ok(number as u8);
    }
    crate::names::protocol_by_name(text).ok_or_else(|| {
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
    // What follows the number is not looked at (`atoi`).
    let count = count.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let count = count.strip_prefix('+').unwrap_or(count);
    let digits = count
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(count.len());
    let count: u64 = count
        .get(..digits)
        .and_then(|n| n.parse().ok())
        .ok_or_else(bad)?;
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

/// Six bytes in hex with colons, each of at most two characters; an empty one counts as zero.
pub(crate) fn mac(text: &str) -> Value<[u8; 6]> {
    let bad = || {
        Bad::new(format!("'{text}' is not a MAC address"))
            .help("six pairs of hex digits, such as 00:11:22:33:44:55")
            .said("Invalid MAC address specified.")
    };
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|p| p.len() <= 2).ok_or_else(bad)?;
        // Blanks and signs are those that `strtoul` takes.
        let digits = part.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
        let (digits, minus) = match digits.strip_prefix('-') {
            Some(digits) => (digits, true),
            None => (digits.strip_prefix('+').unwrap_or(digits), false),
        };
        if part.is_empty() {
            continue;
        }
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let value = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        *byte = if minus { value.wrapping_neg() } else { value };
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

/// As [`names`], and a name may be cut short: the first that begins so.
pub(crate) fn short_names<T: Copy + Into<u64>>(
    text: &str,
    table: &[(&str, T)],
    what: &str,
) -> Value<u64> {
    let begins = |name: &str, short: &str| {
        name.get(..short.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(short))
    };
    let mut set = 0;
    for name in text.split(',') {
        match table
            .iter()
            .find(|(n, _)| !name.is_empty() && begins(n, name))
        {
            Some((_, bit)) => set |= (*bit).into(),
            // The other reading says what is wrong.
            None => set |= names(name, table, what)?,
        }
    }
    Ok(set)
}

/// Type, and first and last code.
type IcmpType = (u8, (u8, u8));

/// `type[/code]`, by number or by the beginning of a name (iptables `__parse_icmp`).
pub(crate) fn icmp_type(text: &str, table: &[(&str, u8, u8, u8)]) -> Value<IcmpType> {
    let lower = text.to_ascii_lowercase();
    let mut hits = table
        .iter()
        .filter(|(n, ..)| n.to_ascii_lowercase().starts_with(&lower));
    match (hits.next(), hits.next()) {
        (Some(first), Some(second)) => {
            return Err(Bad::new(format!(
                "ICMP type '{text}' is ambiguous: {} or {}",
                first.0, second.0
            )));
        }
        (Some(row), None) => return Ok((row.1, (row.2, row.3))),
        (None, _) => {}
    }
    let unknown = || {
        let near = crate::diagnostic::nearest(&lower, table.iter().map(|r| r.0));
        let bad = Bad::new(format!("unknown ICMP type '{text}'"));
        match near {
            Some(near) => bad.help(near),
            None => bad.help("a number from 0 to 255, with /CODE behind it if one is meant"),
        }
    };
    let range = |text: &str| -> Option<((u8, u8), String)> {
        let byte = |n: u64| u8::try_from(n).ok();
        let (first, rest) = leading_number(text)?;
        let first = byte(first)?;
        match rest.strip_prefix(':') {
            Some(rest) => {
                let (last, rest) = leading_number(rest)?;
                Some(((first, byte(last)?), rest.to_string()))
            }
            None => Some(((first, first), rest.to_string())),
        }
    };
    let (kind, rest) = range(text).ok_or_else(unknown)?;
    if kind.0 != kind.1 {
        return Err(Bad::new(format!("'{text}' is a range of ICMP types"))
            .help("a rule has one type; codes may be a range"));
    }
    if rest.is_empty() {
        return Ok((kind.0, (0, 255)));
    }
    match rest.strip_prefix('/').and_then(range) {
        Some((codes, rest)) if rest.is_empty() => Ok((kind.0, codes)),
        _ => Err(unknown()),
    }
}
