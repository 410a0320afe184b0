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
    /// Written by iptables-nft in words of its own; as with tcp.
    pub native: bool,
}

impl Udp {
    /// As iptables-nft gives it to the kernel.
    fn native(self) -> Self {
        let said = |not: &Option<Not<PortRange>>| !ports::all(not) || ports::negated(not);
        if !said(&self.source) && !said(&self.destination) {
            return self;
        }
        Udp {
            source: self.source.filter(|not| !ports::all_of(not)),
            destination: self.destination.filter(|not| !ports::all_of(not)),
            native: true,
        }
    }

    /// What iptables-nft makes of this and of a later one when it reads them back.
    pub(super) fn merge(&mut self, later: &Udp) {
        self.source = later.source.clone().or(self.source.take());
        self.destination = later.destination.clone().or(self.destination.take());
    }

    /// Whether nothing is left of it.
    pub(super) fn empty(&self) -> bool {
        self.source.is_none() && self.destination.is_none()
    }
}

impl Spec for Udp {
    const ROW: Extension = Extension::new("udp", Families::Both, "Ports of UDP.")
        .options(&[ports::SPORT, ports::DPORT])
        .protocols(&[proto::UDP])
        .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let read = Udp {
            source: loaded.not("sport", value::resolved_ports)?,
            destination: loaded.not("dport", value::resolved_ports)?,
            native: false,
        };
        Ok(match loaded.tools {
            Tools::Legacy => read,
            Tools::Nft => read.native(),
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
