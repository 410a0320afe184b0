//! `-j TCPOPTSTRIP`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j TCPOPTSTRIP`: takes options out of TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcpoptstrip(pub Words);

impl Spec for Tcpoptstrip {
    const ROW: Extension =
        Extension::new("TCPOPTSTRIP", Families::Both, "Takes options out of TCP.")
            .tables(&[TableKind::Mangle])
            .options(&[opt("strip-options", "value", "").not().many()])
            .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Tcpoptstrip(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
