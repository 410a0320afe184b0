//! `-m cgroup`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m cgroup`: the control group of the socket that sends or receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup(pub Words);

impl Spec for Cgroup {
    const ROW: Extension = Extension::new(
        "cgroup",
        Families::Both,
        "The control group of the socket that sends or receives.",
    )
    .options(&[
        opt("cgroup", "value", "").not().many(),
        opt("path", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Cgroup(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
