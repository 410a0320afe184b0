//! `-j SET`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j SET`: adds to or deletes from a set (ipset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set(pub Words);

impl Spec for Set {
    const ROW: Extension = Extension::new(
        "SET",
        Families::Both,
        "Adds to or deletes from a set (ipset).",
    )
    .options(&[
        opt("add-set", "value", "").two().not().many(),
        opt("del-set", "value", "").two().not().many(),
        opt("map-set", "value", "").two().not().many(),
        opt("timeout", "value", "").not().many(),
        flag("exist", "").not().many(),
        flag("map-mark", "").not().many(),
        flag("map-prio", "").not().many(),
        flag("map-queue", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Set(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
