//! `-m policy`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m policy`: the IPsec policy that handles a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(pub Words);

impl Spec for Policy {
    const ROW: Extension = Extension::new(
        "policy",
        Families::Both,
        "The IPsec policy that handles a packet.",
    )
    .options(&[
        opt("dir", "value", "").not().many(),
        opt("pol", "value", "").not().many(),
        flag("strict", "").not().many(),
        opt("reqid", "value", "").not().many(),
        opt("spi", "value", "").not().many(),
        opt("proto", "value", "").not().many(),
        opt("mode", "value", "").not().many(),
        opt("tunnel-src", "value", "").not().many(),
        opt("tunnel-dst", "value", "").not().many(),
        flag("next", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Policy(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
