//! `-j IDLETIMER`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j IDLETIMER`: tells when an interface has been idle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idletimer(pub Words);

impl Spec for Idletimer {
    const ROW: Extension = Extension::new(
        "IDLETIMER",
        Families::Both,
        "Tells when an interface has been idle.",
    )
    .options(&[
        opt("timeout", "value", "").not().many(),
        opt("label", "value", "").not().many(),
        flag("alarm", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Idletimer(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
