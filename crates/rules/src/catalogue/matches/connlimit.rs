//! `-m connlimit`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m connlimit`: how many connections a network has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connlimit(pub Words);

impl Spec for Connlimit {
    const ROW: Extension = Extension::new(
        "connlimit",
        Families::Both,
        "How many connections a network has open.",
    )
    .options(&[
        opt("connlimit-upto", "value", "").not().many(),
        opt("connlimit-above", "value", "").not().many(),
        opt("connlimit-mask", "value", "").not().many(),
        flag("connlimit-saddr", "").not().many(),
        flag("connlimit-daddr", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Connlimit(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
