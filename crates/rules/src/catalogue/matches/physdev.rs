//! `-m physdev`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m physdev`: ports of a bridge that a packet passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Physdev(pub Words);

impl Spec for Physdev {
    const ROW: Extension = Extension::new(
        "physdev",
        Families::Both,
        "Ports of a bridge that a packet passes.",
    )
    .options(&[
        opt("physdev-in", "value", "").not().many(),
        opt("physdev-out", "value", "").not().many(),
        flag("physdev-is-in", "").not().many(),
        flag("physdev-is-out", "").not().many(),
        flag("physdev-is-bridged", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Physdev(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
