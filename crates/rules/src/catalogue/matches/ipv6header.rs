//! `-m ipv6header`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m ipv6header`: which extension headers an IPv6 packet has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6header(pub Words);

impl Spec for Ipv6header {
    const ROW: Extension = Extension::new(
        "ipv6header",
        Families::V6,
        "Which extension headers an IPv6 packet has.",
    )
    .options(&[
        opt("header", "value", "").not().many(),
        flag("soft", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Ipv6header(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
