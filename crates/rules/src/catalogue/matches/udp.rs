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
            source: loaded.not("sport", value::resolved_ports)?,
            destination: loaded.not("dport", value::resolved_ports)?,
        })
    }

    fn write(&self, out: &mut Out) {
        ports::write(out, "sport", &self.source);
        ports::write(out, "dport", &self.destination);
    }

    fn list(&self, out: &mut Out) {
        out.word("udp");
        ports::list(out, "spt", &self.source);
        ports::list(out, "dpt", &self.destination);
    }
}
