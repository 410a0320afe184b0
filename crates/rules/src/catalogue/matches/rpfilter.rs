//! `-m rpfilter`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m rpfilter`: whether an answer would leave by the interface that the packet came in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rpfilter(pub Words);

impl Spec for Rpfilter {
    const ROW: Extension = Extension::new(
        "rpfilter",
        Families::Both,
        "Whether an answer would leave by the interface that the packet came in by.",
    )
    .options(&[
        flag("loose", "").not().many(),
        flag("validmark", "").not().many(),
        flag("accept-local", "").not().many(),
        flag("invert", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Rpfilter(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
