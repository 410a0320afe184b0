//! `-j QUEUE`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j QUEUE`: hands the packet to a program, as it was done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue(pub Words);

impl Spec for Queue {
    const ROW: Extension = Extension::new(
        "QUEUE",
        Families::Both,
        "Hands the packet to a program, as it was done once.",
    )
    .options(&[])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Queue(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
