//! `-m ah`: in IPv4 a match of the protocol AH, in IPv6 of a header in front of any protocol.

use super::numbers::{self, Range, bang};
use super::prelude::*;

/// `-m ah` of IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ah {
    /// `--ahspi`.
    pub spi: Not<Range>,
}

const SPI: Opt = opt("ahspi", "SPI[:SPI]", "the index, or the indices of a range").not();

impl Spec for Ah {
    const ROW: Extension = Extension::new(
        "ah",
        Families::V4,
        "The security parameters index of an authentication header.",
    )
    .options(&[SPI])
    .protocols(&[proto::AH])
    .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let spi = loaded.not("ahspi", numbers::range)?;
        Ok(Ah {
            spi: spi.unwrap_or_else(Range::any),
        })
    }

    fn write(&self, out: &mut Out) {
        numbers::save(out, "ahspi", &self.spi);
    }

    fn list(&self, out: &mut Out) {
        out.word("ah ");
        out.text
            .push_str(&numbers::listed("spi", &self.spi).unwrap_or_default());
    }
}

/// `-m ah` of IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ah6 {
    /// `--ahspi`.
    pub spi: Not<Range>,
    /// `--ahlen`, in bytes. 0 is any length, negated or not.
    pub length: Not<u32>,
    /// `--ahres`: the reserved field must be zero.
    pub reserved: bool,
}

impl Spec for Ah6 {
    const ROW: Extension = Extension::new(
        "ah",
        Families::V6,
        "The authentication header of IPv6: index, length, reserved field.",
    )
    .options(&[
        SPI,
        opt("ahlen", "BYTES", "length of the header; 0 for any").not(),
        flag("ahres", "the reserved field is zero"),
    ])
    .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let spi = loaded.not("ahspi", numbers::range)?;
        let any = Not {
            negated: false,
            value: 0,
        };
        Ok(Ah6 {
            spi: spi.unwrap_or_else(Range::any),
            length: loaded.not("ahlen", read::word)?.unwrap_or(any),
            reserved: loaded.has("ahres"),
        })
    }

    fn write(&self, out: &mut Out) {
        numbers::save(out, "ahspi", &self.spi);
        if self.length.value != 0 || self.length.negated {
            out.not("ahlen", &self.length, u32::to_string);
        }
        if self.reserved {
            out.flag("ahres");
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("ah ");
        let text = &mut out.text;
        text.push_str(&numbers::listed("spi", &self.spi).unwrap_or_default());
        if self.length.value != 0 || self.length.negated {
            text.push_str(&format!(
                "length:{}{}",
                bang(self.length.negated),
                self.length.value
            ));
        }
        if self.reserved {
            text.push_str(" reserved");
        }
    }
}
