//! Sockets of the firewall host: what `owner`, `socket`, `cgroup` and TPROXY look at and no packet shows.

use std::net::IpAddr;
use std::sync::Arc;

use palisade_conntrack::{State, Status, Track};
use palisade_wire::{Family, Packet, icmp::Icmp, proto};

use crate::host::Host;

/// Whose a socket is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Owner {
    /// User, by number.
    pub user: u32,
    /// Group, by number.
    pub group: u32,
    /// Further groups of the user.
    pub groups: Arc<[u32]>,
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Protocol: TCP or UDP.
    pub protocol: u8,
    /// Address and port that it is bound to; an unspecified address is any of its family.
    pub local: (IpAddr, u16),
    /// The other end, of one that is connected; without it a TCP socket listens.
    pub remote: Option<(IpAddr, u16)>,
    /// Whose it is, if that is known.
    pub owner: Option<Owner>,
    /// May be bound to addresses of others (`IP_TRANSPARENT`).
    pub transparent: bool,
    /// Mark (`SO_MARK`).
    pub mark: u32,
    /// Path of its control group, from `/`, if that is known.
    pub cgroup: Option<String>,
    /// Class of its control group for traffic.
    pub class: u32,
}

impl Socket {
    /// A socket without a known owner.
    pub fn new(protocol: u8, local: (IpAddr, u16)) -> Self {
        Socket {
            protocol,
            local,
            remote: None,
            owner: None,
            transparent: false,
            mark: 0,
            cgroup: None,
            class: 0,
        }
    }

    /// Bound to no address of its own.
    pub(crate) fn anywhere(&self) -> bool {
        self.local.0.is_unspecified()
    }
}

/// By which socket a packet of this host was made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum Sender {
    /// Nobody says.
    #[default]
    Unknown,
    /// By none.
    Nobody,
    /// By one of the kernel's own.
    Kernel,
    /// By somebody's.
    Owner(Owner),
    /// By this one of the host's.
    Socket(usize),
}

/// Ends of a packet as a socket of this host sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) protocol: u8,
    pub(crate) local: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
}

impl Ends {
    /// Of a packet that came from the network, when it has ports.
    pub(crate) fn coming(packet: &Packet<'_>) -> Option<Ends> {
        let protocol = packet.protocol();
        // Half a header is none.
        let least = match protocol {
            proto::TCP => 20,
            proto::UDP => 8,
            _ => return None,
        };
        if packet.is_later_fragment() || packet.transport().len() < least {
            return None;
        }
        Self::by_ports(packet)
    }

    /// Of a packet that came from the network, by the first bytes behind its IP header.
    pub(crate) fn by_ports(packet: &Packet<'_>) -> Option<Ends> {
        let (source, destination) = ports(packet.transport())?;
        let protocol = packet.protocol();
        Some(Ends {
            protocol,
            local: (packet.destination(), destination),
            remote: (packet.source(), source),
        })
    }

    /// Of a packet that was made here.
    pub(crate) fn going(packet: &Packet<'_>) -> Option<Ends> {
        Self::coming(packet).map(|ends| Ends {
            local: ends.remote,
            remote: ends.local,
            ..ends
        })
    }

    /// Of what a packet is about: its own, or of an error those of the packet inside, which this host sent; of a
    /// reply within a connection whose source is translated, with the address and port from before (kernel
    /// `nf_sk_lookup_slow_v4`, `nf_sk_lookup_slow_v6`).
    pub(crate) fn looked_up(
        packet: &Packet<'_>,
        track: Option<&Track>,
        original: Option<(IpAddr, Option<u16>, Status)>,
    ) -> Option<Ends> {
        let error = matches!(packet.protocol(), proto::ICMP | proto::ICMPV6);
        let mut ends = if error {
            Self::inside(packet)?
        } else {
            Self::coming(packet)?
        };
        let reply = track.is_some_and(|t| {
            let state = if error {
                State::Related
            } else {
                State::Established
            };
            t.state == state && t.direction == palisade_conntrack::Direction::Reply
        });
        if let Some((address, port, status)) = original
            && reply
            && status.has(Status::SRC_NAT_DONE)
        {
            ends.local = (address, port.unwrap_or(ends.local.1));
        }
        Some(ends)
    }

    /// Kernel `extract_icmp4_fields`, `extract_icmp6_fields`.
    fn inside(packet: &Packet<'_>) -> Option<Ends> {
        if packet.is_later_fragment() {
            return None;
        }
        let icmp = Icmp::new(packet.transport())?;
        let is_error = match packet.family() {
            Family::V4 => matches!(icmp.kind(), 3 | 4 | 5 | 11 | 12),
            Family::V6 => icmp.kind() < 128,
        };
        let quoted = packet.transport().get(8..)?;
        let inner = Packet::parse_truncated(quoted).ok()?;
        let protocol = inner.protocol();
        if !is_error || !matches!(protocol, proto::TCP | proto::UDP) {
            return None;
        }
        let (source, destination) = ports(inner.transport())?;
        Some(Ends {
            protocol,
            local: (inner.source(), source),
            remote: (inner.destination(), destination),
        })
    }
}

fn ports(header: &[u8]) -> Option<(u16, u16)> {
    let source = u16::from_be_bytes(*header.first_chunk()?);
    let destination = u16::from_be_bytes(*header.get(2..)?.first_chunk()?);
    Some((source, destination))
}

impl Host {
    /// The connected socket of these ends.
    pub(crate) fn connected(&self, ends: &Ends) -> Option<usize> {
        self.sockets
            .as_deref()
            .unwrap_or_default()
            .iter()
            .position(|s| {
                s.protocol == ends.protocol
                    && s.remote == Some(ends.remote)
                    && s.local.1 == ends.local.1
                    && (s.local.0 == ends.local.0
                        || s.anywhere() && s.local.0.is_ipv4() == ends.local.0.is_ipv4())
            })
    }

    /// The socket that takes what comes to these ends while nobody is connected: bound to the very address,
    /// else to any (kernel `inet_lookup_listener`, `udp4_lib_lookup`).
    pub(crate) fn listening(&self, ends: &Ends) -> Option<usize> {
        let sockets = self.sockets.as_deref().unwrap_or_default();
        let open = |anywhere: bool| {
            sockets.iter().position(|s| {
                s.protocol == ends.protocol
                    && s.remote.is_none()
                    && s.local.1 == ends.local.1
                    && if anywhere {
                        s.anywhere() && s.local.0.is_ipv4() == ends.local.0.is_ipv4()
                    } else {
                        s.local.0 == ends.local.0
                    }
            })
        };
        open(false).or_else(|| open(true))
    }

    /// Connected, else listening.
    pub(crate) fn socket_for(&self, ends: &Ends) -> Option<usize> {
        self.connected(ends).or_else(|| self.listening(ends))
    }

    /// A socket by its place.
    pub(crate) fn socket(&self, at: usize) -> Option<&Socket> {
        self.sockets.as_deref()?.get(at)
    }

    /// Who made a packet that leaves: as the input says, else by the list of sockets.
    pub(crate) fn sender(&self, said: Option<&Owner>, packet: &Packet<'_>) -> Sender {
        if let Some(owner) = said {
            return Sender::Owner(owner.clone());
        }
        if self.sockets.is_none() {
            return Sender::Unknown;
        }
        Ends::going(packet)
            .and_then(|ends| self.socket_for(&ends))
            .map_or(Sender::Nobody, Sender::Socket)
    }
}
