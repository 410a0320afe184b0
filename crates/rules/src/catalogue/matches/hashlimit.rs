//! `-m hashlimit`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m hashlimit`: a rate limit for each address or port by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashlimit(pub Words);

impl Spec for Hashlimit {
    const ROW: Extension = Extension::new(
        "hashlimit",
        Families::Both,
        "A rate limit for each address or port by itself.",
    )
    .options(&[
        opt("hashlimit-upto", "value", "").not().many(),
        opt("hashlimit-above", "value", "").not().many(),
        opt("hashlimit", "value", "").not().many(),
        opt("hashlimit-burst", "value", "").not().many(),
        opt("hashlimit-mode", "value", "").not().many(),
        opt("hashlimit-srcmask", "value", "").not().many(),
        opt("hashlimit-dstmask", "value", "").not().many(),
        opt("hashlimit-name", "value", "").not().many(),
        opt("hashlimit-htable-size", "value", "").not().many(),
        opt("hashlimit-htable-max", "value", "").not().many(),
        opt("hashlimit-htable-expire", "value", "").not().many(),
        opt("hashlimit-htable-gcinterval", "value", "").not().many(),
        flag("hashlimit-rate-match", "").not().many(),
        opt("hashlimit-rate-interval", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Hashlimit(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
