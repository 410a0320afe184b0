//! `-j TPROXY`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j TPROXY`: hands a packet to a local socket without changing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tproxy(pub Words);

impl Spec for Tproxy {
    const ROW: Extension = Extension::new(
        "TPROXY",
        Families::Both,
        "Hands a packet to a local socket without changing it.",
    )
    .tables(&[TableKind::Mangle])
    .options(&[
        opt("on-port", "value", "").not().many(),
        opt("on-ip", "value", "").not().many(),
        opt("tproxy-mark", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Tproxy(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
