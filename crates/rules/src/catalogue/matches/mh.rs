//! `-m mh`.

use super::numbers::bang;
use super::prelude::*;

/// `-m mh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mh {
    /// `--mh-type`: lowest and highest.
    pub kinds: Not<(u8, u8)>,
}

/// Types by name and short name. Any beginning will do, of which the first one is meant.
const NAMES: [(&str, &str, u8); 8] = [
    ("binding-refresh-request", "brr", 0),
    ("home-test-init", "hoti", 1),
    ("careof-test-init", "coti", 2),
    ("home-test", "hot", 3),
    ("careof-test", "cot", 4),
    ("binding-update", "bu", 5),
    ("binding-acknowledgement", "ba", 6),
    ("binding-error", "be", 7),
];

const ALL: (u8, u8) = (0, 255);

fn kind(text: &str) -> Value<u8> {
    let names = || {
        NAMES
            .iter()
            .flat_map(|(long, short, n)| [(*long, *n), (*short, *n)])
    };
    let begins = |name: &str| {
        name.get(..text.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(text))
    };
    let exact = names().find(|(name, _)| name.eq_ignore_ascii_case(text));
    if let Some((_, kind)) = exact.or_else(|| names().find(|(name, _)| begins(name))) {
        return Ok(kind);
    }
    read::byte(text).map_err(|_| {
        let bad = Bad::new(format!("'{text}' is no type of a mobility header"))
            .said(format!("Invalid MH type `{text}'"));
        let near = crate::diagnostic::nearest(text, names().map(|(name, _)| name));
        bad.help(near.unwrap_or("a name such as binding-update, or a number from 0 to 255"))
    })
}

fn kinds(text: &str) -> Value<(u8, u8)> {
    let Some((first, last)) = text.split_once(':') else {
        return kind(text).map(|k| (k, k));
    };
    let first = if first.is_empty() { 0 } else { kind(first)? };
    let last = if last.is_empty() { 255 } else { kind(last)? };
    if first > last {
        return Err(Bad::new(format!("the range {first}:{last} is backwards"))
            .help(format!("{last}:{first}"))
            .said("Invalid MH type range (min > max)"));
    }
    Ok((first, last))
}

impl Spec for Mh {
    const ROW: Extension = Extension::new("mh", Families::V6, "The type of a mobility header.")
        .options(&[opt(
            "mh-type",
            "TYPE[:TYPE]",
            "the type by name or number, or those of a range",
        )
        .not()])
        .protocols(&[proto::MH])
        .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let any = Not {
            negated: false,
            value: ALL,
        };
        Ok(Mh {
            kinds: loaded.not("mh-type", kinds)?.unwrap_or(any),
        })
    }

    fn write(&self, out: &mut Out) {
        if self.kinds.value != ALL {
            out.not("mh-type", &self.kinds, |(a, b)| write::range(a, b));
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("mh");
        let Not { negated, value } = self.kinds;
        if value == ALL && !negated {
            return;
        }
        let numeric = out.numeric;
        let name = |kind: u8| {
            let known = NAMES.iter().find(|n| n.2 == kind && !numeric);
            known.map_or_else(|| kind.to_string(), |n| n.0.to_string())
        };
        out.word(format_args!(
            "{}{}",
            bang(negated),
            write::range(name(value.0), name(value.1))
        ));
    }
}
