//! `-m set`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m set`: whether addresses or ports are in a set (ipset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set(pub Words);

impl Spec for Set {
    const ROW: Extension = Extension::new(
        "set",
        Families::Both,
        "Whether addresses or ports are in a set (ipset).",
    )
    .options(&[
        opt("match-set", "value", "").two().not().many(),
        flag("return-nomatch", "").not().many(),
        flag("update-counters", "").not().many(),
        flag("update-subcounters", "").not().many(),
        opt("packets-eq", "value", "").not().many(),
        opt("packets-lt", "value", "").not().many(),
        opt("packets-gt", "value", "").not().many(),
        opt("bytes-eq", "value", "").not().many(),
        opt("bytes-lt", "value", "").not().many(),
        opt("bytes-gt", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Set(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
