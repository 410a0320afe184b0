//! `-j DSCP`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j DSCP`: sets the differentiated services code point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dscp(pub Words);

impl Spec for Dscp {
    const ROW: Extension = Extension::new(
        "DSCP",
        Families::Both,
        "Sets the differentiated services code point.",
    )
    .tables(&[TableKind::Mangle])
    .options(&[
        opt("set-dscp", "value", "").not().many(),
        opt("set-dscp-class", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Dscp(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
