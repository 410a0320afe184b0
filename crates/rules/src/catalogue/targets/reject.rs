//! `-j REJECT`.

use super::prelude::*;
use crate::names;

/// `-j REJECT`: the answer; its name is what `--reject-with` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// ICMP destination unreachable with a code.
    Icmp(u8),
    /// ICMPv6 destination unreachable with a code.
    Icmp6(u8),
    /// TCP reset.
    TcpReset,
}

impl Reject {
    /// The name that `--reject-with` takes.
    pub fn name(self) -> &'static str {
        let find = |table: &[(&'static str, &'static str, u8)], code: u8| {
            let row = table.iter().find(|(.., c)| *c == code);
            row.map_or("?", |(name, ..)| *name)
        };
        match self {
            Reject::Icmp(code) => find(names::REJECT_V4, code),
            Reject::Icmp6(code) => find(names::REJECT_V6, code),
            Reject::TcpReset => "tcp-reset",
        }
    }

    fn parse(text: &str, family: Family) -> Value<Self> {
        let begins = |name: &str| {
            name.get(..text.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(text))
        };
        let table = match family {
            Family::V4 => names::REJECT_V4,
            Family::V6 => names::REJECT_V6,
        };
        // Names may be cut short, as the real program allows.
        let known = table
            .iter()
            .find(|(name, alias, _)| begins(name) || begins(alias));
        if let Some((.., code)) = known {
            return Ok(match family {
                Family::V4 => Reject::Icmp(*code),
                Family::V6 => Reject::Icmp6(*code),
            });
        }
        // ip6tables has one name for it only.
        if begins("tcp-reset") || (begins("tcp-rst") && family == Family::V4) {
            return Ok(Reject::TcpReset);
        }
        let all = table
            .iter()
            .flat_map(|(n, a, _)| [*n, *a])
            .chain(["tcp-reset"]);
        let bad = Bad::new(format!("REJECT has no answer '{text}'"));
        Err(match crate::diagnostic::nearest(text, all) {
            Some(near) => bad.help(near),
            None => bad,
        })
    }
}

impl Spec for Reject {
    const ROW: Extension = Extension::new(
        "REJECT",
        Families::Both,
        "Drops the packet and tells its sender.",
    )
    .options(&[opt(
        "reject-with",
        "ANSWER",
        "an ICMP answer, or tcp-reset; port unreachable without it",
    )])
    .tables(&[TableKind::Filter])
    .hooks(&[Hook::Input, Hook::Forward, Hook::Output])
    .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let answer = loaded.plain("reject-with", |t| Reject::parse(t, loaded.family))?;
        let answer = answer.unwrap_or(match loaded.family {
            Family::V4 => Reject::Icmp(3),
            Family::V6 => Reject::Icmp6(4),
        });
        if answer == Reject::TcpReset && !loaded.is_protocol(&[proto::TCP]) {
            return Err(loaded.fault(
                Bad::new("'--reject-with tcp-reset' needs '-p tcp'")
                    .help("-p tcp in the rule")
                    .code("target-needs-protocol"),
            ));
        }
        Ok(answer)
    }

    fn write(&self, out: &mut Out) {
        out.opt("reject-with", self.name());
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("reject-with {}", self.name()));
    }
}
