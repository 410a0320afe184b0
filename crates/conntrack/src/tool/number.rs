//! Numbers and addresses as the C library reads them: as far as they go, and 0 where nothing goes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A number and what is left of the text (`strtoul`): hexadecimal with `0x`, octal with `0`.
pub(super) fn unsigned(text: &str) -> (u64, &str) {
    let start = text.trim_start();
    let (minus, digits) = match start.strip_prefix(['-', '+']) {
        Some(rest) => (start.starts_with('-'), rest),
        None => (false, start),
    };
    let hex = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (radix, digits) = match hex {
        Some(rest) => (16, rest),
        None if digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let (number, rest) = digits.split_at(end);
    if number.is_empty() {
        return (0, text);
    }
    let value = u64::from_str_radix(number, radix).unwrap_or(u64::MAX);
    let value = if minus && value != u64::MAX {
        value.wrapping_neg()
    } else {
        value
    };
    (value, rest)
}

/// A decimal number (`atol`), cut to 32 bits as the kernel's attributes are.
pub(super) fn decimal(text: &str) -> u32 {
    let start = text.trim_start();
    let (minus, digits) = match start.strip_prefix(['-', '+']) {
        Some(rest) => (start.starts_with('-'), rest),
        None => (false, start),
    };
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let value = digits
        .get(..end)
        .and_then(|d| {
            if d.is_empty() {
                Some(0)
            } else {
                d.parse().ok()
            }
        })
        .unwrap_or(i64::MAX);
    let value = if minus { value.wrapping_neg() } else { value };
    value as u32
}

/// An address: IPv4 in any of the forms of `inet_aton`, or IPv6.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    ipv4(text)
        .map(IpAddr::V4)
        .or_else(|| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6))
}

/// `inet_aton`: one to four numbers, the last of which fills what is left.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let text = text.split([' ', '\t', '\n']).next()?;
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    let mut bits: u64 = 0;
    for (n, part) in parts.iter().enumerate() {
        if !part.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let (value, rest) = unsigned(part);
        let last = n + 1 == parts.len();
        let width = if last { 8 * (4 - n as u32) } else { 8 };
        if !rest.is_empty() || value >> width != 0 {
            return None;
        }
        bits = bits << width | value;
    }
    u32::try_from(bits).ok().map(Ipv4Addr::from)
}

/// The mask of a prefix's length, of an address's family.
pub(super) fn mask(family_of: IpAddr, length: u32) -> IpAddr {
    match family_of {
        IpAddr::V4(_) => {
            let bits = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            IpAddr::V4(bits.into())
        }
        IpAddr::V6(_) => {
            let bits = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            IpAddr::V6(bits.into())
        }
    }
}

/// Whether an address lies in a network.
pub(super) fn within(address: IpAddr, network: IpAddr, mask: IpAddr) -> bool {
    match (address, network, mask) {
        (IpAddr::V4(a), IpAddr::V4(n), IpAddr::V4(m)) => {
            u32::from(a) & u32::from(m) == u32::from(n) & u32::from(m)
        }
        (IpAddr::V6(a), IpAddr::V6(n), IpAddr::V6(m)) => {
            u128::from(a) & u128::from(m) == u128::from(n) & u128::from(m)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_as_far_as_they_go() {
        for (text, value, rest) in [
            ("12", 12, ""),
            ("0x1f/7", 31, "/7"),
            ("017x", 15, "x"),
            ("-1", u64::MAX, ""),
            ("0xg", 0, "xg"),
            ("99999999999999999999999", u64::MAX, ""),
            ("x", 0, "x"),
            ("", 0, ""),
        ] {
            assert_eq!(unsigned(text), (value, rest), "{text}");
        }
        for (text, value) in [("300s", 300), ("-1", u32::MAX), ("x", 0), ("4294967297", 1)] {
            assert_eq!(decimal(text), value, "{text}");
        }
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        for (text, expect) in [
            ("10.1", Some("10.0.0.1")),
            ("0x7f000001", Some("127.0.0.1")),
            ("010.0.0.1", Some("8.0.0.1")),
            ("1.2.3.256", None),
            ("1.2.3.4.5", None),
            ("1.2.3.", None),
            ("::1", Some("::1")),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(address(text), expect.map(|e| e.parse().unwrap()), "{text}");
        }
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(mask(six, 0), "::".parse::<IpAddr>().unwrap());
        assert_eq!(mask(six, 33), "ffff:ffff:8000::".parse::<IpAddr>().unwrap());
    }
}
