//! The firewall host: its interfaces and addresses, and so the routing decision.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_conntrack::helper::Surroundings;
use palisade_wire::link::PacketType;

use crate::matches::Account;
use crate::socket::Socket;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// The host's addresses on it.
    pub addresses: Vec<IpAddr>,
    /// What lies behind it: address and prefix length.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// Largest IP packet that it sends, in bytes; [`MTU`] if not said.
    pub mtu: Option<u32>,
}

/// MTU of an interface of which nothing is said: Ethernet's.
pub const MTU: u32 = 1500;

/// MTU of the loopback interface.
const LOOPBACK_MTU: u32 = 65_536;

/// Interfaces and local addresses.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Host {
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Local addresses that belong to no named interface.
    pub local: Vec<IpAddr>,
    /// Packets from 127.0.0.0/8 are routed (sysctl `route_localnet`).
    pub route_localnet: bool,
    /// The interfaces' prefixes are all the routes there are: what lies in none cannot be reached. Otherwise
    /// a packet to anywhere is forwarded.
    pub closed: bool,
    /// All sockets there are; `None`: nobody knows.
    pub sockets: Option<Vec<Socket>>,
    /// Queues that a program listens to; `None`: nobody knows.
    pub queues: Option<Vec<u16>>,
    /// Groups of interfaces (`ip link set dev NAME group NUMBER`); 0 where none is said.
    pub groups: BTreeMap<String, u32>,
    /// Realms of routes: network, prefix length, realm.
    pub realms: Vec<(IpAddr, u8, u16)>,
    /// What has one of these marks (value and mask) is delivered here, wherever it goes: the usual policy route
    /// beside TPROXY.
    pub local_marks: Vec<(u32, u32)>,
    /// No fingerprints of operating systems are loaded.
    pub no_fingerprints: bool,
    /// Its processors, if known (`-m cpu`).
    pub processors: Option<u32>,
    /// The kernel's time zone, in minutes west of Greenwich (`-m time --kerneltz`).
    pub minutes_west: i32,
    /// Accounting objects with what they have counted (`-m nfacct`); others that rules name begin with nothing.
    pub accounts: Vec<Account>,
}

