//! `-j TRACE`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j TRACE`: has the way of a packet logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace(pub Words);

impl Spec for Trace {
    const ROW: Extension =
        Extension::new("TRACE", Families::Both, "Has the way of a packet logged.")
            .options(&[])
            .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Trace(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
