//! state and conntrack (kernel `xt_state.c`, `xt_conntrack.c`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_conntrack::connection::Deadline;
use palisade_conntrack::jhash;
use palisade_conntrack::{Connection, Direction, Entry, State, Status, Tuple, TupleProto};
use palisade_rules::matches::cluster::Cluster;
use palisade_rules::matches::connbytes::{Connbytes, Counted, Whose};
use palisade_rules::matches::connlabel::Connlabel;
use palisade_rules::matches::conntrack::{self, StateSet};
use palisade_rules::{Net, Not, PortRange};
use palisade_wire::{Family, Timestamp, link::PacketType};

use super::{Context, Shared};

/// The bit of a packet's state. A packet without any verdict of tracking (a fragment that was
/// not reassembled) is INVALID to rules.
pub(crate) fn state_bit(shared: &Shared<'_>) -> u8 {
    match shared.track.map(|t| t.state) {
        Some(State::New) => StateSet::NEW,
        Some(State::Established) => StateSet::ESTABLISHED,
        Some(State::Related) => StateSet::RELATED,
        Some(State::Untracked) => StateSet::UNTRACKED,
        Some(State::Invalid) => StateSet::INVALID,
        // In front of tracking a raw rule's word shows already: its template counts as a new connection.
        None if shared.raw.untracked => StateSet::UNTRACKED,
        None if shared.raw.template.is_some() => StateSet::NEW,
        None => StateSet::INVALID,
    }
}

pub(super) fn state(not: &Not<StateSet>, shared: &Shared<'_>) -> bool {
    not.apply(not.value.0 & state_bit(shared) != 0)
}

/// The packet's connection.
fn own<'a>(shared: &'a Shared<'_>) -> Option<Entry<'a>> {
    shared
        .track
        .and_then(|t| t.connection)
        .and_then(|id| shared.conntrack.connection(id))
}

/// Kernel `connmark_mt`: false without a connection, negated or not.
pub(super) fn mark(rule: &Not<(u32, u32)>, shared: &Shared<'_>) -> bool {
    let (value, mask) = rule.value;
    own(shared).is_some_and(|connection| rule.apply(connection.mark & mask == value))
}

/// Kernel `connbytes_mt`: false without a connection, negated or not. The packet itself counts already.
pub(super) fn bytes(rule: &Connbytes, shared: &Shared<'_>) -> bool {
    let Some(connection) = own(shared) else {
        return false;
    };
    let [original, reply] = connection.traffic();
    let (packets, bytes) = match rule.whose {
        Whose::Original => (original.packets, original.bytes),
        Whose::Reply => (reply.packets, reply.bytes),
        Whose::Both => (
            original.packets.wrapping_add(reply.packets),
            original.bytes.wrapping_add(reply.bytes),
        ),
    };
    let counted = match rule.what {
        Counted::Packets => packets,
        Counted::Bytes => bytes,
        Counted::Average => bytes.checked_div(packets).unwrap_or(0),
    };
    let (first, last) = rule.range.value;
    rule.range.apply((first..=last).contains(&counted))
}

/// Kernel `xt_cluster_mt`: false without a connection, negated or not. Of a connection that another one announced
/// that one's source counts.
///
/// A packet to a single host that came in a frame to a group goes on as if the frame were this host's.
pub(super) fn cluster(rule: &Cluster, context: &Context<'_>, shared: &mut Shared<'_>) -> bool {
    shared.frame_is_ours |= context.link.packet_type == Some(PacketType::Multicast)
        && !context.packet.destination().is_multicast();
    let Some(connection) = own(shared) else {
        return false;
    };
    // The kernel hashes an address as it lies in memory, and of an IPv6 address the first four bytes only: it
    // takes their number of words for one of bytes (`xt_cluster_hash_ipv6`).
    let word = match connection.first_source() {
        IpAddr::V4(a) => u32::from_le_bytes(a.octets()),
        IpAddr::V6(a) => a
            .octets()
            .first_chunk()
            .map_or(0, |w| u32::from_le_bytes(*w)),
    };
    let hash = jhash::words(&[word], rule.seed);
    let node = jhash::scale(hash, rule.nodes);
    rule.mine
        .apply(rule.mine.value & 1u32.wrapping_shl(node) != 0)
}

/// Kernel `connlabel_mt`: without a connection only the negation is true. With `--set` the label is there
/// afterwards, and counts as having been there.
pub(super) fn label(rule: &Connlabel, label: u32, shared: &mut Shared<'_>) -> bool {
    let connection = shared
        .track
        .and_then(|t| t.connection)
        .and_then(|id| shared.conntrack.connection_mut(id));
    let Some(connection) = connection else {
        return rule.label.negated;
    };
    let bit = 1u128.checked_shl(label).unwrap_or(0);
    if connection.labels() & bit != 0 {
        return !rule.label.negated;
    }
    if rule.set {
        connection.set_labels(bit);
    }
    rule.set != rule.label.negated
}

