//! `-m u32`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m u32`: numbers anywhere in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct U32(pub Words);

impl Spec for U32 {
    const ROW: Extension = Extension::new("u32", Families::Both, "Numbers anywhere in the packet.")
        .options(&[opt("u32", "value", "").not().many()])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(U32(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
