//! `-m addrtype`.

use super::prelude::*;

/// Address types as a set of bits, by position in [`TypeSet::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct TypeSet(pub u16);

impl TypeSet {
    /// Words; the bit is the position.
    pub const NAMES: [&'static str; 12] = [
        "UNSPEC",
        "UNICAST",
        "LOCAL",
        "BROADCAST",
        "ANYCAST",
        "MULTICAST",
        "BLACKHOLE",
        "UNREACHABLE",
        "PROHIBIT",
        "THROW",
        "NAT",
        "XRESOLVE",
    ];

    /// Types that the kernel refuses for IPv6: BROADCAST, BLACKHOLE and those from PROHIBIT on.
    const FOURTH_ONLY: TypeSet = TypeSet(1 << 3 | 1 << 6 | 0xff00);

    fn bits() -> impl Iterator<Item = (&'static str, u64)> {
        Self::NAMES.iter().enumerate().map(|(i, n)| (*n, 1u64 << i))
    }

    fn read(text: &str) -> Value<Self> {
        let table: Vec<(&str, u64)> = Self::bits().collect();
        value::short_names(text, &table, "address type").map(|set| TypeSet(set as u16))
    }

    fn write(&self) -> String {
        write::named(u64::from(self.0), Self::bits())
    }
}

/// `-m addrtype`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Addrtype {
    /// `--src-type`.
    pub source: Option<Not<TypeSet>>,
    /// `--dst-type`.
    pub destination: Option<Not<TypeSet>>,
    /// `--limit-iface-in`.
    pub limit_in: bool,
    /// `--limit-iface-out`.
    pub limit_out: bool,
}

impl Spec for Addrtype {
    const ROW: Extension = Extension::new(
        "addrtype",
        Families::Both,
        "What the routing table says of an address.",
    )
    .options(&[
        opt("src-type", "TYPE[,TYPE]", "of the source").not(),
        opt("dst-type", "TYPE[,TYPE]", "of the destination").not(),
        flag("limit-iface-in", "asked of the interface it came in by")
            .excludes(&["limit-iface-out"]),
        flag("limit-iface-out", "asked of the interface it leaves by")
            .excludes(&["limit-iface-in"]),
    ])
    .needs(&[Need::Network, Need::Host]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let found = Addrtype {
            source: loaded.not("src-type", TypeSet::read)?,
            destination: loaded.not("dst-type", TypeSet::read)?,
            limit_in: loaded.has("limit-iface-in"),
            limit_out: loaded.has("limit-iface-out"),
        };
        if found.source.is_none() && found.destination.is_none() {
            return Err(loaded.missing("src-type"));
        }
        let six = loaded.family == Family::V6;
        for option in ["src-type", "dst-type"] {
            let set = loaded.plain(option, TypeSet::read)?.unwrap_or_default();
            if let (true, Some(given), true) = (
                six,
                loaded.find(option),
                set.0 & TypeSet::FOURTH_ONLY.0 != 0,
            ) {
                let kinds = TypeSet(set.0 & TypeSet::FOURTH_ONLY.0).write();
                return Err(given.fault(Bad::new(format!("IPv6 has no addresses of type {kinds}"))));
            }
        }
        Ok(found)
    }

    fn hooks(&self) -> &'static [Hook] {
        if self.limit_in {
            &[Hook::Prerouting, Hook::Input, Hook::Forward]
        } else if self.limit_out {
            &[Hook::Forward, Hook::Output, Hook::Postrouting]
        } else {
            &[]
        }
    }

    fn write(&self, out: &mut Out) {
        out.maybe("src-type", &self.source, TypeSet::write);
        out.maybe("dst-type", &self.destination, TypeSet::write);
        if self.limit_in {
            out.flag("limit-iface-in");
        }
        if self.limit_out {
            out.flag("limit-iface-out");
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("ADDRTYPE match");
        for (word, value) in [("src-type", &self.source), ("dst-type", &self.destination)] {
            if let Some(not) = value {
                let bang = if not.negated { "!" } else { "" };
                out.word(format_args!("{word} {bang}{}", not.value.write()));
            }
        }
        if self.limit_in {
            out.word("limit-in");
        }
        if self.limit_out {
            out.word("limit-out");
        }
    }
}