/// Kernel `helper_mt`: the helper of the connection that announced this one, so that the control
/// connection itself never matches. A rule's name may be longer than the helper's. What has no such
/// connection, an invalid packet among them, matches a negated rule.
pub(super) fn helper(not: &Not<String>, shared: &Shared<'_>) -> bool {
    let name = shared
        .track
        .and_then(|t| t.connection)
        .and_then(|id| shared.conntrack.connection(id))
        .and_then(|c| c.master_helper());
    not.apply(name.is_some_and(|n| not.value.is_empty() || not.value.starts_with(n)))
}

/// What `-m conntrack` looks at.
struct Looked {
    tuples: [Tuple; 2],
    status: Status,
    /// Seconds left.
    left: u64,
    direction: Direction,
}

impl Looked {
    fn connection(connection: &Connection, direction: Direction, now: Timestamp) -> Self {
        Looked {
            tuples: connection.tuples(),
            status: connection.status,
            // Before confirm there is no deadline, and the kernel computes 0.
            left: match connection.deadline() {
                Deadline::AfterConfirm(_) => 0,
                Deadline::At(end) => end.since(now).as_secs(),
            },
            direction,
        }
    }

    /// A template: an entry that is confirmed and knows nothing.
    fn template(family: Family) -> Self {
        let nowhere = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let tuple = Tuple {
            source: nowhere,
            destination: nowhere,
            protocol: 0,
            proto: TupleProto::Generic,
        };
        Looked {
            tuples: [tuple; 2],
            status: Status::CONFIRMED,
            left: 0,
            direction: Direction::Original,
        }
    }
}

/// Kernel `conntrack_mt`: without a connection only `--ctstate` can be true; any other option
/// beside it is not even looked at, and alone it fails, negated or not.
pub(super) fn conntrack(
    rule: &conntrack::Conntrack,
    shared: &Shared<'_>,
    family: Family,
    now: Timestamp,
) -> bool {
    let connection = shared
        .track
        .and_then(|t| t.connection)
        .and_then(|id| shared.conntrack.connection(id));
    if let Some(not) = &rule.state {
        let mut bits = state_bit(shared);
        if let Some(connection) = connection {
            if connection.status.has(Status::SRC_NAT) {
                bits |= StateSet::SNAT;
            }
            if connection.status.has(Status::DST_NAT) {
                bits |= StateSet::DNAT;
            }
        }
        if !not.apply(not.value.0 & bits != 0) {
            return false;
        }
    }
    let looked = match (connection, shared.track) {
        (Some(connection), Some(track)) => Looked::connection(&connection, track.direction, now),
        (None, None) if shared.raw.template.is_some() => Looked::template(family),
        _ => return rule.state.is_some(),
    };
    if let Some(original) = rule.original
        && original != (looked.direction == Direction::Original)
    {
        return false;
    }
    let [original, reply] = &looked.tuples;
    let net = |not: &Option<Not<Net>>, address: IpAddr| {
        not.as_ref()
            .is_none_or(|not| not.apply(not.value.contains(address)))
    };
    let port = |not: &Option<Not<PortRange>>, value: u16| {
        not.as_ref()
            .is_none_or(|not| not.apply(not.value.contains(value)))
    };
    if !net(&rule.orig_source, original.source)
        || !net(&rule.orig_destination, original.destination)
        || !net(&rule.repl_source, reply.source)
        || !net(&rule.repl_destination, reply.destination)
    {
        return false;
    }
    if let Some(not) = &rule.protocol
        && !not.apply(original.protocol == not.value)
    {
        return false;
    }
    if !port(&rule.orig_source_port, original.source_word())
        || !port(&rule.orig_destination_port, original.destination_word())
        || !port(&rule.repl_source_port, reply.source_word())
        || !port(&rule.repl_destination_port, reply.destination_word())
    {
        return false;
    }
    if let Some(not) = &rule.status {
        // An empty set (NONE) meets no bit at all.
        let wanted = u32::from(not.value.0);
        if !not.apply(u32::from(looked.status.0) & wanted != 0) {
            return false;
        }
    }
    if let Some(not) = &rule.expire {
        let (first, last) = not.value;
        if !not.apply((u64::from(first)..=u64::from(last)).contains(&looked.left)) {
            return false;
        }
    }
    true
}
