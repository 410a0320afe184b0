//! `-j SNPT` and `-j DNPT`: stateless prefix translation (RFC 6296).

use std::net::Ipv6Addr;

use super::prelude::*;

/// A prefix and its length.
pub type Prefix = (Ipv6Addr, u8);

/// `-j SNPT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Snpt {
    /// Prefix before.
    pub from: Prefix,
    /// Prefix after.
    pub to: Prefix,
}

/// `-j DNPT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dnpt {
    /// Prefix before.
    pub from: Prefix,
    /// Prefix after.
    pub to: Prefix,
}

const OPTIONS: &[Opt] = &[
    opt(
        "src-pfx",
        "PREFIX/LENGTH",
        "the prefix inside, of at most 64 bits",
    )
    .required(),
    opt(
        "dst-pfx",
        "PREFIX/LENGTH",
        "the prefix outside, of at most 64 bits",
    )
    .required(),
];

fn prefixes(loaded: &Loaded) -> Result<(Prefix, Prefix), Fault> {
    Ok((
        loaded.need("src-pfx", prefix)?,
        loaded.need("dst-pfx", prefix)?,
    ))
}

fn write(out: &mut Out, from: &Prefix, to: &Prefix) {
    for (option, (address, length)) in [("src-pfx", from), ("dst-pfx", to)] {
        if !address.is_unspecified() || *length != 0 {
            out.opt(option, format_args!("{address}/{length}"));
        }
    }
}

impl Spec for Snpt {
    const ROW: Extension = Extension::new(
        "SNPT",
        Families::V6,
        "Exchanges the prefix of the source, keeping no state.",
    )
    .options(OPTIONS)
    .tables(&[TableKind::Mangle])
    .hooks(&[Hook::Input, Hook::Postrouting])
    .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let (from, to) = prefixes(loaded)?;
        Ok(Snpt { from, to })
    }

    fn write(&self, out: &mut Out) {
        write(out, &self.from, &self.to);
    }

    fn list(&self, out: &mut Out) {
        let [(from, a), (to, b)] = [self.from, self.to];
        out.word(format_args!("SNPT src-pfx {from}/{a} dst-pfx {to}/{b}"));
    }
}

impl Spec for Dnpt {
    const ROW: Extension = Extension::new(
        "DNPT",
        Families::V6,
        "Exchanges the prefix of the destination, keeping no state.",
    )
    .options(OPTIONS)
    .tables(&[TableKind::Mangle])
    .hooks(&[Hook::Prerouting, Hook::Output])
    .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let (from, to) = prefixes(loaded)?;
        Ok(Dnpt { from, to })
    }

    fn write(&self, out: &mut Out) {
        write(out, &self.from, &self.to);
    }

    fn list(&self, out: &mut Out) {
        let [(from, a), (to, b)] = [self.from, self.to];
        out.word(format_args!("DNPT src-pfx {from}/{a} dst-pfx {to}/{b}"));
    }
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
