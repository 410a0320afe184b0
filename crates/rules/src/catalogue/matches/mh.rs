//! `-m mh`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m mh`: the type of a mobility header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mh(pub Words);

impl Spec for Mh {
    const ROW: Extension = Extension::new("mh", Families::V6, "The type of a mobility header.")
        .options(&[opt("mh-type", "value", "").not().many()])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Mh(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
