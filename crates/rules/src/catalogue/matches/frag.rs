//! `-m frag`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m frag`: the IPv6 fragment header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frag(pub Words);

impl Spec for Frag {
    const ROW: Extension = Extension::new("frag", Families::V6, "The IPv6 fragment header.")
        .options(&[
            opt("fragid", "value", "").not().many(),
            opt("fraglen", "value", "").not().many(),
            flag("fragres", "").not().many(),
            flag("fragfirst", "").not().many(),
            flag("fragmore", "").not().many(),
            flag("fraglast", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Frag(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
