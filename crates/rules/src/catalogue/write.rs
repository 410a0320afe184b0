//! From values back to the text that iptables-save prints.

use std::fmt::{Display, Write};
use std::net::{IpAddr, Ipv4Addr};

use palisade_wire::Family;

use crate::model::{InterfacePattern, Net, Not, PortRange, Tools};

/// A rule's text as it grows.
#[derive(Debug)]
pub struct Out {
    pub(crate) text: String,
    /// Whose text it is to be.
    pub tools: Tools,
    /// Family of the rule.
    pub family: Family,
    /// Numbers rather than names, where both can be printed.
    pub numeric: bool,
    /// What stands in front of an option's name.
    dashes: &'static str,
}

impl Out {
    /// Nothing yet.
    pub fn new(tools: Tools, family: Family) -> Self {
        Out {
            text: String::new(),
            tools,
            family,
            numeric: true,
            dashes: "--",
        }
    }

    /// ` !`, where it is negated.
    pub(crate) fn bang(&mut self, negated: bool) {
        if negated {
            self.text.push_str(" !");
        }
    }

    /// ` --name`.
    pub(crate) fn flag(&mut self, name: &str) {
        let _ = write!(self.text, " {}{name}", self.dashes);
    }

    /// ` --name value`.
    pub(crate) fn opt(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.text, " {}{name} {value}", self.dashes);
    }

    /// ` [!] --name value`, where there is a value.
    pub(crate) fn maybe<T>(
        &mut self,
        name: &str,
        value: &Option<Not<T>>,
        show: impl FnOnce(&T) -> String,
    ) {
        if let Some(not) = value {
            self.not(name, not, show);
        }
    }

    /// ` [!] --name value`.
    pub(crate) fn not<T>(&mut self, name: &str, not: &Not<T>, show: impl FnOnce(&T) -> String) {
        self.bang(not.negated);
        self.opt(name, show(&not.value));
    }

    /// Options as `iptables -L` has them, which is often as they are saved, but without dashes.
    pub(crate) fn bare(&mut self, write: impl FnOnce(&mut Self)) {
        let dashes = std::mem::take(&mut self.dashes);
        write(self);
        self.dashes = dashes;
    }

    /// Anything, with a blank before it.
    pub(crate) fn word(&mut self, word: impl Display) {
        let _ = write!(self.text, " {word}");
    }
}

/// An address as the C library prints it: as this language's does, but an IPv6 one that ends in 32 bits of
/// which the first 16 are not zero, behind nothing but zeros, has these as an IPv4 one.
pub(crate) fn address(address: impl std::borrow::Borrow<IpAddr>) -> String {
    match *address.borrow() {
        IpAddr::V6(a) if u128::from(a) >> 32 == 0 && u128::from(a) >> 16 != 0 => {
            format!("::{}", Ipv4Addr::from(u128::from(a) as u32))
        }
        other => other.to_string(),
    }
}

/// An address with its mask: a length, or for odd masks the mask itself.
pub(crate) fn net(net: &Net) -> String {
    let address = address(net.address);
    match prefix_length(net.mask) {
        Some(length) => format!("{address}/{length}"),
        None => format!("{address}/{}", self::address(net.mask)),
    }
}

/// Without `/32` or `/128`, as extensions print addresses.
pub(crate) fn bare_net(n: &Net) -> String {
    match (prefix_length(n.mask), n.mask) {
        (Some(32), IpAddr::V4(_)) | (Some(128), IpAddr::V6(_)) => address(n.address),
        _ => net(n),
    }
}

/// Length of a mask that is all ones, then all zeros.
pub(crate) fn prefix_length(mask: IpAddr) -> Option<u32> {
    let (bits, ones) = match mask {
        IpAddr::V4(m) => (u128::from(u32::from(m)) << 96, u32::from(m).count_ones()),
        IpAddr::V6(m) => (u128::from(m), u128::from(m).count_ones()),
    };
    (bits.leading_ones() == ones).then_some(ones)
}

/// `first`, or `first:last`.
pub(crate) fn range(first: impl Display + PartialEq, last: impl Display) -> String {
    let (first, last) = (first.to_string(), last.to_string());
    if first == last {
        first
    } else {
        format!("{first}:{last}")
    }
}

/// Ports.
pub(crate) fn ports(r: &PortRange) -> String {
    range(r.first, r.last)
}

/// The names of the bits that are set, with commas; `NONE` without any.
pub(crate) fn named(set: u64, names: impl Iterator<Item = (&'static str, u64)>) -> String {
    let hits: Vec<&str> = names
        .filter(|(_, b)| set & b != 0)
        .map(|(n, _)| n)
        .collect();
    if hits.is_empty() {
        "NONE".to_string()
    } else {
        hits.join(",")
    }
}

/// A mark, with its mask if it has one.
pub(crate) fn masked(&(value, mask): &(u32, u32)) -> String {
    if mask == u32::MAX {
        format!("0x{value:x}")
    } else {
        format!("0x{value:x}/0x{mask:x}")
    }
}

/// A value with its mask, or with a whole mask its name (`xtables_print_val_mask`).
pub(crate) fn named_mark(&(value, mask): &(u32, u32), known: &[(&str, u32)]) -> String {
    let name = known.iter().find(|(_, number)| *number == value);
    match name {
        Some((name, _)) if mask == u32::MAX => (*name).to_string(),
        _ => masked(&(value, mask)),
    }
}

/// An interface name, or its beginning.
pub(crate) fn interface(pattern: &InterfacePattern) -> String {
    let plus = if pattern.prefix { "+" } else { "" };
    format!("{}{plus}", pattern.name)
}

/// A text value as iptables-save quotes it (`xtables_save_string`): bare only when it has nothing
/// but letters, digits, `_` and `-`.
pub(crate) fn quoted(text: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !text.is_empty() && text.bytes().all(bare) {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// A word as it was written: quoted only when it would not be read back as one word.
pub(crate) fn as_word(word: &str) -> String {
    let splits = |c: char| c.is_whitespace() || matches!(c, '"' | '\\');
    if word.is_empty() || word.contains(splits) {
        quoted(word)
    } else {
        word.to_string()
    }
}