/// Where a route leads (kernel `fib_lookup`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routed<'a> {
    /// Not all routes are known.
    Unknown,
    /// There is none.
    Nowhere,
    /// To everybody, or to the nearest of many.
    Broadcast,
    /// To this host, by an address of this interface.
    Here(Option<&'a str>),
    /// Through a router or to a neighbour; whether by the interface in question.
    Through(bool),
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
            ..Host::default()
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
        self.way_to(address).map(|(interface, ..)| interface)
    }

    /// The interface towards an address, and the network behind it that the address lies in.
    #[inline]
    fn way_to(&self, address: IpAddr) -> Option<(&Interface, IpAddr, u8)> {
        let mut best: Option<(&Interface, IpAddr, u8)> = None;
        for interface in &self.interfaces {
            for &(net, length) in &interface.prefixes {
                if within(address, net, length) && best.is_none_or(|(.., b)| length > b) {
                    best = Some((interface, net, length));
                }
            }
        }
        best
    }

    /// Whether an address is the last of a directly connected IPv4 prefix, or 255.255.255.255.
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        let IpAddr::V4(v4) = address else {
            return false;
        };
        v4 == Ipv4Addr::BROADCAST
            || self
                .interfaces
                .iter()
                .any(|i| broadcast_network(i, v4).is_some())
    }

    /// Whether an address is the last of an IPv4 prefix that an interface is connected to.
    pub(crate) fn is_broadcast_of(&self, address: IpAddr, interface: &str) -> bool {
        match (address, self.interface(interface)) {
            (IpAddr::V4(v4), Some(interface)) => broadcast_network(interface, v4).is_some(),
            _ => false,
        }
    }

    /// What kind of frame carries a packet to an address on an interface's link: a network's own broadcast
    /// address is one only within that network.
    pub(crate) fn frame_to(&self, address: IpAddr, interface: Option<&str>) -> PacketType {
        self.frame_of(self.kind(address), address, interface)
    }

    /// The same, where it is known what the address is.
    pub(crate) fn frame_of(
        &self,
        kind: AddressKind,
        address: IpAddr,
        interface: Option<&str>,
    ) -> PacketType {
        let here = || interface.and_then(|name| self.interface(name));
        match (kind, address) {
            (AddressKind::Multicast, _) => PacketType::Multicast,
            (AddressKind::Broadcast, IpAddr::V4(v4))
                if v4 != Ipv4Addr::BROADCAST
                    && here().is_some_and(|here| broadcast_network(here, v4).is_none()) =>
            {
                PacketType::Host
            }
            (AddressKind::Broadcast, _) => PacketType::Broadcast,
            _ => PacketType::Host,
        }
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

impl Host {
    /// Whether the route for a mark leads here, whatever the destination.
    pub(crate) fn marked_local(&self, mark: u32) -> bool {
        self.local_marks.iter().any(|(v, m)| mark & m == *v)
    }

    /// Whether routing asks for the way back of every packet: with rules or realms of its own it does not leave
    /// it at a look at its addresses (kernel `fib_validate_source`).
    pub(crate) fn asks_twice(&self) -> bool {
        !self.local_marks.is_empty() || self.realms.iter().any(|(.., realm)| *realm != 0)
    }

    /// The group of an interface.
    pub(crate) fn group(&self, interface: &str) -> u32 {
        self.groups.get(interface).copied().unwrap_or(0)
    }

    /// The realm of the route to an address.
    pub(crate) fn realm(&self, address: IpAddr) -> u16 {
        let Some((_, net, length)) = self.way_to(address) else {
            return 0;
        };
        self.realms
            .iter()
            .find(|(n, l, _)| *l == length && within(net, *n, length))
            .map_or(0, |(.., realm)| *realm)
    }

    /// Where the route to an address leads, for the question whether it leads by `interface`.
    pub(crate) fn route(&self, address: IpAddr, mark: u32, interface: &str) -> Routed<'_> {
        let owner = || {
            let mut all = self.interfaces.iter();
            all.find(|i| i.addresses.contains(&address))
                .map(|i| &*i.name)
        };
        if self.is_local(address) {
            return Routed::Here(owner());
        }
        let broadcast = match address {
            IpAddr::V4(v4) => self
                .interfaces
                .iter()
                .any(|i| broadcast_network(i, v4).is_some()),
            // The first address of a network is that of any of its routers.
            IpAddr::V6(_) => self.interfaces.iter().any(|i| {
                i.prefixes.iter().any(|&(net, length)| {
                    length < 127
                        && i.addresses.iter().any(|a| within(*a, net, length))
                        && first_of(net, length) == address
                })
            }),
        };
        if broadcast {
            return Routed::Broadcast;
        }
        if self.marked_local(mark) {
            return Routed::Here(None);
        }
        if link_local(address) {
            // Every link has its own.
            let here = self.interface(interface);
            let leads = here.is_some_and(|i| i.prefixes.iter().any(|p| within(address, p.0, p.1)));
            return match leads || !self.closed {
                true => Routed::Through(true),
                false => Routed::Nowhere,
            };
        }
        let longest = |i: &Interface| {
            let fitting = i.prefixes.iter().filter(|p| within(address, p.0, p.1));
            fitting.map(|p| p.1).max()
        };
        match self.interfaces.iter().filter_map(longest).max() {
            None if self.closed => Routed::Nowhere,
            None => Routed::Unknown,
            Some(best) => {
                let by = match address {
                    IpAddr::V4(_) => self.interface_towards(address).map(|i| &*i.name),
                    // Of several that lead there equally well IPv6 takes the one that is asked for.
                    IpAddr::V6(_) => {
                        let here = self.interface(interface);
                        here.filter(|i| longest(i) == Some(best)).map(|i| &*i.name)
                    }
                };
                Routed::Through(by == Some(interface))
            }
        }
    }

    /// The first address of an interface, of a family (kernel `nf_tproxy_laddr4`, `nf_tproxy_laddr6`).
    pub(crate) fn first_address(&self, interface: &str, v4: bool) -> Option<IpAddr> {
        self.interface(interface)?
            .addresses
            .iter()
            .filter(|a| a.is_ipv4() == v4)
            // The kernel keeps an interface's addresses with the widest first.
            .min_by_key(|a| match a {
                IpAddr::V6(a) => scope(*a),
                IpAddr::V4(_) => Scope::Global,
            })
            .copied()
    }

    /// The MTU of an interface by its name, in bytes.
    pub fn mtu(&self, name: &str) -> u32 {
        let said = self.interface(name).and_then(|i| i.mtu);
        said.unwrap_or(if name == "lo" { LOOPBACK_MTU } else { MTU })
    }

    /// An interface by name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|i| i.name == name)
    }

    /// The address that packets leaving by an interface towards `next` are masqueraded with (kernel
    /// `inet_select_addr`): of the interface one of the network that `next` lies in, else its first; if it has
    /// none (the loopback interface), an address of any. Of IPv6, only those of the same scope, and
    /// `next` itself if it is ours.
    pub fn masquerade_address(&self, interface: &str, next: IpAddr) -> Option<IpAddr> {
        let same = |a: &&IpAddr| {
            a.is_ipv4() == next.is_ipv4()
                && !a.is_loopback()
                && link_local(**a) == (link_local(next) && next.is_ipv6())
        };
        if next.is_ipv6() && self.is_local(next) {
            return Some(next);
        }
        let own = self.interface(interface).and_then(|interface| {
            let shares_network = |a: IpAddr| {
                interface.prefixes.iter().any(|&(net, length)| {
                    length > 0 && within(a, net, length) && within(next, net, length)
                })
            };
            let mut own = interface.addresses.iter().filter(same);
            own.clone()
                .find(|a| a.is_ipv4() && shares_network(**a))
                .or_else(|| own.next())
        });
        own.or_else(|| self.local.iter().find(same))
            .or_else(|| self.interfaces.iter().flat_map(|i| &i.addresses).find(same))
            .copied()
    }

    /// The address that packets which came by an interface are redirected to (kernel
    /// `nf_nat_redirect_ipv4`, `nf_nat_redirect_ipv6`): its first, of IPv6 with the scope of `destination`.
    pub fn redirect_address(&self, interface: &str, destination: IpAddr) -> Option<IpAddr> {
        self.interface(interface)?
            .addresses
            .iter()
            .filter(|a| match (a, destination) {
                (IpAddr::V4(_), IpAddr::V4(_)) => true,
                (IpAddr::V6(a), IpAddr::V6(destination)) => {
                    let asked = scope(destination);
                    asked == Scope::Global || asked == scope(*a)
                }
                _ => false,
            })
            // The kernel keeps an interface's addresses with the widest first.
            .min_by_key(|a| match a {
                IpAddr::V6(a) => scope(*a),
                IpAddr::V4(_) => Scope::Global,
            })
            .copied()
    }
}

