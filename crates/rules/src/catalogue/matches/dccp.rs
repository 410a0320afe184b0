//! `-m dccp`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m dccp`: ports, packet types and options of DCCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dccp(pub Words);

impl Spec for Dccp {
    const ROW: Extension = Extension::new(
        "dccp",
        Families::Both,
        "Ports, packet types and options of DCCP.",
    )
    .protocols(&[proto::DCCP])
    .options(&[
        opt("sport", "value", "")
            .alias(&["source-port"])
            .not()
            .many(),
        opt("dport", "value", "")
            .alias(&["destination-port"])
            .not()
            .many(),
        opt("dccp-types", "value", "").not().many(),
        opt("dccp-option", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Dccp(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
