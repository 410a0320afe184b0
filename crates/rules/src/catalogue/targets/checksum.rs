//! `-j CHECKSUM`.

use super::prelude::*;

/// `-j CHECKSUM`: a checksum that was left to the network card is computed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum;

impl Spec for Checksum {
    const ROW: Extension = Extension::new(
        "CHECKSUM",
        Families::Both,
        "Computes a checksum that was left to the network card.",
    )
    .tables(&[TableKind::Mangle])
    .options(&[flag("checksum-fill", "compute it now").required()])
    .needs(&[Need::Transport]);

    fn read(_: &Loaded) -> Result<Self, Fault> {
        Ok(Checksum)
    }

    fn write(&self, out: &mut Out) {
        out.flag("checksum-fill");
    }

    fn list(&self, out: &mut Out) {
        out.word("CHECKSUM fill");
    }
}
