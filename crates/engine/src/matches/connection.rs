//! state and conntrack (kernel `xt_state.c`, `xt_conntrack.c`).

use std::net::IpAddr;

use palisade_conntrack::connection::Deadline;
use palisade_conntrack::{Direction, State, Status, Tuple, TupleProto};
use palisade_rules::{ConntrackMatch, Net, Not, PortRange, StateSet};
use palisade_wire::Timestamp;

use super::Shared;

/// The bit of a packet's state. A packet without any verdict of tracking (a fragment that was
/// not reassembled) is INVALID to rules.
fn state_bit(shared: &Shared<'_>) -> u8 {
    match shared.track.map(|t| t.state) {
        Some(State::New) => StateSet::NEW,
        Some(State::Established) => StateSet::ESTABLISHED,
        Some(State::Related) => StateSet::RELATED,
        Some(State::Untracked) => StateSet::UNTRACKED,
        Some(State::Invalid) | None => StateSet::INVALID,
    }
}

pub(super) fn state(not: &Not<StateSet>, shared: &Shared<'_>) -> bool {
    not.apply(not.value.0 & state_bit(shared) != 0)
}

/// Kernel `conntrack_mt`: without a connection only `--ctstate` can be true; any other option
/// beside it is not even looked at, and alone it fails, negated or not.
pub(super) fn conntrack(rule: &ConntrackMatch, shared: &Shared<'_>, now: Timestamp) -> bool {
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
    let (Some(connection), Some(track)) = (connection, shared.track) else {
        return rule.state.is_some();
    };
    if let Some(original) = rule.original
        && original != (track.direction == Direction::Original)
    {
        return false;
    }
    let [original, reply] = &connection.tuples;
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
    if !port(&rule.orig_source_port, words(original).0)
        || !port(&rule.orig_destination_port, words(original).1)
        || !port(&rule.repl_source_port, words(reply).0)
        || !port(&rule.repl_destination_port, words(reply).1)
    {
        return false;
    }
    if let Some(not) = &rule.status {
        // An empty set (NONE) meets no bit at all.
        let wanted = u32::from(not.value.0);
        if !not.apply(connection.status.0 & wanted != 0) {
            return false;
        }
    }
    if let Some(not) = &rule.expire {
        // Before confirm there is no deadline, and the kernel computes 0.
        let left = match connection.deadline {
            Deadline::AfterConfirm(_) => 0,
            Deadline::At(end) => end.since(now).as_secs(),
        };
        let (first, last) = not.value;
        if !not.apply((u64::from(first)..=u64::from(last)).contains(&left)) {
            return false;
        }
    }
    true
}

/// The 16-bit words that the kernel keeps at the ports' places.
fn words(tuple: &Tuple) -> (u16, u16) {
    match tuple.proto {
        TupleProto::Ports {
            source,
            destination,
        }
        | TupleProto::Gre {
            source,
            destination,
        } => (source, destination),
        TupleProto::Icmp { id, kind, code } => (id, u16::from_be_bytes([kind, code])),
        TupleProto::Generic => (0, 0),
    }
}
