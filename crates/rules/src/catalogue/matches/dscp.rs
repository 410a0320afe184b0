//! `-m dscp`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m dscp`: the differentiated services code point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dscp(pub Words);

impl Spec for Dscp {
    const ROW: Extension = Extension::new(
        "dscp",
        Families::Both,
        "The differentiated services code point.",
    )
    .options(&[
        opt("dscp", "value", "").not().many(),
        opt("dscp-class", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Dscp(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
