//! The firewall host: its interfaces and addresses, and so the routing decision.

use std::net::{IpAddr, Ipv4Addr};

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// The host's addresses on it.
    pub addresses: Vec<IpAddr>,
    /// What lies behind it: address and prefix length.
    pub prefixes: Vec<(IpAddr, u8)>,
}

/// Interfaces and local addresses.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Host {
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Local addresses that belong to no named interface.
    pub local: Vec<IpAddr>,
    /// Packets from 127.0.0.0/8 are routed (sysctl `route_localnet`).
    pub route_localnet: bool,
}

/// What an address is to this host (kernel `inet_addr_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// 0.0.0.0 or ::.
    Unspecified,
    /// Another host's.
    Unicast,
    /// Ours.
    Local,
    /// A broadcast address.
    Broadcast,
    /// A multicast group.
    Multicast,
}

impl Host {
    /// A host from addresses and interfaces.
    pub fn new(
        local: impl IntoIterator<Item = IpAddr>,
        interfaces: impl IntoIterator<Item = Interface>,
    ) -> Self {
        Host {
            interfaces: interfaces.into_iter().collect(),
            local: local.into_iter().collect(),
            route_localnet: false,
        }
    }

    /// Whether an address is one of ours (loopback included).
    #[inline]
    pub fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || self.local.contains(&address)
            || self
                .interfaces
                .iter()
                .any(|i| i.addresses.contains(&address))
    }

    /// The interface towards an address: longest prefix.
    #[inline]
    pub fn interface_towards(&self, address: IpAddr) -> Option<&Interface> {
        let mut best: Option<(&Interface, u8)> = None;
        for interface in &self.interfaces {
            for &(net, length) in &interface.prefixes {
                if within(address, net, length) && best.is_none_or(|(_, b)| length > b) {
                    best = Some((interface, length));
                }
            }
        }
        best.map(|(interface, _)| interface)
    }

    /// Whether an address is the last of a directly connected IPv4 prefix, or 255.255.255.255.
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        let IpAddr::V4(v4) = address else {
            return false;
        };
        v4 == Ipv4Addr::BROADCAST
            || self.interfaces.iter().any(|i| {
                !i.addresses.is_empty()
                    && i.prefixes.iter().any(|&(net, length)| match net {
                        IpAddr::V4(_) if (1..31).contains(&length) => {
                            within(address, net, length)
                                && u32::from(v4) | mask(length) == u32::MAX
                                && i.addresses.iter().any(|a| within(*a, net, length))
                        }
                        _ => false,
                    })
            })
    }

    /// What an address is.
    pub fn kind(&self, address: IpAddr) -> AddressKind {
        if address.is_unspecified() {
            AddressKind::Unspecified
        } else if address.is_multicast() {
            AddressKind::Multicast
        } else if self.is_broadcast(address) {
            AddressKind::Broadcast
        } else if self.is_local(address) {
            AddressKind::Local
        } else {
            AddressKind::Unicast
        }
    }

    /// The address that this host uses towards another, for answers of its own.
    pub fn source_towards(&self, address: IpAddr) -> Option<IpAddr> {
        let same = |a: &&IpAddr| a.is_ipv4() == address.is_ipv4();
        self.interface_towards(address)
            .and_then(|i| i.addresses.iter().find(same))
            .or_else(|| self.local.iter().find(same))
            .or_else(|| self.interfaces.iter().flat_map(|i| &i.addresses).find(same))
            .copied()
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(length.min(32)))
        .unwrap_or(0)
}

/// Whether an address lies in a prefix of its family.
pub fn within(address: IpAddr, net: IpAddr, length: u8) -> bool {
    match (address, net) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u32::from(a) ^ u32::from(n)) & mask(length) == 0,
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            let bits = u128::MAX
                .checked_shl(128 - u32::from(length.min(128)))
                .unwrap_or(0);
            (u128::from(a) ^ u128::from(n)) & bits == 0
        }
        _ => false,
    }
}
