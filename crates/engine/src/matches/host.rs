//! What the firewall's own host knows: bridges, sockets and their owners, groups of interfaces, routes.

use std::net::{IpAddr, Ipv4Addr};

use palisade_rules::Not;
use palisade_rules::matches::cgroup::Cgroup;
use palisade_rules::matches::devgroup::Devgroup;
use palisade_rules::matches::ipvs::Ipvs;
use palisade_rules::matches::owner::{Owner, Who};
use palisade_rules::matches::physdev::Physdev;
use palisade_rules::matches::realm::Realm;
use palisade_rules::matches::rpfilter::Rpfilter;
use palisade_rules::matches::socket::Socket as SocketMatch;
use palisade_wire::{link::PacketType, proto, tcp::Tcp, tcp::flags};

use super::{Answer, Context, Shared};
use crate::host::Routed;
use crate::socket::{Ends, Sender};

/// Kernel `physdev_mt`: of a packet that no bridge carries, what is negated is true.
pub(super) fn physdev(rule: &Physdev, context: &Context<'_>) -> bool {
    let flags = [&rule.is_bridged, &rule.is_in, &rule.is_out];
    let ports = [&rule.in_port, &rule.out_port];
    let bridge = context.bridge;
    let (came, leaves) = (bridge.came.as_deref(), bridge.leaves.as_deref());
    if came.is_none() && leaves.is_none() {
        return flags.iter().all(|f| f.as_ref().is_none_or(|n| n.negated))
            && ports.iter().all(|p| p.as_ref().is_none_or(|n| n.negated));
    }
    let holds = |not: &Option<Not<()>>, is: bool| not.as_ref().is_none_or(|not| not.apply(is));
    // Without a port that it came by there is nothing to compare, and that counts as right.
    holds(&rule.is_bridged, leaves.is_some())
        && holds(&rule.is_in, came.is_some())
        && holds(&rule.is_out, leaves.is_some())
        && match (&rule.in_port, came) {
            (Some(not), Some(port)) => not.apply(not.value.fits(port)),
            _ => true,
        }
        && match (&rule.out_port, leaves) {
            (Some(not), Some(port)) => not.apply(not.value.fits(port)),
            (Some(_), None) => false,
            (None, _) => true,
        }
}

/// Whether numbers fit, or that only the rules' host knows.
fn fits(who: &Who, mut ids: impl Iterator<Item = u32>) -> Option<bool> {
    match who {
        Who::Range(first, last) => Some(ids.any(|id| (*first..=*last).contains(&id))),
        Who::Name(_) => None,
    }
}

/// Kernel `owner_mt`. Of a packet without a socket only what is negated is true, and a socket of the kernel's own
/// has neither user nor group.
pub(super) fn owner(rule: &Owner, context: &Context<'_>) -> Answer {
    let negated = |not: &Option<Not<Who>>| not.as_ref().is_none_or(|not| not.negated);
    let ids_negated = negated(&rule.user) && negated(&rule.group);
    let owner = match context.sender {
        Sender::Unknown => return Answer::Unknown,
        Sender::Nobody => {
            let socket = rule.socket.as_ref().is_none_or(|not| not.negated);
            return (socket && ids_negated && !rule.further_groups).into();
        }
        _ if rule.socket.as_ref().is_some_and(|not| not.negated) => return Answer::No,
        Sender::Kernel => return ids_negated.into(),
        Sender::Owner(owner) => owner,
        Sender::Socket(at) => {
            if rule.user.is_none() && rule.group.is_none() {
                return Answer::Yes;
            }
            match context.host.socket(*at).and_then(|s| s.owner.as_ref()) {
                Some(owner) => owner,
                None => return Answer::Unknown,
            }
        }
    };
    let user = rule
        .user
        .as_ref()
        .map(|not| fits(&not.value, std::iter::once(owner.user)).map(|fits| not.apply(fits)));
    let further = if rule.further_groups {
        &owner.groups[..]
    } else {
        &[]
    };
    let group = rule.group.as_ref().map(|not| {
        let ids = std::iter::once(owner.group).chain(further.iter().copied());
        fits(&not.value, ids).map(|fits| not.apply(fits))
    });
    match (user.unwrap_or(Some(true)), group.unwrap_or(Some(true))) {
        (Some(false), _) | (_, Some(false)) => Answer::No,
        (Some(true), Some(true)) => Answer::Yes,
        _ => Answer::Unknown,
    }
}

/// Kernel `socket_match`: the socket that TPROXY chose, else the one that the packet, or the one inside an error,
/// is for. One that listens on all addresses counts only with `--nowildcard`.
pub(super) fn socket(rule: &SocketMatch, context: &Context<'_>, shared: &mut Shared<'_>) -> Answer {
    if context.host.sockets.is_none() {
        return Answer::Unknown;
    }
    let original = shared
        .track
        .and_then(|t| t.connection)
        .and_then(|id| shared.conntrack.connection(id))
        .map(|c| (c.tuples()[0].source, c.tuples()[0].source_port(), c.status));
    let found = shared.socket.or_else(|| {
        let ends = Ends::looked_up(&context.packet, shared.track, original)?;
        context.host.socket_for(&ends)
    });
    let Some(socket) = found.and_then(|at| context.host.socket(at)) else {
        return Answer::No;
    };
    if (!rule.wildcard && socket.anywhere()) || (rule.transparent && !socket.transparent) {
        return Answer::No;
    }
    if rule.restore_mark {
        shared.mark = socket.mark;
    }
    Answer::Yes
}

