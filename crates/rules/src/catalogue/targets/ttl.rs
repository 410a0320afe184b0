//! `-j TTL`, and what it shares with `-j HL`.

use super::prelude::*;

const STEP: &str = "{extension}: bad value for option \"--{option}\", or out of range (1-255).";

/// What becomes of the time to live, or of the hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It is this.
    Set(u8),
    /// More by this, at most 255.
    Increase(u8),
    /// Less by this, at least 0.
    Decrease(u8),
}

impl Change {
    /// The new value.
    pub fn apply(self, value: u8) -> u8 {
        match self {
            Change::Set(new) => new,
            Change::Increase(by) => value.saturating_add(by),
            Change::Decrease(by) => value.saturating_sub(by),
        }
    }

    pub(crate) fn read(l: &Loaded, [set, increase, decrease]: [&str; 3]) -> Result<Self, Fault> {
        let step = |t: &str| match read::byte(t)? {
            0 => Err(Bad::new("a change by 0 is none").help("1").said(STEP)),
            by => Ok(by),
        };
        let step = |t: &str| step(t).map_err(|bad| bad.said(STEP));
        if let Some(by) = l.plain(increase, step)? {
            return Ok(Change::Increase(by));
        }
        if let Some(by) = l.plain(decrease, step)? {
            return Ok(Change::Decrease(by));
        }
        match l.plain(set, read::byte)? {
            Some(value) => Ok(Change::Set(value)),
            None => {
                let said = format!("{}: You must specify an action", l.extension.name);
                Err(l.missing_as(set, &said))
            }
        }
    }

    pub(crate) fn write(self, out: &mut Out, [set, increase, decrease]: [&str; 3]) {
        match self {
            Change::Set(n) => out.opt(set, n),
            Change::Increase(n) => out.opt(increase, n),
            Change::Decrease(n) => out.opt(decrease, n),
        }
    }
}

impl Change {
    pub(crate) fn list(self, out: &mut Out, name: &str) {
        let (what, number) = match self {
            Change::Set(n) => ("set to", n),
            Change::Increase(n) => ("increment by", n),
            Change::Decrease(n) => ("decrement by", n),
        };
        out.word(format_args!("{name} {what} {number}"));
    }
}

/// `-j TTL`: changes the time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(pub Change);

const NAMES: [&str; 3] = ["ttl-set", "ttl-inc", "ttl-dec"];

impl Spec for Ttl {
    const ROW: Extension = Extension::new("TTL", Families::V4, "Changes the time to live.")
        .tables(&[TableKind::Mangle])
        .options(&[
            opt("ttl-set", "TTL", "it becomes this").excludes(&["ttl-dec", "ttl-inc"]),
            opt("ttl-dec", "NUMBER", "less by 1 to 255").excludes(&["ttl-set", "ttl-inc"]),
            opt("ttl-inc", "NUMBER", "more by 1 to 255").excludes(&["ttl-set", "ttl-dec"]),
        ])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Change::read(loaded, NAMES).map(Ttl)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, NAMES);
    }

    fn list(&self, out: &mut Out) {
        self.0.list(out, "TTL");
    }
}
