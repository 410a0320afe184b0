//! `-j TCPMSS`.

use super::prelude::*;

/// `-j TCPMSS`: lowers the maximum segment size that a SYN announces; never raises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcpmss {
    /// `--set-mss`: to this many bytes.
    Set(u16),
    /// `--clamp-mss-to-pmtu`: to what both ways' MTU leave room for.
    Clamp,
}

impl Spec for Tcpmss {
    const ROW: Extension = Extension::new(
        "TCPMSS",
        Families::Both,
        "Lowers the maximum segment size that a SYN announces.",
    )
    .options(&[
        opt("set-mss", "BYTES", "to this"),
        flag(
            "clamp-mss-to-pmtu",
            "to the smaller MTU of both ways, less the headers",
        ),
    ])
    .protocols(&[proto::TCP])
    .needs(&[Need::Transport, Need::Interfaces]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let largest = match loaded.family {
            Family::V4 => 65_535 - 20,
            Family::V6 => 65_535 - 40,
        };
        let mut mss = None;
        // Both may stand there; the last one counts.
        for given in &loaded.given {
            mss = Some(match given.option.name {
                "set-mss" => {
                    let size = given.parse(0, |t| value::number(t, largest))?;
                    Tcpmss::Set(size as u16)
                }
                _ => Tcpmss::Clamp,
            });
        }
        mss.ok_or_else(|| {
            let said = "TCPMSS target: At least one parameter is required";
            loaded.missing_as("set-mss or --clamp-mss-to-pmtu", said)
        })
    }

    fn write(&self, out: &mut Out) {
        match self {
            Tcpmss::Set(mss) => out.opt("set-mss", mss),
            Tcpmss::Clamp => out.flag("clamp-mss-to-pmtu"),
        }
    }

    fn list(&self, out: &mut Out) {
        match self {
            Tcpmss::Set(mss) => out.word(format_args!("TCPMSS set {mss}")),
            Tcpmss::Clamp => out.word("TCPMSS clamp to PMTU"),
        }
    }

    fn hooks(&self) -> &'static [Hook] {
        match self {
            // Before the way is chosen there is no MTU to look at.
            Tcpmss::Clamp => &[Hook::Forward, Hook::Output, Hook::Postrouting],
            Tcpmss::Set(_) => &[],
        }
    }
}
