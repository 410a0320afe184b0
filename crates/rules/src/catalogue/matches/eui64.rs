//! `-m eui64`.

use super::prelude::*;

/// `-m eui64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eui64;

impl Spec for Eui64 {
    const ROW: Extension = Extension::new(
        "eui64",
        Families::V6,
        "The last half of the source address is made of the frame's source MAC.",
    )
    .hooks(&[Hook::Prerouting, Hook::Input, Hook::Forward])
    .needs(&[Need::Network, Need::Link]);

    fn read(_: &Loaded) -> Result<Self, Fault> {
        Ok(Eui64)
    }

    fn write(&self, _: &mut Out) {}

    fn list(&self, out: &mut Out) {
        out.text.push_str("eui64 ");
    }
}
