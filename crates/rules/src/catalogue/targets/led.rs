//! `-j LED`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j LED`: lights a lamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led(pub Words);

impl Spec for Led {
    const ROW: Extension = Extension::new("LED", Families::Both, "Lights a lamp.")
        .options(&[
            opt("led-trigger-id", "value", "").not().many(),
            opt("led-delay", "value", "").not().many(),
            flag("led-always-blink", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Led(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