impl Host {
    /// Whether a router with these addresses is a member of a group on an interface without any program
    /// having asked: all hosts, all routers, and the solicited-node groups of its addresses.
    pub fn is_member(&self, interface: &str, group: IpAddr) -> bool {
        match group {
            IpAddr::V4(group) => group == Ipv4Addr::new(224, 0, 0, 1),
            IpAddr::V6(group) => {
                let s = group.segments();
                let fixed = matches!(
                    s,
                    [0xff01, 0, 0, 0, 0, 0, 0, 1] | [0xff02, 0, 0, 0, 0, 0, 0, 1 | 2]
                );
                let solicited = |a: &IpAddr| match a {
                    IpAddr::V6(a) => {
                        let a = a.segments();
                        s == [0xff02, 0, 0, 0, 0, 1, 0xff00 | a[6] & 0xff, a[7]]
                    }
                    IpAddr::V4(_) => false,
                };
                fixed
                    || self
                        .interface(interface)
                        .is_some_and(|i| i.addresses.iter().any(solicited))
            }
        }
    }
}

/// IPv6 link-local.
fn link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if scope(a) == Scope::Link && !a.is_multicast())
}

/// How far an IPv6 address reaches (kernel `ipv6_addr_scope`), the widest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Global,
    Site,
    Link,
    Node,
}

