//! `-m ipcomp`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m ipcomp`: the index of an IP payload compression header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipcomp(pub Words);

impl Spec for Ipcomp {
    const ROW: Extension = Extension::new(
        "ipcomp",
        Families::Both,
        "The index of an IP payload compression header.",
    )
    .options(&[
        opt("ipcompspi", "value", "").not().many(),
        flag("compres", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Ipcomp(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
