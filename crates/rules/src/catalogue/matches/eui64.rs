//! `-m eui64`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m eui64`: the IPv6 source's last half is made of the MAC address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eui64(pub Words);

impl Spec for Eui64 {
    const ROW: Extension = Extension::new(
        "eui64",
        Families::V6,
        "The IPv6 source's last half is made of the MAC address.",
    )
    .options(&[])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Eui64(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
