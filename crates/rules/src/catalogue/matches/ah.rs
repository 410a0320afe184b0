//! `-m ah`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m ah`: the security parameters index of an authentication header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ah(pub Words);

impl Spec for Ah {
    const ROW: Extension = Extension::new(
        "ah",
        Families::Both,
        "The security parameters index of an authentication header.",
    )
    .options(&[
        opt("ahspi", "value", "").not().many(),
        opt("ahlen", "value", "").not().many(),
        flag("ahres", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Ah(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
