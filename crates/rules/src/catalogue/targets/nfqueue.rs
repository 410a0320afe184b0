//! `-j NFQUEUE`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j NFQUEUE`: hands the packet to a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nfqueue(pub Words);

impl Spec for Nfqueue {
    const ROW: Extension =
        Extension::new("NFQUEUE", Families::Both, "Hands the packet to a program.")
            .options(&[
                opt("queue-num", "value", "").not().many(),
                opt("queue-balance", "value", "").not().many(),
                flag("queue-bypass", "").not().many(),
                flag("queue-cpu-fanout", "").not().many(),
            ])
            .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Nfqueue(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
