//! `-j CLASSIFY`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j CLASSIFY`: sets the packet's priority class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classify(pub Words);

impl Spec for Classify {
    const ROW: Extension = Extension::new(
        "CLASSIFY",
        Families::Both,
        "Sets the packet's priority class.",
    )
    .options(&[opt("set-class", "value", "").not().many()])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Classify(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
