//! `-j ULOG`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j ULOG`: logged by a program, in kernels before 3.17.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulog(pub Words);

impl Spec for Ulog {
    const ROW: Extension = Extension::new(
        "ULOG",
        Families::V4,
        "Logged by a program, in kernels before 3.17.",
    )
    .options(&[
        opt("ulog-nlgroup", "value", "").not().many(),
        opt("ulog-prefix", "value", "").not().many(),
        opt("ulog-cprange", "value", "").not().many(),
        opt("ulog-qthreshold", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Ulog(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
