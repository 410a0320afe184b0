//! `-m ipv6header`.

use super::numbers::bang;
use super::prelude::*;

/// `-m ipv6header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6header {
    /// `--header`: bits of this module.
    pub headers: Not<u8>,
    /// `--soft`: these headers, whatever others there are.
    pub soft: bool,
}

/// Hop-by-hop options.
pub const HOP: u8 = 0x80;
/// Options for the destination.
pub const DESTINATION: u8 = 0x40;
/// Routing header.
pub const ROUTING: u8 = 0x20;
/// Fragment header.
pub const FRAGMENT: u8 = 0x10;
/// Authentication header.
pub const AUTHENTICATION: u8 = 0x08;
/// Encrypted payload.
pub const ENCRYPTED: u8 = 0x04;
/// "No next header".
pub const NONE: u8 = 0x02;
/// Any protocol behind the headers.
pub const PROTOCOL: u8 = 0x01;

/// What a header is called: by iptables-save first, then all that is read. Case counts.
const NAMES: [(u8, &str, &[&str]); 8] = [
    (
        HOP,
        "hop-by-hop",
        &["hop", "0", "ip", "IP", "hopopt", "HOPOPT"],
    ),
    (DESTINATION, "ipv6-opts", &["dst", "60", "IPv6-Opts"]),
    (ROUTING, "ipv6-route", &["route", "43", "IPv6-Route"]),
    (FRAGMENT, "ipv6-frag", &["frag", "44", "IPv6-Frag"]),
    (AUTHENTICATION, "ah", &["auth", "51", "IPSEC-AH"]),
    (ENCRYPTED, "esp", &["50", "IPSEC-ESP"]),
    (NONE, "ipv6-nonxt", &["none", "59", "IPv6-NoNxt"]),
    (PROTOCOL, "protocol", &["prot", "255"]),
];

fn headers(text: &str) -> Value<u8> {
    let mut set = 0;
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let found = NAMES
            .iter()
            .find(|(_, name, others)| *name == part || others.contains(&part));
        let Some((bit, ..)) = found else {
            let names = || {
                NAMES
                    .iter()
                    .flat_map(|(_, name, others)| others.iter().chain([name]))
                    .copied()
            };
            let near = names()
                .find(|name| name.eq_ignore_ascii_case(part))
                .or_else(|| crate::diagnostic::nearest(part, names()));
            // A protocol that has a name is said by its number.
            let real = match crate::names::protocol_number(part) {
                Some(number) if part.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => {
                    number.to_string()
                }
                _ => part.to_string(),
            };
            let bad = Bad::new(format!("'{part}' is no header of IPv6"))
                .said(format!("unknown header `{real}' specified"));
            return Err(bad.help(near.unwrap_or("hop, dst, route, frag, auth, esp, none or prot")));
        };
        set |= bit;
    }
    if set == 0 {
        return Err(Bad::new("no header is named")
            .help("hop, dst, route, frag, auth, esp, none or prot")
            .said("ip6t_ipv6header: cannot parse header names"));
    }
    Ok(set)
}

fn shown(set: u8) -> String {
    write::named(
        u64::from(set),
        NAMES.iter().map(|(bit, name, _)| (*name, u64::from(*bit))),
    )
}

impl Spec for Ipv6header {
    const ROW: Extension = Extension::new(
        "ipv6header",
        Families::V6,
        "Which extension headers an IPv6 packet has.",
    )
    .options(&[
        opt(
            "header",
            "HEADER[,...]",
            "hop, dst, route, frag, auth, esp, none, prot: these and no others",
        )
        .not()
        .required(),
        flag("soft", "others may be there too; negated: none of these"),
    ])
    .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Ipv6header {
            headers: loaded.need_not("header", headers)?,
            soft: loaded.has("soft"),
        })
    }

    fn write(&self, out: &mut Out) {
        out.not("header", &self.headers, |set| shown(*set));
        if self.soft {
            out.flag("soft");
        }
    }

    fn list(&self, out: &mut Out) {
        let set = self.headers.value;
        let text = if out.numeric {
            format!("0x{set:02X}")
        } else {
            shown(set)
        };
        out.word(format_args!(
            "ipv6header flags:{}{text}",
            bang(self.headers.negated)
        ));
        if self.soft {
            out.word("soft");
        }
    }
}
