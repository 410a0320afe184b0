//! `-m osf`.

use super::prelude::*;

/// `-m osf`: the operating system that a SYN looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Osf {
    /// `--genre`.
    pub genre: Not<String>,
    /// `--ttl`: 0 compares the time to live as it is and within the sender's own network, 1 asks that it is
    /// not greater than the fingerprint's, 2 does not look.
    pub ttl: Option<u8>,
    /// `--log`: 0 logs all that fit, 1 the first, 2 all that are known.
    pub log: Option<u8>,
}

fn small(text: &str) -> Value<u8> {
    value::number(text, 2).map(|n| n as u8)
}

impl Spec for Osf {
    const ROW: Extension = Extension::new(
        "osf",
        Families::V4,
        "The operating system that a SYN looks like.",
    )
    .options(&[
        opt("genre", "NAME", "as the fingerprints call it")
            .not()
            .required(),
        opt("ttl", "0-2", "how the time to live is compared"),
        opt("log", "0-2", "what is logged"),
    ])
    .protocols(&[proto::TCP])
    .hooks(&[Hook::Prerouting, Hook::Input, Hook::Forward])
    .needs(&[Need::Transport, Need::Host]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        Ok(Osf {
            genre: l.need_not("genre", read::cut(31))?,
            ttl: l.plain("ttl", small)?,
            log: l.plain("log", small)?,
        })
    }

    fn list(&self, out: &mut Out) {
        out.word("OS fingerprint match");
        out.bang(self.genre.negated);
        out.word(&self.genre.value);
    }

    fn write(&self, out: &mut Out) {
        out.not("genre", &self.genre, String::clone);
        if let Some(ttl) = self.ttl {
            out.opt("ttl", ttl);
        }
        if let Some(log) = self.log {
            out.opt("log", log);
        }
    }
}
