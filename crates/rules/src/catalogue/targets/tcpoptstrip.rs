//! `-j TCPOPTSTRIP`.

use super::prelude::*;

/// Options that have a name.
const NAMES: [(&str, u8); 6] = [
    ("wscale", 3),
    ("mss", 2),
    ("sack-permitted", 4),
    ("sack", 5),
    ("timestamp", 8),
    ("md5", 19),
];

/// `-j TCPOPTSTRIP`: TCP options of these kinds (2 to 255, in order) are overwritten with NOP. Without any the
/// rule only counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcpoptstrip(pub Vec<u8>);

impl Spec for Tcpoptstrip {
    const ROW: Extension = Extension::new(
        "TCPOPTSTRIP",
        Families::Both,
        "Overwrites TCP options with NOP.",
    )
    .tables(&[TableKind::Mangle])
    .options(&[opt(
        "strip-options",
        "KIND[,KIND...]",
        "numbers from 2, or wscale, mss, sack-permitted, sack, timestamp, md5",
    )])
    .protocols(&[proto::TCP])
    .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Tcpoptstrip(
            loaded.plain("strip-options", kinds)?.unwrap_or_default(),
        ))
    }

    fn write(&self, out: &mut Out) {
        if !self.0.is_empty() {
            let kinds: Vec<String> = self.0.iter().map(u8::to_string).collect();
            out.opt("strip-options", kinds.join(","));
        }
    }

    fn list(&self, out: &mut Out) {
        if self.0.is_empty() {
            return;
        }
        let name = |kind: &u8| {
            let named = NAMES.iter().find(|(_, number)| number == kind);
            match named.filter(|_| !out.numeric) {
                Some((name, _)) => (*name).to_string(),
                None => kind.to_string(),
            }
        };
        let kinds: Vec<String> = self.0.iter().map(name).collect();
        out.word(format_args!("TCPOPTSTRIP options {}", kinds.join(",")));
    }
}

fn kinds(text: &str) -> Value<Vec<u8>> {
    let mut kinds = Vec::new();
    for word in text.split(',') {
        let kind = match NAMES.iter().find(|(name, _)| *name == word) {
            Some((_, kind)) => *kind,
            None => read::byte(word).map_err(|_| {
                let near = crate::diagnostic::nearest(word, NAMES.iter().map(|(name, _)| *name));
                let bad = Bad::new(format!("'{word}' is no TCP option"))
                    .said(format!("Bad TCP option value \"{word}\""));
                bad.help(near.unwrap_or("a number from 2 to 255, or mss, wscale, timestamp …"))
            })?,
        };
        if kind < 2 {
            return Err(Bad::new(format!(
                "option {kind} ends or fills the list and cannot be taken out"
            ))
            .said("Option value may not be 0 or 1"));
        }
        if kinds.contains(&kind) {
            return Err(Bad::new(format!("option '{word}' stands twice"))
                .said(format!("Option \"{word}\" already specified")));
        }
        kinds.push(kind);
    }
    kinds.sort_unstable();
    Ok(kinds)
}
