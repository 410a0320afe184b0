//! `-m tcpmss`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m tcpmss`: the maximum segment size that a SYN announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcpmss(pub Words);

impl Spec for Tcpmss {
    const ROW: Extension = Extension::new(
        "tcpmss",
        Families::Both,
        "The maximum segment size that a SYN announces.",
    )
    .options(&[opt("mss", "value", "").not().many()])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Tcpmss(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
