//! `-m ipcomp`.

use super::numbers::{self, Range};
use super::prelude::*;

/// `-m ipcomp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipcomp {
    /// `--ipcompspi`. A rule without it means index 0, not any.
    pub spi: Not<Range>,
    /// `--compres`, which the kernel takes and never looks at.
    pub reserved: bool,
}

impl Spec for Ipcomp {
    const ROW: Extension = Extension::new(
        "ipcomp",
        Families::Both,
        "The index of an IP payload compression header.",
    )
    .options(&[
        opt(
            "ipcompspi",
            "CPI[:CPI]",
            "the index, or the indices of a range; without it 0",
        )
        .not(),
        flag("compres", "has no effect"),
    ])
    .protocols(&[proto::IPCOMP])
    .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let spi = loaded.not("ipcompspi", numbers::range)?;
        Ok(Ipcomp {
            spi: spi.unwrap_or(Not {
                negated: false,
                value: Range { first: 0, last: 0 },
            }),
            reserved: loaded.has("compres"),
        })
    }

    fn write(&self, out: &mut Out) {
        numbers::save(out, "ipcompspi", &self.spi);
        if self.reserved {
            out.flag("compres");
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("comp ");
        out.text
            .push_str(&numbers::listed("spi", &self.spi).unwrap_or_default());
        if self.reserved {
            out.word("reserved");
        }
    }
}
