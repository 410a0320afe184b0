//! Where a packet goes: the routing decision, and what routing refuses.

use std::net::IpAddr;
use std::sync::Arc;

use palisade_rules::Family;
use palisade_wire::{Packet, link::PacketType};

use crate::Engine;
use crate::extension;
use crate::host::AddressKind;
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
        let name = |address: IpAddr| {
            self.host
                .interface_towards(address)
                .map(|i| Arc::from(i.name.as_str()))
        };
        let (source, destination) = (packet.source(), packet.destination());
        let inward = |address: IpAddr| {
            !matches!(
                self.host.kind(address),
                AddressKind::Unicast | AddressKind::Unspecified
            )
        };
        match &input.route {
            Route::Out(interface) => {
                let path = if self.host.is_local(destination) {
                    Path::Loopback
                } else {
                    Path::Output
                };
                (path, None, Some(Arc::clone(interface)))
            }
            Route::Forward(from, to) => {
                (Path::Forward, Some(Arc::clone(from)), Some(Arc::clone(to)))
            }
            Route::In(interface) => {
                if inward(destination) {
                    (Path::Input, Some(Arc::clone(interface)), None)
                } else {
                    (
                        Path::Forward,
                        Some(Arc::clone(interface)),
                        name(destination),
                    )
                }
            }
            Route::Auto => {
                let from_here = self.host.is_local(source)
                    || input.link.packet_type == Some(PacketType::Outgoing);
                match (from_here, inward(destination)) {
                    (true, true) if self.host.is_local(destination) => {
                        (Path::Loopback, None, Some(Arc::from("lo")))
                    }
                    (true, _) => (Path::Output, None, name(destination)),
                    (false, true) => (Path::Input, name(source), None),
                    (false, false) => (Path::Forward, name(source), name(destination)),
                }
            }
        }
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

    /// Sources that no packet from the network may have (kernel `ip_route_input_slow`).
    pub(crate) fn martian(&self, packet: &Packet<'_>) -> Step {
        let source = packet.source();
        let destination = packet.destination();
        if destination.is_ipv4() && destination.is_loopback() && !self.host.route_localnet {
            return Err(Stop(Verdict::Drop, Ended::Martian(destination), None));
        }
        // The route to the loopback address leads by its own interface only (kernel `rt6_need_strict`).
        if destination.is_ipv6() && destination.is_loopback() {
            return Err(Stop(Verdict::Drop, Ended::NoRoute(destination), None));
        }
        let bad = match source {
            IpAddr::V4(s) => {
                (s.is_loopback() && !self.host.route_localnet)
                    || (!s.is_loopback() && self.host.is_local(source))
                    || s.is_multicast()
                    || s.is_broadcast()
                    || (self.host.asks_twice() && self.host.is_broadcast(source))
                    || (s.is_unspecified()
                        && !packet.destination().is_multicast()
                        && packet.destination() != IpAddr::V4(std::net::Ipv4Addr::BROADCAST))
            }
            IpAddr::V6(_) => false,
        };
        if bad {
            return Err(Stop(Verdict::Drop, Ended::Martian(source), None));
        }
        Ok(())
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
