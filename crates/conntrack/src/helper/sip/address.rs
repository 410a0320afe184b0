//! Addresses as they stand in SIP and SDP: read as the kernel reads them, written as it prints them.
//!
//! An address ends at the first byte that cannot belong to one, whatever that is. Leading zeros count for
//! nothing, in decimal as in hexadecimal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::Family;

/// Brackets around an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brackets {
    /// There must be both.
    Needed,
    /// Either may be there, and is passed over.
    Optional,
    /// There are none, as in SDP.
    None,
}

/// An address at the start of `text`, and its length with its brackets (kernel `sip_parse_addr`,
/// `sdp_parse_addr`).
pub(super) fn parse(text: &[u8], family: Family, brackets: Brackets) -> Option<(IpAddr, usize)> {
    if family == Family::V4 {
        return ipv4(text).map(|(address, length)| (IpAddr::V4(address), length));
    }
    let skip = |at: usize, bracket: u8| match (brackets, text.get(at) == Some(&bracket)) {
        (Brackets::None, _) | (Brackets::Optional, false) => Some(at),
        (Brackets::Needed, false) => None,
        (Brackets::Needed | Brackets::Optional, true) => Some(at + 1),
    };
    let start = skip(0, b'[')?;
    let (address, length) = ipv6(&text[start..])?;
    let end = skip(start + length, b']')?;
    Some((IpAddr::V6(address), end))
}

/// Four numbers up to 255 (kernel `in4_pton`). A further dot, or a hexadecimal letter behind them, spoils
/// the whole.
fn ipv4(text: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let mut octets = [0u8; 4];
    let mut known = 0;
    let mut value: Option<u8> = None;
    for at in 0..=text.len() {
        match text.get(at) {
            Some(digit @ b'0'..=b'9') => {
                let tens = value.unwrap_or(0).checked_mul(10)?;
                value = Some(tens.checked_add(digit - b'0')?);
            }
            Some(b'.') if known < 3 => {
                octets[known] = value.take()?;
                known += 1;
            }
            Some(b'.' | b'a'..=b'f' | b'A'..=b'F') => return None,
            _ => {
                octets[3] = value?;
                return (known == 3).then(|| (Ipv4Addr::from(octets), at));
            }
        }
    }
    None
}

/// Eight groups, one run of them left out, the last two as an IPv4 address (kernel `in6_pton`).
fn ipv6(text: &[u8]) -> Option<(Ipv6Addr, usize)> {
    let mut groups = [0u16; 8];
    // Groups read so far. The gap counts as one of them, for it stands for at least one.
    let mut known = 0;
    let mut gap = None;
    let mut at = 0;
    if text.starts_with(b"::") {
        (known, gap, at) = (1, Some(1), 2);
    }
    loop {
        let start = at;
        let mut value = 0u16;
        while known < 8
            && value & 0xf000 == 0
            && let Some(digit) = text.get(at).and_then(|b| char::from(*b).to_digit(16))
        {
            value = value << 4 | digit as u16;
            at += 1;
        }
        let next = text.get(at).copied().unwrap_or(0);
        if at == start {
            // Only the gap can end an address.
            let ends = !matches!(next, b':' | b'.') && !next.is_ascii_hexdigit();
            if gap == Some(known) && ends {
                break;
            }
            return None;
        }
        match next {
            b'.' if known == 6 || gap.is_some() && known < 6 => {
                let (tail, length) = ipv4(&text[start..])?;
                let [a, b, c, d] = tail.octets();
                groups[known] = u16::from_be_bytes([a, b]);
                groups[known + 1] = u16::from_be_bytes([c, d]);
                known += 2;
                at = start + length;
                break;
            }
            b'.' => return None,
            b':' if known < 7 => {
                groups[known] = value;
                known += 1;
                at += 1;
                if gap.is_none() && text.get(at) == Some(&b':') {
                    known += 1;
                    gap = Some(known);
                    at += 1;
                }
            }
            b':' => return None,
            other if other.is_ascii_hexdigit() => return None,
            _ if gap.is_some() || known == 7 => {
                groups[known] = value;
                known += 1;
                break;
            }
            _ => return None,
        }
    }
    if let Some(gap) = gap {
        groups.copy_within(gap..known, 8 - (known - gap));
        groups[gap..8 - (known - gap)].fill(0);
    }
    Some((Ipv6Addr::from(groups), at))
}

/// An address as the kernel prints it (`%pI4`, `%pI6c`).
pub(super) fn text(address: IpAddr) -> String {
    if let IpAddr::V6(v6) = address {
        let [.., scope, isatap, high, low] = v6.segments();
        if isatap == 0x5efe && scope & !0x0200 == 0 {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            let mut groups = v6.segments();
            groups[6..].fill(1);
            let head = Ipv6Addr::from(groups).to_string();
            let head = head.strip_suffix("1:1").unwrap_or(&head);
            return format!("{head}{a}.{b}.{c}.{d}");
        }
    }
    address.to_string()
}

