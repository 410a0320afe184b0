//! `-j HL`.

use super::prelude::*;
use super::ttl::Change;

/// `-j HL`: changes the hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hl(pub Change);

const NAMES: [&str; 3] = ["hl-set", "hl-inc", "hl-dec"];

impl Spec for Hl {
    const ROW: Extension = Extension::new("HL", Families::V6, "Changes the hop limit.")
        .tables(&[TableKind::Mangle])
        .options(&[
            opt("hl-set", "LIMIT", "it becomes this").excludes(&["hl-dec", "hl-inc"]),
            opt("hl-dec", "NUMBER", "less by 1 to 255").excludes(&["hl-set", "hl-inc"]),
            opt("hl-inc", "NUMBER", "more by 1 to 255").excludes(&["hl-set", "hl-dec"]),
        ])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Change::read(loaded, NAMES).map(Hl)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, NAMES);
    }

    fn list(&self, out: &mut Out) {
        self.0.list(out, "HL");
    }
}
