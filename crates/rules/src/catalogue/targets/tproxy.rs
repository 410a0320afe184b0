//! `-j TPROXY`.

use std::net::IpAddr;

use super::prelude::*;

/// `-j TPROXY`: hands a packet to a local socket without changing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tproxy {
    /// `--on-port`; 0 is the packet's own destination port.
    pub port: u16,
    /// `--on-ip`; unspecified: an address of the interface that the packet came in by.
    pub address: IpAddr,
    /// `--tproxy-mark`: mark = (mark & !mask) ^ value.
    pub mark: (u32, u32),
}

impl Spec for Tproxy {
    const ROW: Extension = Extension::new(
        "TPROXY",
        Families::Both,
        "Hands a packet to a local socket without changing it.",
    )
    .options(&[
        opt("on-port", "PORT", "port of the socket; 0: the packet's own").required(),
        opt("on-ip", "ADDRESS", "address of the socket"),
        opt(
            "tproxy-mark",
            "VALUE[/MASK]",
            "mark for the route that brings it here",
        ),
    ])
    .protocols(&[proto::TCP, proto::UDP])
    .tables(&[TableKind::Mangle])
    .hooks(&[Hook::Prerouting])
    .needs(&[Need::Sockets, Need::Mark]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let nowhere = match l.family {
            Family::V4 => IpAddr::from([0u8; 4]),
            Family::V6 => IpAddr::from([0u8; 16]),
        };
        let address = l.plain("on-ip", |t| value::host(t, l.family))?;
        Ok(Tproxy {
            port: l.need("on-port", value::port)?,
            address: address.unwrap_or(nowhere),
            mark: l.plain("tproxy-mark", value::mark)?.unwrap_or((0, 0)),
        })
    }

    fn list(&self, out: &mut Out) {
        let (value, mask) = self.mark;
        out.word(format_args!(
            "TPROXY redirect {}:{} mark 0x{value:x}/0x{mask:x}",
            self.address, self.port
        ));
    }

    fn write(&self, out: &mut Out) {
        out.opt("on-port", self.port);
        out.opt("on-ip", self.address);
        let (value, mask) = self.mark;
        out.opt("tproxy-mark", format_args!("0x{value:x}/0x{mask:x}"));
    }
}
