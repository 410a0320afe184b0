//! `-m rt`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m rt`: the IPv6 routing header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rt(pub Words);

impl Spec for Rt {
    const ROW: Extension = Extension::new("rt", Families::V6, "The IPv6 routing header.")
        .options(&[
            opt("rt-type", "value", "").not().many(),
            opt("rt-segsleft", "value", "").not().many(),
            opt("rt-len", "value", "").not().many(),
            flag("rt-0-res", "").not().many(),
            opt("rt-0-addrs", "value", "").not().many(),
            flag("rt-0-not-strict", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Rt(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
