//! `-m connlimit`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Side;
use super::prelude::*;

/// `-m connlimit`: how many connections a network has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connlimit {
    /// The number of connections.
    pub limit: u32,
    /// Matches while there are at most so many; else when there are more.
    pub upto: bool,
    /// How much of the address makes a network, in bits.
    pub prefix: u8,
    /// Source or destination.
    pub side: Side,
}

impl Connlimit {
    /// What of an address counts.
    pub fn mask(&self, family: Family) -> IpAddr {
        let gone = |bits: u32| bits.saturating_sub(u32::from(self.prefix));
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(u32::MAX.checked_shl(gone(32)).unwrap_or(0))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(
                u128::MAX.checked_shl(gone(128)).unwrap_or(0),
            )),
        }
    }
}

impl Spec for Connlimit {
    const ROW: Extension = Extension::new(
        "connlimit",
        Families::Both,
        "How many connections a network has open.",
    )
    .options(&[
        opt("connlimit-upto", "NUMBER", "at most so many")
            .not()
            .excludes(&["connlimit-above"]),
        opt("connlimit-above", "NUMBER", "more than so many")
            .not()
            .excludes(&["connlimit-upto"]),
        opt(
            "connlimit-mask",
            "LENGTH",
            "how much of the address makes a network; all of it without this",
        ),
        flag("connlimit-saddr", "networks of sources (so without either)")
            .excludes(&["connlimit-daddr"]),
        flag("connlimit-daddr", "networks of destinations").excludes(&["connlimit-saddr"]),
    ])
    .needs(&[Need::Network, Need::Connection, Need::Memory]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let upto = l.not("connlimit-upto", read::word)?;
        let above = l.not("connlimit-above", read::word)?;
        let (limit, upto) = match (upto, above) {
            (Some(n), _) => (n.value, !n.negated),
            (_, Some(n)) => (n.value, n.negated),
            _ => {
                let (word, bad) = l.missing("connlimit-upto or --connlimit-above");
                let said = "You must specify \"--connlimit-above\" or \"--connlimit-upto\".";
                return Err((word, bad.said(said)));
            }
        };
        let all = match l.family {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        let prefix = l.plain("connlimit-mask", |t| value::prefix(t, l.family))?;
        Ok(Connlimit {
            limit,
            upto,
            prefix: prefix.flatten().unwrap_or(all),
            side: match l.has("connlimit-daddr") {
                true => Side::Destination,
                false => Side::Source,
            },
        })
    }

    fn write(&self, out: &mut Out) {
        let option = match self.upto {
            true => "connlimit-upto",
            false => "connlimit-above",
        };
        out.opt(option, self.limit);
        out.opt("connlimit-mask", self.prefix);
        out.flag(match self.side {
            Side::Destination => "connlimit-daddr",
            _ => "connlimit-saddr",
        });
    }

    fn list(&self, out: &mut Out) {
        let side = match self.side {
            Side::Destination => "dst",
            _ => "src",
        };
        let sign = if self.upto { "<=" } else { ">" };
        out.word(format_args!(
            "#conn {side}/{} {sign} {}",
            self.prefix, self.limit
        ));
    }
}
