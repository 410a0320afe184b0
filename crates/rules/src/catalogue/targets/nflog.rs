//! `-j NFLOG`.

use super::prelude::*;

/// `-j NFLOG`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Nflog {
    /// Group.
    pub group: u16,
    /// Prefix.
    pub prefix: String,
    /// `--nflog-range`.
    pub range: Option<u32>,
    /// `--nflog-size`.
    pub size: Option<u32>,
    /// `--nflog-threshold`.
    pub threshold: u16,
}

impl Spec for Nflog {
    const ROW: Extension = Extension::new(
        "NFLOG",
        Families::Both,
        "Hands a copy to a program that logs.",
    )
    .options(&[
        opt("nflog-group", "NUMBER", "netlink group, 0 to 65535"),
        opt(
            "nflog-prefix",
            "TEXT",
            "at most 63 bytes, 127 with iptables-nft",
        ),
        opt("nflog-range", "BYTES", "does nothing; see --nflog-size").excludes(&["nflog-size"]),
        opt("nflog-size", "BYTES", "how much of the packet is copied").excludes(&["nflog-range"]),
        opt(
            "nflog-threshold",
            "NUMBER",
            "packets that are handed over together",
        ),
    ]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        // Where the kernel's other packet filter does the work there is more room, and no place for a range.
        let nft = l.tools == Tools::Nft;
        let longest = if nft { 127 } else { 63 };
        let range = l.plain("nflog-range", read::word)?;
        Ok(Nflog {
            group: l.plain("nflog-group", read::short)?.unwrap_or(0),
            prefix: l
                .plain("nflog-prefix", read::prefix(longest))?
                .unwrap_or_default(),
            range: range.filter(|bytes| *bytes != 0 && !nft),
            size: l.plain("nflog-size", read::word)?,
            threshold: l.plain("nflog-threshold", read::short)?.unwrap_or(0),
        })
    }

    fn write(&self, out: &mut Out) {
        if !self.prefix.is_empty() {
            out.opt("nflog-prefix", write::quoted(&self.prefix));
        }
        if self.group != 0 {
            out.opt("nflog-group", self.group);
        }
        if let Some(range) = self.range {
            out.opt("nflog-range", range);
        }
        if let Some(size) = self.size {
            out.opt("nflog-size", size);
        }
        if self.threshold != 0 {
            out.opt("nflog-threshold", self.threshold);
        }
    }

    fn list(&self, out: &mut Out) {
        out.bare(|out| self.write(out));
    }
}
