//! `-m tos`, and the values that it shares with `-j TOS`.

use super::prelude::*;

/// Names of RFC 1349 and their bits.
const NAMES: [(&str, u8); 5] = [
    ("Minimize-Delay", 0x10),
    ("Maximize-Throughput", 0x08),
    ("Maximize-Reliability", 0x04),
    ("Minimize-Cost", 0x02),
    ("Normal-Service", 0x00),
];

/// Bits that a name speaks of.
const NAMED: u8 = 0x3f;

/// What the words of the options are.
pub(crate) const VALUE: &str = "NUMBER[/MASK]|NAME";

/// `value[/mask]` or a name: value and mask.
pub(crate) fn bits(text: &str) -> Value<(u8, u8)> {
    if let Some((_, value)) = NAMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
    {
        return Ok((*value, NAMED));
    }
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xff"));
    // As strtoul reads it: blanks and a sign may stand before a number.
    let plain = |t: &str| {
        let t = t.trim_start_matches(|c: char| c.is_ascii_whitespace());
        read::byte(t.strip_prefix('+').unwrap_or(t))
    };
    let digits = |c: char| c.is_ascii_digit();
    if !text
        .trim_start()
        .trim_start_matches('+')
        .starts_with(digits)
        || value::number(value, u64::MAX).is_ok_and(|n| n > 255)
    {
        let near = crate::diagnostic::nearest(text, NAMES.iter().map(|(name, _)| *name));
        let bad = Bad::new(format!("'{text}' is no type of service"));
        let bad = bad.said(format!("Symbolic name \"{text}\" is unknown"));
        return Err(bad.help(near.unwrap_or("a number, as 0x10/0x3f, or Minimize-Delay")));
    }
    let part = |t| {
        let said = format!("Illegal value: \"{text}\"");
        plain(t).map_err(|bad| bad.said(said))
    };
    Ok((part(value)?, part(mask)?))
}

/// As iptables-save prints it.
pub(crate) fn shown(&(value, mask): &(u8, u8)) -> String {
    format!("0x{value:02x}/0x{mask:02x}")
}

/// As `iptables -L` prints it: a name has a blank before it, a number has none.
fn listed(bits: &(u8, u8), out: &Out) -> String {
    match name(bits).filter(|_| !out.numeric) {
        Some(name) => format!(" {name}"),
        None => shown(bits),
    }
}

/// The name of value and mask.
pub(crate) fn name(&(value, mask): &(u8, u8)) -> Option<&'static str> {
    let named = NAMES.iter().find(|(_, bits)| *bits == value);
    named.filter(|_| mask == NAMED).map(|(name, _)| *name)
}

/// `-m tos`: value and mask of the type of service (of IPv6: of the traffic class).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tos(pub Not<(u8, u8)>);

impl Spec for Tos {
    const ROW: Extension = Extension::new("tos", Families::Both, "The type of service byte.")
        .options(&[opt("tos", VALUE, "the byte, as far as the mask goes")
            .not()
            .required()])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.need_not("tos", bits).map(Tos)
    }

    fn write(&self, out: &mut Out) {
        out.not("tos", &self.0, shown);
    }

    fn list(&self, out: &mut Out) {
        let bang = if self.0.negated { "!" } else { "" };
        out.word(format_args!(
            "tos match{bang}{}",
            listed(&self.0.value, out)
        ));
    }
}
