//! `-m connmark`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m connmark`: the connection's mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connmark(pub Words);

impl Spec for Connmark {
    const ROW: Extension = Extension::new("connmark", Families::Both, "The connection's mark.")
        .options(&[opt("mark", "value", "").not().many()])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Connmark(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
