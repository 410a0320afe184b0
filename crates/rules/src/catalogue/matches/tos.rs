//! `-m tos`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m tos`: the type of service byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tos(pub Words);

impl Spec for Tos {
    const ROW: Extension = Extension::new("tos", Families::Both, "The type of service byte.")
        .options(&[opt("tos", "value", "").not().many()])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Tos(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
