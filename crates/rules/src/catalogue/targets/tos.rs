//! `-j TOS`.

use super::prelude::*;
use crate::catalogue::matches::tos::{VALUE, bits, name, shown};

/// `-j TOS`: tos = (tos & !mask) ^ value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tos {
    /// Value.
    pub value: u8,
    /// Mask.
    pub mask: u8,
}

impl Spec for Tos {
    const ROW: Extension =
        Extension::new("TOS", Families::Both, "Changes the type of service byte.")
            .tables(&[TableKind::Mangle])
            .options(&[
                opt(
                    "set-tos",
                    VALUE,
                    "take the bits of MASK out, turn those of NUMBER over",
                )
                .excludes(&["and-tos", "or-tos", "xor-tos"]),
                opt("and-tos", "BITS", "keep these bits only")
                    .excludes(&["set-tos", "or-tos", "xor-tos"]),
                opt("or-tos", "BITS", "put these bits in")
                    .excludes(&["set-tos", "and-tos", "xor-tos"]),
                opt("xor-tos", "BITS", "turn these bits over")
                    .excludes(&["set-tos", "and-tos", "or-tos"]),
            ])
            .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let (value, mask) = if let Some(bits) = loaded.plain("and-tos", read::byte)? {
            (0, !bits)
        } else if let Some(bits) = loaded.plain("or-tos", read::byte)? {
            (bits, bits)
        } else if let Some(bits) = loaded.plain("xor-tos", read::byte)? {
            (bits, 0)
        } else {
            let bits = loaded.plain("set-tos", bits)?;
            bits.ok_or_else(|| loaded.missing_as("set-tos", "TOS: An action is required"))?
        };
        Ok(Tos { value, mask })
    }

    fn write(&self, out: &mut Out) {
        out.opt("set-tos", shown(&(self.value, self.mask)));
    }

    fn list(&self, out: &mut Out) {
        let bits = (self.value, self.mask);
        match (bits, name(&bits)) {
            _ if out.numeric => out.word(format_args!("TOS set {}", shown(&bits))),
            (_, Some(name)) => out.word(format_args!(" TOS set{name}")),
            ((0, mask), _) => out.word(format_args!("TOS and 0x{:02x}", !mask)),
            ((value, mask), _) if value == mask => {
                out.word(format_args!("TOS or 0x{value:02x}"));
            }
            ((value, 0), _) => out.word(format_args!("TOS xor 0x{value:02x}")),
            _ => out.word(format_args!("TOS set {}", shown(&bits))),
        }
    }
}
