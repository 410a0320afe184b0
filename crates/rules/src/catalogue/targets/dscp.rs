//! `-j DSCP`.

use super::prelude::*;
use crate::catalogue::matches::dscp::{class, point};

/// `-j DSCP`: the differentiated services code point becomes this, 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dscp(pub u8);

impl Spec for Dscp {
    const ROW: Extension = Extension::new(
        "DSCP",
        Families::Both,
        "Sets the differentiated services code point.",
    )
    .tables(&[TableKind::Mangle])
    .options(&[
        opt("set-dscp", "NUMBER", "0 to 63").excludes(&["set-dscp-class"]),
        opt(
            "set-dscp-class",
            "CLASS",
            "BE, EF, CS0 to CS7, AF11 to AF43",
        )
        .excludes(&["set-dscp"]),
    ])
    .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        match loaded.plain("set-dscp-class", class)? {
            Some(point) => Ok(Dscp(point)),
            None => {
                match loaded.plain("set-dscp", point)? {
                    Some(point) => Ok(Dscp(point)),
                    None => Err(loaded
                        .missing_as("set-dscp", "DSCP target: Parameter --set-dscp is required")),
                }
            }
        }
    }

    fn write(&self, out: &mut Out) {
        out.opt("set-dscp", format_args!("0x{:02x}", self.0));
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("DSCP set 0x{:02x}", self.0));
    }
}
