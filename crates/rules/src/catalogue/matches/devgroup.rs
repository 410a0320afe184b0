//! `-m devgroup`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m devgroup`: the group of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devgroup(pub Words);

impl Spec for Devgroup {
    const ROW: Extension = Extension::new("devgroup", Families::Both, "The group of an interface.")
        .options(&[
            opt("src-group", "value", "").not().many(),
            opt("dst-group", "value", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Devgroup(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
