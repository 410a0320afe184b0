//! `-j HMARK`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j HMARK`: marks a packet with a hash of its addresses and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmark(pub Words);

impl Spec for Hmark {
    const ROW: Extension = Extension::new(
        "HMARK",
        Families::Both,
        "Marks a packet with a hash of its addresses and ports.",
    )
    .options(&[
        opt("hmark-tuple", "value", "").not().many(),
        opt("hmark-mod", "value", "").not().many(),
        opt("hmark-offset", "value", "").not().many(),
        opt("hmark-src-prefix", "value", "").not().many(),
        opt("hmark-dst-prefix", "value", "").not().many(),
        opt("hmark-sport-mask", "value", "").not().many(),
        opt("hmark-dport-mask", "value", "").not().many(),
        opt("hmark-spi-mask", "value", "").not().many(),
        opt("hmark-proto-mask", "value", "").not().many(),
        opt("hmark-rnd", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Hmark(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
