//! `-m ipvs`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m ipvs`: properties of a virtual server's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipvs(pub Words);

impl Spec for Ipvs {
    const ROW: Extension = Extension::new(
        "ipvs",
        Families::Both,
        "Properties of a virtual server's connection.",
    )
    .options(&[
        flag("ipvs", "").not().many(),
        opt("vproto", "value", "").not().many(),
        opt("vaddr", "value", "").not().many(),
        opt("vport", "value", "").not().many(),
        opt("vdir", "value", "").not().many(),
        opt("vmethod", "value", "").not().many(),
        opt("vportctl", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Ipvs(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
