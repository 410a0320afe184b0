//! `-m ecn`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m ecn`: congestion bits of IP and TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecn(pub Words);

impl Spec for Ecn {
    const ROW: Extension = Extension::new("ecn", Families::Both, "Congestion bits of IP and TCP.")
        .options(&[
            flag("ecn-tcp-cwr", "").not().many(),
            flag("ecn-tcp-ece", "").not().many(),
            opt("ecn-ip-ect", "value", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Ecn(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
