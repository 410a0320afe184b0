//! `-j RATEEST`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j RATEEST`: feeds a rate estimator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rateest(pub Words);

impl Spec for Rateest {
    const ROW: Extension = Extension::new("RATEEST", Families::Both, "Feeds a rate estimator.")
        .options(&[
            opt("rateest-name", "value", "").not().many(),
            opt("rateest-interval", "value", "").not().many(),
            opt("rateest-ewmalog", "value", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Rateest(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
