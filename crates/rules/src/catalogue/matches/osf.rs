//! `-m osf`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m osf`: the operating system that a SYN looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Osf(pub Words);

impl Spec for Osf {
    const ROW: Extension = Extension::new(
        "osf",
        Families::V4,
        "The operating system that a SYN looks like.",
    )
    .options(&[
        opt("genre", "value", "").not().many(),
        opt("ttl", "value", "").not().many(),
        opt("log", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Osf(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
