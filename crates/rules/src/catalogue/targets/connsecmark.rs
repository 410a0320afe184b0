//! `-j CONNSECMARK`.

use super::prelude::*;

/// `-j CONNSECMARK`: copies security marks between packet and connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connsecmark {
    /// From the packet to the connection.
    Save,
    /// From the connection to the packet.
    Restore,
}

impl Spec for Connsecmark {
    const ROW: Extension = Extension::new(
        "CONNSECMARK",
        Families::Both,
        "Copies security marks between packet and connection.",
    )
    .options(&[
        flag("save", "from the packet to its connection").excludes(&["restore"]),
        flag("restore", "from the connection to its packet").excludes(&["save"]),
    ])
    .tables(&[TableKind::Mangle, TableKind::Security])
    .needs(&[Need::Connection]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        if l.has("save") {
            return Ok(Connsecmark::Save);
        }
        if l.has("restore") {
            return Ok(Connsecmark::Restore);
        }
        let bad = Bad::new("'CONNSECMARK' needs --save or --restore")
            .said("CONNSECMARK target: parameter required")
            .missing();
        Err(l.fault(bad))
    }

    fn list(&self, out: &mut Out) {
        out.word(match self {
            Connsecmark::Save => "CONNSECMARK save",
            Connsecmark::Restore => "CONNSECMARK restore",
        });
    }

    fn write(&self, out: &mut Out) {
        out.flag(match self {
            Connsecmark::Save => "save",
            Connsecmark::Restore => "restore",
        });
    }
}
