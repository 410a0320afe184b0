//! `-m rateest`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m rateest`: compares estimated rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rateest(pub Words);

impl Spec for Rateest {
    const ROW: Extension = Extension::new("rateest", Families::Both, "Compares estimated rates.")
        .options(&[
            opt("rateest", "value", "").not().many(),
            opt("rateest1", "value", "").not().many(),
            opt("rateest2", "value", "").not().many(),
            flag("rateest-delta", "").not().many(),
            flag("rateest-lt", "").not().many(),
            flag("rateest-gt", "").not().many(),
            flag("rateest-eq", "").not().many(),
            opt("rateest-bps", "value", "").not().many(),
            opt("rateest-pps", "value", "").not().many(),
            opt("rateest-bps1", "value", "").not().many(),
            opt("rateest-bps2", "value", "").not().many(),
            opt("rateest-pps1", "value", "").not().many(),
            opt("rateest-pps2", "value", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Rateest(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
