//! `-m connbytes`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m connbytes`: how much a connection has carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connbytes(pub Words);

impl Spec for Connbytes {
    const ROW: Extension = Extension::new(
        "connbytes",
        Families::Both,
        "How much a connection has carried.",
    )
    .options(&[
        opt("connbytes", "value", "").not().many(),
        opt("connbytes-dir", "value", "").not().many(),
        opt("connbytes-mode", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Connbytes(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
