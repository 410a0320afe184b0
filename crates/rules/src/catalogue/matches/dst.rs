//! `-m dst`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m dst`: options for the destination in IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dst(pub Words);

impl Spec for Dst {
    const ROW: Extension =
        Extension::new("dst", Families::V6, "Options for the destination in IPv6.")
            .options(&[
                opt("dst-len", "value", "").not().many(),
                opt("dst-opts", "value", "").not().many(),
            ])
            .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Dst(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
