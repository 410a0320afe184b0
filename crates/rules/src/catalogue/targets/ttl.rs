//! `-j TTL`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j TTL`: changes the time to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ttl(pub Words);

impl Spec for Ttl {
    const ROW: Extension = Extension::new("TTL", Families::V4, "Changes the time to live.")
        .tables(&[TableKind::Mangle])
        .options(&[
            opt("ttl-set", "value", "").not().many(),
            opt("ttl-dec", "value", "").not().many(),
            opt("ttl-inc", "value", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Ttl(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
