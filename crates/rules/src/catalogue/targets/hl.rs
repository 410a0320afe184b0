//! `-j HL`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j HL`: changes the hop limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hl(pub Words);

impl Spec for Hl {
    const ROW: Extension = Extension::new("HL", Families::V6, "Changes the hop limit.")
        .tables(&[TableKind::Mangle])
        .options(&[
            opt("hl-set", "value", "").not().many(),
            opt("hl-dec", "value", "").not().many(),
            opt("hl-inc", "value", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Hl(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
