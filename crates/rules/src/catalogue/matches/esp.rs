//! `-m esp`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m esp`: the security parameters index of an encrypted payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Esp(pub Words);

impl Spec for Esp {
    const ROW: Extension = Extension::new(
        "esp",
        Families::Both,
        "The security parameters index of an encrypted payload.",
    )
    .options(&[opt("espspi", "value", "").not().many()])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Esp(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
