//! `-j TEE`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j TEE`: sends a copy to another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tee(pub Words);

impl Spec for Tee {
    const ROW: Extension = Extension::new("TEE", Families::Both, "Sends a copy to another host.")
        .options(&[opt("gateway", "value", "").not().many()])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Tee(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
