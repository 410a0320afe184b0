//! `-m rt`.

use std::net::{IpAddr, Ipv6Addr};

use super::numbers::{self, Range, bang};
use super::prelude::*;

/// `-m rt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rt {
    /// `--rt-type`.
    pub kind: Option<Not<u32>>,
    /// `--rt-segsleft`.
    pub left: Not<Range>,
    /// `--rt-len`, in bytes.
    pub length: Option<Not<u32>>,
    /// `--rt-0-res`: the reserved field is zero.
    pub reserved: bool,
    /// `--rt-0-addrs`.
    pub addresses: Option<Vec<Ipv6Addr>>,
    /// `--rt-0-not-strict`.
    pub not_strict: bool,
}

/// Most addresses of one rule (kernel `IP6T_RT_HOPS`).
const MAX: usize = 16;

fn addresses(text: &str) -> Value<Vec<Ipv6Addr>> {
    let mut list = Vec::new();
    for part in text.split(',') {
        if list.len() == MAX {
            return Err(
                Bad::new(format!("more than {MAX} addresses; a rule can test {MAX}"))
                    .said("too many addresses specified"),
            );
        }
        let said = |bad: Bad| bad.said(format!("bad address: {part}"));
        match value::address(part, Family::V6).map_err(said)? {
            IpAddr::V6(address) => list.push(address),
            IpAddr::V4(_) => return Err(Bad::new(format!("'{part}' is no IPv6 address"))),
        }
    }
    Ok(list)
}

/// An option of type 0 counts only behind `--rt-type 0`.
fn behind(loaded: &Loaded, option: &str, needed: &str, wanted: &str) -> Result<bool, Fault> {
    let place = |name: &str| loaded.given.iter().position(|g| g.option.name == name);
    let Some(at) = place(option) else {
        return Ok(false);
    };
    let right = place(needed).is_some_and(|before| {
        let given = &loaded.given[before];
        before < at
            && (needed != "rt-type"
                || !given.negated && read::word(&given.value(0).text).is_ok_and(|kind| kind == 0))
    });
    if right {
        return Ok(true);
    }
    let real = match needed {
        "rt-0-addrs" => "--rt-0-addr ...",
        _ => wanted,
    };
    let bad = Bad::new(format!("--{option} needs {wanted} before it"))
        .said(format!("`{real}' required before `--{option}'"));
    Err(loaded.given[at].fault(bad.help(format!("{wanted} --{option}"))))
}

fn shown(list: &[Ipv6Addr]) -> String {
    let parts: Vec<String> = list
        .iter()
        .map(|a| write::address(IpAddr::V6(*a)))
        .collect();
    parts.join(",")
}

impl Spec for Rt {
    const ROW: Extension = Extension::new("rt", Families::V6, "The routing header of IPv6.")
        .options(&[
            opt("rt-type", "TYPE", "the type").not(),
            opt(
                "rt-segsleft",
                "NUMBER[:NUMBER]",
                "segments left, or a range of them",
            )
            .not(),
            opt("rt-len", "BYTES", "length of the header").not(),
            flag("rt-0-res", "the reserved field of type 0 is zero"),
            opt(
                "rt-0-addrs",
                "ADDRESS[,...]",
                "the addresses of type 0, these and no others",
            ),
            flag(
                "rt-0-not-strict",
                "the addresses in this order, others between them",
            ),
        ])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let left = loaded.not("rt-segsleft", numbers::range)?;
        let kind = loaded.not("rt-type", read::word)?;
        behind(loaded, "rt-0-addrs", "rt-type", "--rt-type 0")?;
        Ok(Rt {
            kind,
            left: left.unwrap_or_else(Range::any),
            length: loaded.not("rt-len", read::word)?,
            reserved: behind(loaded, "rt-0-res", "rt-type", "--rt-type 0")?,
            addresses: loaded.plain("rt-0-addrs", addresses)?,
            not_strict: behind(
                loaded,
                "rt-0-not-strict",
                "rt-0-addrs",
                "--rt-0-addrs ADDRESS",
            )?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.maybe("rt-type", &self.kind, u32::to_string);
        numbers::save(out, "rt-segsleft", &self.left);
        out.maybe("rt-len", &self.length, u32::to_string);
        if self.reserved {
            out.flag("rt-0-res");
        }
        if let Some(list) = &self.addresses {
            out.opt("rt-0-addrs", shown(list));
        }
        if self.not_strict {
            out.flag("rt-0-not-strict");
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("rt");
        if let Some(not) = &self.kind {
            // The listing takes the number for one with a sign.
            out.word(format_args!(
                "type:{}{}",
                bang(not.negated),
                not.value as i32
            ));
        }
        if let Some(text) = numbers::listed("segsleft", &self.left) {
            out.word(text);
        }
        if let Some(not) = &self.length {
            out.word(format_args!("length:{}{}", bang(not.negated), not.value));
        }
        if self.reserved {
            out.word("reserved");
        }
        if let Some(list) = &self.addresses {
            out.word(format_args!("0-addrs {}", shown(list)));
        }
        if self.not_strict {
            out.word("0-not-strict");
        }
    }
}
