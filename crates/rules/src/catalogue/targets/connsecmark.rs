//! `-j CONNSECMARK`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j CONNSECMARK`: copies security marks between packet and connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connsecmark(pub Words);

impl Spec for Connsecmark {
    const ROW: Extension = Extension::new(
        "CONNSECMARK",
        Families::Both,
        "Copies security marks between packet and connection.",
    )
    .options(&[
        flag("save", "").not().many(),
        flag("restore", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Connsecmark(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
