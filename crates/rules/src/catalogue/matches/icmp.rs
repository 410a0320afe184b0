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
        .not()])
        .protocols(&[proto::ICMP])
        .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let given = loaded.not("icmp-type", |t| value::icmp_type(t, names::ICMP))?;
        let not = given.unwrap_or(Not {
            negated: false,
            value: (255, 0, 255),
        });
        let (kind, first, last) = not.value;
        Ok(Icmp(Not {
            negated: not.negated,
            value: Type {
                kind: (kind != 255).then_some(kind),
                codes: (first, last),
            },
        }))
    }

    fn write(&self, out: &mut Out) {
        out.not("icmp-type", &self.0, Type::write);
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
        let (kind, first, last) = not.value;
        Ok(Icmp6(Not {
            negated: not.negated,
            value: Type {
                kind: Some(kind),
                codes: (first, last),
            },
        }))
    }

    fn write(&self, out: &mut Out) {
        out.not("icmpv6-type", &self.0, Type::write);
    }
}
