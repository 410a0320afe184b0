//! `-m icmp` and `-m icmp6`.

use super::prelude::*;
use crate::names;

/// ICMP or ICMPv6 type and codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// Type; `None` for any.
    pub kind: Option<u8>,
    /// First and last code.
    pub codes: (u8, u8),
}

impl Type {
    fn write(&self) -> String {
        match self.kind {
            None => "any".to_string(),
            Some(kind) if self.codes == (0, 255) => kind.to_string(),
            Some(kind) => format!("{kind}/{}", self.codes.0),
        }
    }
}

impl Type {
    /// By its name, where that is asked for and there is one.
    fn list(&self, out: &mut Out, word: &str, names: &[(&str, u8, u8, u8)], negated: bool) {
        let kind = self.kind.unwrap_or(255);
        let (first, last) = self.codes;
        let bang = if negated { " !" } else { "" };
        let known = names
            .iter()
            .find(|row| (row.1, row.2, row.3) == (kind, first, last));
        out.word(word);
        if let Some((name, ..)) = known.filter(|_| !out.numeric) {
            out.word(format_args!("{}{name}", bang.trim_start()));
            return;
        }
        out.text.push_str(bang);
        out.text.push_str(&format!("type {kind}"));
        if first == last {
            out.word(format_args!("code {first}"));
        } else if (first, last) != (0, 255) {
            out.word(format_args!("codes {first}-{last}"));
        }
    }
}

/// `-m icmp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icmp(pub Not<Type>);

impl Spec for Icmp {
    const ROW: Extension = Extension::new("icmp", Families::V4, "Type and code of ICMP.")
        .options(&[opt(
            "icmp-type",
            "TYPE[/CODE]",
            "a number, a number and a code, or a name",
        )
        .not()
        .required()])
        .protocols(&[proto::ICMP])
        .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let not = loaded.need_not("icmp-type", |t| value::icmp_type(t, names::ICMP))?;
        let (kind, codes) = not.value;
        Ok(Icmp(Not {
            negated: not.negated,
            value: Type {
                kind: (kind != 255).then_some(kind),
                codes,
            },
        }))
    }

    fn write(&self, out: &mut Out) {
        out.not("icmp-type", &self.0, Type::write);
    }

    fn list(&self, out: &mut Out) {
        self.0.value.list(out, "icmp", names::ICMP, self.0.negated);
    }
}

/// `-m icmp6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icmp6(pub Not<Type>);

impl Spec for Icmp6 {
    const ROW: Extension = Extension::new("icmp6", Families::V6, "Type and code of ICMPv6.")
        .aliases(&["icmpv6", "ipv6-icmp"])
        .options(&[opt(
            "icmpv6-type",
            "TYPE[/CODE]",
            "a number, a number and a code, or a name",
        )
        .not()
        .required()])
        .protocols(&[proto::ICMPV6])
        .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let not = loaded.need_not("icmpv6-type", |t| value::icmp_type(t, names::ICMPV6))?;
        let (kind, codes) = not.value;
        Ok(Icmp6(Not {
            negated: not.negated,
            value: Type {
                kind: Some(kind),
                codes,
            },
        }))
    }

    fn write(&self, out: &mut Out) {
        out.not("icmpv6-type", &self.0, Type::write);
    }

    fn list(&self, out: &mut Out) {
        self.0
            .value
            .list(out, "ipv6-icmp", names::ICMPV6, self.0.negated);
    }
}
