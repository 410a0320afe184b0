//! `-m statistic`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m statistic`: every nth packet, or packets by chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistic(pub Words);

impl Spec for Statistic {
    const ROW: Extension = Extension::new(
        "statistic",
        Families::Both,
        "Every nth packet, or packets by chance.",
    )
    .options(&[
        opt("mode", "value", "").not().many(),
        opt("probability", "value", "").not().many(),
        opt("every", "value", "").not().many(),
        opt("packet", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Statistic(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
