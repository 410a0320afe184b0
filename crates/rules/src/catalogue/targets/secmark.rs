//! `-j SECMARK`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j SECMARK`: sets a security mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secmark(pub Words);

impl Spec for Secmark {
    const ROW: Extension = Extension::new("SECMARK", Families::Both, "Sets a security mark.")
        .options(&[opt("selctx", "value", "").not().many()])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Secmark(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
