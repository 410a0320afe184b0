//! `-m ttl` and `-m hl`.

use super::prelude::*;

/// A test of TTL or hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// Equal.
    Equal(u8),
    /// Not equal.
    Differs(u8),
    /// Less.
    Less(u8),
    /// Greater.
    Greater(u8),
}

impl Test {
    fn read(l: &Loaded, [equal, less, greater]: [&str; 3]) -> Result<Self, Fault> {
        if let Some(not) = l.not(equal, read::byte)? {
            return Ok(if not.negated {
                Test::Differs(not.value)
            } else {
                Test::Equal(not.value)
            });
        }
        if let Some(value) = l.plain(less, read::byte)? {
            return Ok(Test::Less(value));
        }
        let value = l.plain(greater, read::byte)?;
        l.required(value.map(Test::Greater), equal)
    }

    fn list(self, out: &mut Out, word: &str) {
        let (sign, value) = match self {
            Test::Equal(n) => ("==", n),
            Test::Differs(n) => ("!=", n),
            Test::Less(n) => ("<", n),
            Test::Greater(n) => (">", n),
        };
        out.word(format_args!("{word} match {word} {sign} {value}"));
    }

    fn write(self, out: &mut Out, [equal, less, greater]: [&str; 3]) {
        match self {
            Test::Equal(n) => out.opt(equal, n),
            Test::Differs(n) => {
                out.bang(true);
                out.opt(equal, n);
            }
            Test::Less(n) => out.opt(less, n),
            Test::Greater(n) => out.opt(greater, n),
        }
    }
}

/// `-m ttl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ttl(pub Test);

const TTL: [&str; 3] = ["ttl-eq", "ttl-lt", "ttl-gt"];

impl Spec for Ttl {
    const ROW: Extension = Extension::new("ttl", Families::V4, "The time to live of IPv4.")
        .options(&[
            opt("ttl-eq", "TTL", "equal")
                .alias(&["ttl"])
                .not()
                .excludes(&["ttl-lt", "ttl-gt"]),
            opt("ttl-lt", "TTL", "less").excludes(&["ttl-gt"]),
            opt("ttl-gt", "TTL", "greater"),
        ])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Test::read(loaded, TTL).map(Ttl)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, TTL);
    }

    fn list(&self, out: &mut Out) {
        self.0.list(out, "TTL");
    }
}

/// `-m hl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hl(pub Test);

const HL: [&str; 3] = ["hl-eq", "hl-lt", "hl-gt"];

impl Spec for Hl {
    const ROW: Extension = Extension::new("hl", Families::V6, "The hop limit of IPv6.")
        .options(&[
            opt("hl-eq", "LIMIT", "equal")
                .alias(&["hl"])
                .not()
                .excludes(&["hl-lt", "hl-gt"]),
            opt("hl-lt", "LIMIT", "less").excludes(&["hl-gt"]),
            opt("hl-gt", "LIMIT", "greater"),
        ])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Test::read(loaded, HL).map(Hl)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, HL);
    }

    fn list(&self, out: &mut Out) {
        self.0.list(out, "HL");
    }
}
