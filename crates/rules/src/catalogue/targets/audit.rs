//! `-j AUDIT`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j AUDIT`: writes an audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit(pub Words);

impl Spec for Audit {
    const ROW: Extension = Extension::new("AUDIT", Families::Both, "Writes an audit record.")
        .options(&[opt("type", "value", "").not().many()])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Audit(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
