//! `-j TOS`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j TOS`: changes the type of service byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tos(pub Words);

impl Spec for Tos {
    const ROW: Extension =
        Extension::new("TOS", Families::Both, "Changes the type of service byte.")
            .tables(&[TableKind::Mangle])
            .options(&[
                opt("set-tos", "value", "").not().many(),
                opt("and-tos", "value", "").not().many(),
                opt("or-tos", "value", "").not().many(),
                opt("xor-tos", "value", "").not().many(),
            ])
            .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Tos(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
