//! `-m cpu`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m cpu`: the processor that handles the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu(pub Words);

impl Spec for Cpu {
    const ROW: Extension = Extension::new(
        "cpu",
        Families::Both,
        "The processor that handles the packet.",
    )
    .options(&[opt("cpu", "value", "").not().many()])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Cpu(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
