//! `-m iprange`.

use std::net::IpAddr;

use super::prelude::*;

/// `-m iprange`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iprange {
    /// `--src-range`: first and last address.
    pub source: Option<Not<(IpAddr, IpAddr)>>,
    /// `--dst-range`: first and last address.
    pub destination: Option<Not<(IpAddr, IpAddr)>>,
}

impl Spec for Iprange {
    const ROW: Extension = Extension::new("iprange", Families::Both, "Ranges of addresses.")
        .options(&[
            opt("src-range", "FIRST[-LAST]", "source addresses").not(),
            opt("dst-range", "FIRST[-LAST]", "destination addresses").not(),
        ])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let range = |t: &str| value::address_range(t, loaded.family);
        let found = Iprange {
            source: loaded.not("src-range", range)?,
            destination: loaded.not("dst-range", range)?,
        };
        if found.source.is_none() && found.destination.is_none() {
            return Err(loaded.missing("src-range"));
        }
        Ok(found)
    }

    fn write(&self, out: &mut Out) {
        let range = |(first, last): &(IpAddr, IpAddr)| {
            format!("{}-{}", write::address(*first), write::address(*last))
        };
        out.maybe("src-range", &self.source, range);
        out.maybe("dst-range", &self.destination, range);
    }

    fn list(&self, out: &mut Out) {
        for (word, value) in [("source", &self.source), ("destination", &self.destination)] {
            if let Some(not) = value {
                let bang = if not.negated { "! " } else { "" };
                let (first, last) = not.value;
                out.word(format_args!("{word} IP range {bang}{first}-{last}"));
            }
        }
    }
}