/// Kernel `cgroup_mt_v2`: a packet without a socket never fits, negated or not.
pub(super) fn cgroup(rule: &Cgroup, context: &Context<'_>, shared: &Shared<'_>) -> Answer {
    let at = if context.sender_counts() {
        match context.sender {
            Sender::Unknown => return Answer::Unknown,
            Sender::Nobody => return Answer::No,
            Sender::Kernel => None,
            Sender::Owner(_) => None,
            Sender::Socket(at) => Some(*at),
        }
    } else {
        if context.host.sockets.is_none() {
            return Answer::Unknown;
        }
        match shared.socket {
            Some(at) => Some(at),
            None => return Answer::No,
        }
    };
    let socket = at.and_then(|at| context.host.socket(at));
    match rule {
        Cgroup::Class(not) => not.apply(socket.map_or(0, |s| s.class) == not.value).into(),
        Cgroup::Path(not) => {
            let wanted = not.value.trim_matches('/');
            if wanted.is_empty() {
                return not.apply(true).into();
            }
            match socket.and_then(|s| s.cgroup.as_deref()) {
                Some(path) => {
                    let rest = path.trim_matches('/').strip_prefix(wanted);
                    let below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                    not.apply(below).into()
                }
                None => Answer::Unknown,
            }
        }
    }
}

/// Kernel `devgroup_mt`.
pub(super) fn devgroup(rule: &Devgroup, context: &Context<'_>) -> bool {
    let holds = |not: &Option<Not<(u32, u32)>>, interface: &str| {
        not.as_ref().is_none_or(|not| {
            let (group, mask) = not.value;
            not.apply((group ^ context.host.group(interface)) & mask == 0)
        })
    };
    holds(&rule.source, context.in_interface) && holds(&rule.destination, context.out_interface)
}

/// Kernel `realm_mt`. A value with bits outside its mask never fits.
pub(super) fn realm(rule: &Realm, context: &Context<'_>) -> bool {
    let (realm, mask) = rule.0.value;
    let packet = &context.packet;
    let towards = |address| u32::from(context.host.realm(address));
    let source = if context.made_here {
        0
    } else {
        towards(packet.source()) << 16
    };
    let destination = if context.host.is_local(packet.destination()) {
        0
    } else {
        towards(packet.destination())
    };
    rule.0.apply(realm == (source | destination) & mask)
}

/// Kernel `rpfilter_mt`, `rpfilter_lookup_reverse`, `rpfilter_lookup_reverse6`.
pub(super) fn rpfilter(rule: &Rpfilter, context: &Context<'_>, mark: u32) -> Answer {
    let packet = &context.packet;
    let (source, came) = (packet.source(), context.in_interface);
    let yes = Answer::from(!rule.invert);
    let at_rest = match (source, packet.destination()) {
        // Somebody who has no address yet asks everybody.
        (IpAddr::V4(source), IpAddr::V4(to)) => {
            source.is_unspecified()
                && (to == Ipv4Addr::BROADCAST || to.octets()[..3] == [224, 0, 0])
        }
        (IpAddr::V6(source), _) => source.is_unspecified(),
        _ => false,
    };
    let looped = came == "lo" || context.link.packet_type == Some(PacketType::Loopback);
    if looped || at_rest {
        return yes;
    }
    let mark = if rule.mark { mark } else { 0 };
    let fits = match context.host.route(source, mark, came) {
        Routed::Unknown => return Answer::Unknown,
        Routed::Nowhere | Routed::Broadcast => false,
        Routed::Here(interface) => {
            rule.accept_local
                && (source.is_ipv6() || rule.loose || interface.is_some_and(|name| name == came))
        }
        Routed::Through(by) => by || rule.loose && !link_local(source),
    };
    (fits != rule.invert).into()
}

fn link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfe80)
}

/// Kernel `ipvs_mt`, where there are no virtual servers: no packet is of their connections.
pub(super) fn ipvs(rule: &Ipvs) -> bool {
    rule.only_whether() && rule.not_ipvs
}

/// Kernel `nf_osf_match`: only SYNs have a fingerprint, and what they are compared with is not in the rules. The
/// negation of `--genre` is never looked at.
pub(super) fn osf(context: &Context<'_>) -> Answer {
    let packet = &context.packet;
    let syn = packet.protocol() == proto::TCP
        && !packet.is_later_fragment()
        && Tcp::new(packet.transport()).is_some_and(|tcp| tcp.has(flags::SYN));
    if syn && !context.host.no_fingerprints {
        Answer::Unknown
    } else {
        Answer::No
    }
}
