//! `-j AUDIT`.

use super::prelude::*;

/// `-j AUDIT`: writes an audit record; what it is said to record makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit(pub Kind);

/// What an [`Audit`] record is said to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An accepted packet.
    Accept,
    /// A dropped one.
    Drop,
    /// A rejected one.
    Reject,
}

const KINDS: [(&str, Kind); 3] = [
    ("accept", Kind::Accept),
    ("drop", Kind::Drop),
    ("reject", Kind::Reject),
];

impl Audit {
    fn name(self) -> &'static str {
        let row = KINDS.iter().find(|(_, k)| *k == self.0);
        row.map_or("", |(n, _)| n)
    }
}

impl Spec for Audit {
    const ROW: Extension = Extension::new("AUDIT", Families::Both, "Writes an audit record.")
        .options(&[opt("type", "KIND", "accept, drop or reject").required()]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let kind = |t: &str| {
            let row = KINDS.iter().find(|(n, _)| n.eq_ignore_ascii_case(t));
            row.map(|(_, k)| *k).ok_or_else(|| {
                Bad::new(format!("'{t}' is no type of audit record"))
                    .help("accept, drop or reject")
                    .said(format!("Bad action type value \"{t}\""))
            })
        };
        loaded.need("type", kind).map(Audit)
    }

    fn write(&self, out: &mut Out) {
        out.opt("type", self.name());
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("AUDIT {}", self.name()));
    }
}
