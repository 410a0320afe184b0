//! `-m quota`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m quota`: matches until a number of bytes is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota(pub Words);

impl Spec for Quota {
    const ROW: Extension = Extension::new(
        "quota",
        Families::Both,
        "Matches until a number of bytes is used up.",
    )
    .options(&[opt("quota", "value", "").not().many()])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Quota(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
