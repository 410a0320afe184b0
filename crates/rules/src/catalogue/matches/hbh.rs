//! `-m hbh`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m hbh`: hop-by-hop options of IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hbh(pub Words);

impl Spec for Hbh {
    const ROW: Extension = Extension::new("hbh", Families::V6, "Hop-by-hop options of IPv6.")
        .options(&[
            opt("hbh-len", "value", "").not().many(),
            opt("hbh-opts", "value", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Hbh(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
