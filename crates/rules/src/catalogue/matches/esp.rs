//! `-m esp`.

use super::numbers::{self, Range};
use super::prelude::*;

/// `-m esp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Esp {
    /// `--espspi`.
    pub spi: Not<Range>,
}

impl Spec for Esp {
    const ROW: Extension = Extension::new(
        "esp",
        Families::Both,
        "The security parameters index of an encrypted payload.",
    )
    .options(&[opt(
        "espspi",
        "SPI[:SPI]",
        "the index, or the indices of a range",
    )
    .not()])
    .protocols(&[proto::ESP])
    .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let spi = loaded.not("espspi", numbers::range)?;
        Ok(Esp {
            spi: spi.unwrap_or_else(Range::any),
        })
    }

    fn write(&self, out: &mut Out) {
        numbers::save(out, "espspi", &self.spi);
    }

    fn list(&self, out: &mut Out) {
        out.word("esp");
        if let Some(text) = numbers::listed("spi", &self.spi) {
            out.word(text);
        }
    }
}
