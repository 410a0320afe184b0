//! Where a packet goes: the routing decision, and what routing refuses.

use std::net::IpAddr;
use std::sync::Arc;

use palisade_rules::Family;
use palisade_wire::{Packet, link::PacketType};

use crate::Engine;
use crate::extension;
use crate::host::{AddressKind, Host};
use crate::input::{Input, LinkInfo, Route};
use crate::outcome::{Ended, Path, Verdict};
use crate::path::{Journey, Step, Stop};

impl Engine {
    /// Path and interfaces of a packet.
    pub(crate) fn way(
        &self,
        packet: &Packet<'_>,
        input: &Input<'_>,
    ) -> (Path, Option<Arc<str>>, Option<Arc<str>>) {
        let addresses = (packet.source(), packet.destination());
        let packet_type = input.link.packet_type;
        let target = self.host.kind(addresses.1);
        let (path, came, leaves) =
            way_of(&self.host, &addresses, target, &input.route, packet_type);
        // The names that were given are shared, not copied.
        let shared = |name: &str| match &input.route {
            Route::In(given) | Route::Out(given) | Route::Forward(given, _) if **given == *name => {
                Arc::clone(given)
            }
            Route::Wire(given, _) if **given == *name => Arc::clone(given),
            Route::Forward(_, given) | Route::Wire(_, given) if **given == *name => {
                Arc::clone(given)
            }
            _ => Arc::from(name),
        };
        (path, came.map(shared), leaves.map(shared))
    }

    /// The routing decision for a destination that was translated.
    pub(crate) fn route_anew(&self, journey: &mut Journey<'_>) {
        let destination = journey.buffer.packet().destination();
        let towards = |address| {
            self.host
                .interface_towards(address)
                .map(|i| Arc::from(i.name.as_str()))
        };
        if matches!(
            self.host.kind(destination),
            AddressKind::Unicast | AddressKind::Unspecified
        ) {
            journey.path = Path::Forward;
            journey.out_interface = towards(destination).or(journey.out_interface.take());
        } else {
            journey.path = Path::Input;
            journey.out_interface = None;
        }
    }

    /// Whether there is a route, where all routes are known.
    pub(crate) fn reachable(&self, destination: IpAddr) -> Step {
        if self.host.closed && self.host.interface_towards(destination).is_none() {
            return Err(Stop(Verdict::Drop, Ended::NoRoute(destination), None));
        }
        Ok(())
    }

    /// Whether a group that a packet goes to is one that this host is a member of, where all is known of it
    /// (kernel `ip_check_mc_rcu`, `ip6_mc_input`).
    pub(crate) fn joined(&self, journey: &Journey<'_>) -> Step {
        let destination = journey.buffer.packet().destination();
        if self.host.closed && destination.is_multicast() {
            let interface = journey.in_interface.as_deref().unwrap_or_default();
            if !self.host.is_member(interface, destination) {
                return Err(Stop(Verdict::Drop, Ended::NoRoute(destination), None));
            }
        }
        Ok(())
    }
}

/// Sources that no packet from the network may have (kernel `ip_route_input_slow`).
pub(crate) fn martian(host: &Host, (source, destination): &(IpAddr, IpAddr)) -> Step {
    let (source, destination) = (*source, *destination);
    if destination.is_ipv4() && destination.is_loopback() && !host.route_localnet {
        return Err(Stop(Verdict::Drop, Ended::Martian(destination), None));
    }
    // The route to the loopback address leads by its own interface only (kernel `rt6_need_strict`).
    if destination.is_ipv6() && destination.is_loopback() {
        return Err(Stop(Verdict::Drop, Ended::NoRoute(destination), None));
    }
    let bad = match source {
        IpAddr::V4(s) => {
            (s.is_loopback() && !host.route_localnet)
                || (!s.is_loopback() && host.is_local(source))
                || s.is_multicast()
                || s.is_broadcast()
                || (host.asks_twice() && host.is_broadcast(source))
                || (s.is_unspecified()
                    && !destination.is_multicast()
                    && destination != IpAddr::V4(std::net::Ipv4Addr::BROADCAST))
        }
        IpAddr::V6(_) => false,
    };
    if bad {
        return Err(Stop(Verdict::Drop, Ended::Martian(source), None));
    }
    Ok(())
}

/// Path of a packet, and the names of the interfaces that it comes and leaves by; `target` is what its destination is.
pub(crate) fn way_of<'n>(
    host: &'n Host,
    ends: &(IpAddr, IpAddr),
    target: AddressKind,
    route: &'n Route,
    packet_type: Option<PacketType>,
) -> (Path, Option<&'n str>, Option<&'n str>) {
    let (source, destination) = *ends;
    let name = |address: IpAddr| host.interface_towards(address).map(|i| i.name.as_str());
    let inward = !matches!(target, AddressKind::Unicast | AddressKind::Unspecified);
    match route {
        Route::Out(interface) => {
            let path = if host.is_local(destination) {
                Path::Loopback
            } else {
                Path::Output
            };
            (path, None, Some(interface))
        }
        Route::Forward(from, to) | Route::Wire(from, to) => (Path::Forward, Some(from), Some(to)),
        Route::In(interface) => {
            if inward {
                (Path::Input, Some(interface), None)
            } else {
                (Path::Forward, Some(interface), name(destination))
            }
        }
        Route::Auto => {
            let from_here = host.is_local(source) || packet_type == Some(PacketType::Outgoing);
            match (from_here, inward) {
                (true, true) if host.is_local(destination) => (Path::Loopback, None, Some("lo")),
                (true, _) => (Path::Output, None, name(destination)),
                (false, true) => (Path::Input, name(source), None),
                (false, false) => (Path::Forward, name(source), name(destination)),
            }
        }
    }
}

/// What the IP layer drops before netfilter sees it.
pub(crate) fn refused_at_once(packet: &Packet<'_>, link: &LinkInfo) -> Option<Ended> {
    if link.packet_type == Some(PacketType::OtherHost) {
        return Some(Ended::OtherHost);
    }
    if !packet.header_checksum_ok() {
        return Some(Ended::HeaderChecksum);
    }
    if packet.family() == Family::V6 && !extension::hop_by_hop_ok(packet) {
        return Some(Ended::Extension);
    }
    // IPv6 looks at these before netfilter does (kernel `ip6_rcv_core`).
    if let IpAddr::V6(source) = packet.source()
        && (source.is_multicast() || source.is_loopback() || packet.destination().is_loopback())
    {
        return Some(Ended::Martian(packet.source()));
    }
    None
}
