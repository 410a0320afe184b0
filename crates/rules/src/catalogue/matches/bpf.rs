//! `-m bpf`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m bpf`: a program of the classic Berkeley packet filter says yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bpf(pub Words);

impl Spec for Bpf {
    const ROW: Extension = Extension::new(
        "bpf",
        Families::Both,
        "A program of the classic Berkeley packet filter says yes.",
    )
    .options(&[
        opt("bytecode", "value", "").not().many(),
        opt("object-pinned", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Bpf(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
