//! `-m nfacct`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m nfacct`: counts packets in a named accounting object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nfacct(pub Words);

impl Spec for Nfacct {
    const ROW: Extension = Extension::new(
        "nfacct",
        Families::Both,
        "Counts packets in a named accounting object.",
    )
    .options(&[opt("nfacct-name", "value", "").not().many()])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Nfacct(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