fn scope(address: Ipv6Addr) -> Scope {
    let first = address.segments()[0];
    if address.is_loopback() || first & 0xff0f == 0xff01 {
        Scope::Node
    } else if first & 0xffc0 == 0xfe80 || first & 0xff0f == 0xff02 {
        Scope::Link
    } else if first & 0xffc0 == 0xfec0 || first & 0xff0f == 0xff05 {
        Scope::Site
    } else {
        Scope::Global
    }
}

/// Length of the IPv4 network connected to an interface whose last address this is.
fn broadcast_network(interface: &Interface, address: Ipv4Addr) -> Option<u8> {
    let v4 = IpAddr::V4(address);
    interface
        .prefixes
        .iter()
        .find(|&&(net, length)| {
            net.is_ipv4()
                && (1..31).contains(&length)
                && within(v4, net, length)
                && u32::from(address) | mask(length) == u32::MAX
                && interface.addresses.iter().any(|a| within(*a, net, length))
        })
        .map(|(_, length)| *length)
}

/// What the host knows of a packet that leaves, for helpers.
pub(crate) struct Around<'a> {
    pub(crate) host: &'a Host,
    pub(crate) made_here: bool,
    pub(crate) looped: bool,
    pub(crate) out_interface: Option<&'a str>,
}

impl Surroundings for Around<'_> {
    fn made_here(&self) -> bool {
        self.made_here
    }

    fn looped(&self) -> bool {
        self.looped
    }

    fn broadcast_network(&self, address: IpAddr) -> Option<u8> {
        let IpAddr::V4(v4) = address else {
            return None;
        };
        broadcast_network(self.host.interface(self.out_interface?)?, v4)
    }

    /// Hosts of a connected network are their own next hops; what lies beyond is taken to lie behind one
    /// router.
    fn same_way(&self, a: IpAddr, b: IpAddr) -> bool {
        let way = |address| {
            let (interface, net, length) = self.host.way_to(address)?;
            let connected = interface.addresses.iter().any(|a| within(*a, net, length));
            Some((&interface.name, connected.then_some(address)))
        };
        way(a).is_some() && way(a) == way(b)
    }

    fn leaves_alike(&self, address: IpAddr) -> bool {
        // What is for the host itself leaves by no interface of ours.
        let towards = self.host.interface_towards(address);
        !self.host.is_local(address)
            && towards.is_some_and(|i| self.out_interface == Some(&*i.name))
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(length.min(32)))
        .unwrap_or(0)
}

/// The address of a network with all other bits zero.
fn first_of(net: IpAddr, length: u8) -> IpAddr {
    match net {
        IpAddr::V4(n) => IpAddr::V4(Ipv4Addr::from(u32::from(n) & mask(length))),
        IpAddr::V6(n) => {
            let bits = u128::MAX
                .checked_shl(128 - u32::from(length.min(128)))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(n) & bits))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hosts_share_a_way_only_behind_a_router() {
        let interface = |name: &str, own: &str, routed: &[&str]| Interface {
            name: name.into(),
            addresses: vec![own.parse().unwrap()],
            prefixes: std::iter::once((own.parse().unwrap(), 24))
                .chain(routed.iter().map(|net| (net.parse().unwrap(), 16)))
                .collect(),
            ..Interface::default()
        };
        let host = Host::new(
            [],
            [
                interface("lan0", "10.1.0.1", &[]),
                interface("wan0", "10.2.0.1", &["198.51.0.0", "203.0.0.0"]),
            ],
        );
        let around = Around {
            host: &host,
            made_here: false,
            looped: false,
            out_interface: None,
        };
        for (a, b, same) in [
            ("10.1.0.2", "10.1.0.2", true),
            ("10.1.0.2", "10.1.0.3", false),
            ("10.1.0.2", "10.2.0.2", false),
            ("10.2.0.2", "198.51.100.7", false),
            ("198.51.100.7", "198.51.100.8", true),
            ("198.51.100.7", "203.0.113.9", true),
            // Nowhere.
            ("192.0.2.1", "192.0.2.1", false),
        ] {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(around.same_way(a, b), same, "{a} {b}");
            assert_eq!(around.same_way(b, a), same, "{b} {a}");
        }
    }
}
