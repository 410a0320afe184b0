//! ICMP and ICMPv6 queries (kernel `nf_conntrack_proto_icmp.c`, `nf_conntrack_proto_icmpv6.c`).
//!
//! Errors are matched by their inner packet before any query is looked up; see
//! [`crate::table`].

use std::net::IpAddr;

use palisade_wire::{Family, Packet, icmp::Icmp, proto};

use super::{Context, Update};
use crate::config::Config;
use crate::connection::Connection;
use crate::reason::Invalid;
use crate::tuple::{Direction, TupleProto};

/// The highest ICMP type that the kernel knows (`NR_ICMP_TYPES`).
const HIGHEST_ICMP_TYPE: u8 = 18;

/// What an ICMP or ICMPv6 message is to the tracker.
pub(crate) enum Message<'a> {
    /// A query or answer: tracked by its tuple.
    Query,
    /// An error: tracked by the packet that it quotes.
    Error {
        /// Quoted packet's bytes.
        quoted: &'a [u8],
    },
    /// Never tracked.
    Untracked,
    /// Not acceptable.
    Invalid(Invalid),
}

/// Kernel `nf_conntrack_icmpv4_error`.
pub(crate) fn classify_v4<'p>(context: &Context<'_, 'p>) -> Message<'p> {
    let transport = context.packet.transport();
    let Some(icmp) = Icmp::new(transport) else {
        return Message::Invalid(short(proto::ICMP, transport.len()));
    };
    if let Err(why) = context.verify_checksum(proto::ICMP) {
        return Message::Invalid(why);
    }
    match icmp.kind() {
        kind if kind > HIGHEST_ICMP_TYPE => Message::Invalid(Invalid::IcmpType { kind }),
        3 | 4 | 5 | 11 | 12 => Message::Error {
            quoted: icmp.body(),
        },
        _ => Message::Query,
    }
}

/// Kernel `nf_conntrack_icmpv6_error`, `nf_conntrack_icmpv6_redirect`.
pub(crate) fn classify_v6<'p>(context: &Context<'_, 'p>) -> Message<'p> {
    let transport = context.packet.transport();
    let Some(icmp) = Icmp::new(transport) else {
        return Message::Invalid(short(proto::ICMPV6, transport.len()));
    };
    if let Err(why) = context.verify_checksum(proto::ICMPV6) {
        return Message::Invalid(why);
    }
    match icmp.kind() {
        // Multicast listener and neighbour discovery, MLDv2 report, router discovery (RFC 4286).
        130..=136 | 143 | 151 | 152 => Message::Untracked,
        137 => redirect(context.packet, icmp, transport),
        128.. => Message::Query,
        _ => Message::Error {
            quoted: icmp.body(),
        },
    }
}

/// A redirect: header of 40 bytes, then options; only one whose first option quotes the
/// redirected packet (type 4) is looked up.
fn redirect<'p>(packet: &Packet<'p>, icmp: Icmp<'p>, transport: &'p [u8]) -> Message<'p> {
    const HEADER: usize = 40;
    const REDIRECTED_HEADER_OPTION: u8 = 4;
    if transport.len() < HEADER {
        return Message::Invalid(Invalid::ShortHeader {
            protocol: proto::ICMPV6,
            have: transport.len(),
            need: HEADER,
        });
    }
    if icmp.code() != 0 {
        return Message::Query;
    }
    let source = match packet.source() {
        IpAddr::V6(source) => source,
        IpAddr::V4(source) => source.to_ipv6_mapped(),
    };
    if packet.ttl() != 255 || !source.is_unicast_link_local() {
        return Message::Invalid(Invalid::Redirect {
            hop_limit: packet.ttl(),
            source,
        });
    }
    let have = transport.len() - HEADER;
    match transport[HEADER..] {
        [] | [_] | [_, 0, ..] => Message::Invalid(Invalid::RedirectOption { have }),
        [REDIRECTED_HEADER_OPTION, ..] => Message::Error {
            quoted: transport.get(HEADER + 8..).unwrap_or_default(),
        },
        _ => Message::Query,
    }
}

fn short(protocol: u8, have: usize) -> Invalid {
    Invalid::ShortHeader {
        protocol,
        have,
        need: Icmp::HEADER_LEN,
    }
}

/// Kernel `nf_conntrack_icmp_packet` and `nf_conntrack_icmpv6_packet`: only these queries
/// start a flow.
pub(crate) fn update(connection: &mut Connection, config: &Config) -> Update {
    let tuple = connection.tuple(Direction::Original);
    let TupleProto::Icmp { kind, .. } = tuple.proto else {
        return Update::Invalid(Invalid::WrongFamily {
            protocol: tuple.protocol,
        });
    };
    let (may_start, timeout) = match (tuple.protocol, tuple.family()) {
        (proto::ICMP, Family::V4) => (matches!(kind, 8 | 13 | 15 | 17), config.icmp_timeout),
        (proto::ICMPV6, Family::V6) => (matches!(kind, 128 | 139), config.icmpv6_timeout),
        _ => {
            return Update::Invalid(Invalid::WrongFamily {
                protocol: tuple.protocol,
            });
        }
    };
    if !may_start {
        return Update::Invalid(Invalid::IcmpCannotStart { kind });
    }
    Update::Valid {
        timeout: Some(timeout),
        ignored: None,
    }
}
