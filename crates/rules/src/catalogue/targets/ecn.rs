//! `-j ECN`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j ECN`: takes congestion bits out of TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecn(pub Words);

impl Spec for Ecn {
    const ROW: Extension = Extension::new("ECN", Families::V4, "Takes congestion bits out of TCP.")
        .tables(&[TableKind::Mangle])
        .options(&[flag("ecn-tcp-remove", "").not().many()])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Ecn(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
