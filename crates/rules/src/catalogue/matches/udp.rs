//! `-m udp`.

use super::ports;
use super::prelude::*;

/// `-m udp`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Udp {
    /// `--sport`.
    pub source: Option<Not<PortRange>>,
    /// `--dport`.
    pub destination: Option<Not<PortRange>>,
}

impl Spec for Udp {
    const ROW: Extension = Extension::new("udp", Families::Both, "Ports of UDP.")
        .options(&[ports::SPORT, ports::DPORT])
        .protocols(&[proto::UDP])
        .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Udp {
            source: loaded.not("sport", value::port_range)?,
            destination: loaded.not("dport", value::port_range)?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.maybe("sport", &self.source, write::ports);
        out.maybe("dport", &self.destination, write::ports);
    }

    fn list(&self, out: &mut Out) {
        out.word("udp");
        ports::list(out, "spt", &self.source);
        ports::list(out, "dpt", &self.destination);
    }
}