/// An address with brackets if it is an IPv6 one.
pub(super) fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(_) => text(address),
        IpAddr::V6(_) => format!("[{}]", text(address)),
    }
}

/// An address and a port.
pub(super) fn with_port(address: IpAddr, port: u16) -> String {
    format!("{}:{port}", bracketed(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Option<(String, usize)> {
        parse(text.as_bytes(), Family::V4, Brackets::Needed).map(|(a, n)| (a.to_string(), n))
    }

    fn v6(text: &str, brackets: Brackets) -> Option<(String, usize)> {
        parse(text.as_bytes(), Family::V6, brackets).map(|(a, n)| (a.to_string(), n))
    }

    #[test]
    fn an_ipv4_address_ends_at_what_cannot_belong_to_it() {
        for (text, length) in [
            ("10.0.0.2", 8),
            ("10.0.0.2;lr", 8),
            ("10.0.0.2:5060", 8),
            ("10.0.0.2>", 8),
            ("10.0.0.2g", 8),
            ("0010.000.0.00002 ", 16),
        ] {
            assert_eq!(v4(text), Some(("10.0.0.2".into(), length)), "{text}");
        }
        for text in [
            "",
            "10.0.0",
            "10.0.0.",
            "10.0.0.2.",
            "10.0.0.2.3",
            "10.0.0.256",
            "10.0.0.2a",
            "10..0.2",
            ".10.0.2",
            "example.com",
            " 10.0.0.2",
            "10.0.0:2",
        ] {
            assert_eq!(v4(text), None, "{text}");
        }
    }

    #[test]
    fn an_ipv6_address_is_the_same_to_the_kernel_as_to_the_standard_library() {
        for text in [
            "::",
            "::1",
            "1::",
            "2001:db8::1",
            "1:2:3:4:5:6:7:8",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "1:2:3:4:5:6::",
            "1:2:3::6:7:8",
            "::ffff:10.0.0.2",
            "1:2:3:4:5:6:10.0.0.2",
            "1:2:3:4:5::10.0.0.2",
            "::10.0.0.2",
            // And these are none.
            "",
            ":",
            ":1",
            ":::",
            "1",
            "1:",
            "1::2:",
            "1::2::3",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "::1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::8",
            "1:2:3:4:5:6:7:8::",
            "1:2:3:4:5:6:7:8.0.0.2",
            "1:2:3:4:5:6::10.0.0.2",
            "1:2:3:4:5:6:7:10.0.0.2",
            "10.0.0.2",
            "::10.0.2",
            "::.",
            "12345::",
        ] {
            let ours = v6(text, Brackets::None);
            match text.parse::<Ipv6Addr>() {
                Ok(address) => assert_eq!(ours, Some((address.to_string(), text.len())), "{text}"),
                Err(_) => assert_eq!(ours, None, "{text}"),
            }
        }
    }

    #[test]
    fn leading_zeros_and_what_follows_an_ipv6_address() {
        for (text, address, length) in [
            ("0000002001:0db8::01 ", "2001:db8::1", 19),
            ("::10.0.0.2:5060", "::a00:2", 10),
            ("2001:db8::1]", "2001:db8::1", 11),
            ("::/64", "::", 2),
        ] {
            let expect = Some((address.to_string(), length));
            assert_eq!(v6(text, Brackets::None), expect, "{text}");
        }
        // A port without brackets is one more group.
        assert_eq!(
            v6("2001:db8::1:5060", Brackets::None),
            Some(("2001:db8::1:5060".into(), 16))
        );
    }

    #[test]
    fn brackets() {
        let found = |length| Some(("2001:db8::1".to_string(), length));
        assert_eq!(v6("[2001:db8::1]:5060", Brackets::Needed), found(13));
        assert_eq!(v6("[2001:db8::1", Brackets::Needed), None);
        assert_eq!(v6("2001:db8::1]", Brackets::Needed), None);
        assert_eq!(v6("[2001:db8::1;", Brackets::Optional), found(12));
        assert_eq!(v6("2001:db8::1]", Brackets::Optional), found(12));
        assert_eq!(v6("2001:db8::1;", Brackets::Optional), found(11));
        assert_eq!(v6("[2001:db8::1]", Brackets::None), None);
    }

    #[test]
    fn addresses_are_printed_as_the_kernel_prints_them() {
        for (address, printed) in [
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("::ffff:10.0.0.2", "::ffff:10.0.0.2"),
            ("::10.0.0.2", "::a00:2"),
            ("fe80::5efe:a00:2", "fe80::5efe:10.0.0.2"),
            (
                "2001:db8::200:5efe:c000:201",
                "2001:db8::200:5efe:192.0.2.1",
            ),
            ("10.0.0.2", "10.0.0.2"),
        ] {
            assert_eq!(text(address.parse().unwrap()), printed);
        }
        assert_eq!(with_port("::1".parse().unwrap(), 5060), "[::1]:5060");
        assert_eq!(with_port("10.0.0.2".parse().unwrap(), 7), "10.0.0.2:7");
    }
}
