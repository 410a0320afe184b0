//! `-j CHECKSUM`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j CHECKSUM`: fills in the checksum of the transport header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum(pub Words);

impl Spec for Checksum {
    const ROW: Extension = Extension::new(
        "CHECKSUM",
        Families::Both,
        "Fills in the checksum of the transport header.",
    )
    .tables(&[TableKind::Mangle])
    .options(&[flag("checksum-fill", "").not().many()])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Checksum(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
