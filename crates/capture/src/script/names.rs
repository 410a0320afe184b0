//! Names of ICMP types and of REJECT's answers: iptables' own, and a few that people say.

use palisade_wire::Family;

/// One name and its type and code in either protocol.
struct Name {
    name: &'static str,
    v4: Option<(u8, u8)>,
    v6: Option<(u8, u8)>,
}

const fn both(name: &'static str, v4: (u8, u8), v6: (u8, u8)) -> Name {
    Name {
        name,
        v4: Some(v4),
        v6: Some(v6),
    }
}

const fn four(name: &'static str, kind: u8, code: u8) -> Name {
    Name {
        name,
        v4: Some((kind, code)),
        v6: None,
    }
}

const fn six(name: &'static str, kind: u8, code: u8) -> Name {
    Name {
        name,
        v4: None,
        v6: Some((kind, code)),
    }
}

/// ICMP types (IANA "ICMP Parameters", "ICMPv6 Parameters").
const ICMP: &[Name] = &[
    both("echo-request", (8, 0), (128, 0)),
    both("echo-reply", (0, 0), (129, 0)),
    both("net-unreachable", (3, 0), (1, 0)),
    both("host-unreachable", (3, 1), (1, 3)),
    both("port-unreachable", (3, 3), (1, 4)),
    both("admin-prohibited", (3, 13), (1, 1)),
    both("time-exceeded", (11, 0), (3, 0)),
    both("reassembly-timeout", (11, 1), (3, 1)),
    both("parameter-problem", (12, 0), (4, 0)),
    both("redirect", (5, 0), (137, 0)),
    both("router-advertisement", (9, 0), (134, 0)),
    both("router-solicitation", (10, 0), (133, 0)),
    four("network-unreachable", 3, 0),
    four("protocol-unreachable", 3, 2),
    four("fragmentation-needed", 3, 4),
    four("source-route-failed", 3, 5),
    four("net-prohibited", 3, 9),
    four("host-prohibited", 3, 10),
    four("communication-prohibited", 3, 13),
    four("source-quench", 4, 0),
    four("host-redirect", 5, 1),
    four("ttl-zero-during-transit", 11, 0),
    four("ttl-zero-during-reassembly", 11, 1),
    four("timestamp-request", 13, 0),
    four("timestamp-reply", 14, 0),
    four("address-mask-request", 17, 0),
    four("address-mask-reply", 18, 0),
    six("no-route", 1, 0),
    six("address-unreachable", 1, 3),
    six("packet-too-big", 2, 0),
    six("bad-header", 4, 0),
    six("unknown-header-type", 4, 1),
    six("unknown-option", 4, 2),
    six("neighbour-solicitation", 135, 0),
    six("neighbor-solicitation", 135, 0),
    six("neighbour-advertisement", 136, 0),
    six("neighbor-advertisement", 136, 0),
    six("node-information-query", 139, 0),
];

/// What REJECT can send, by `--reject-with`'s names.
const ANSWERS: &[Name] = &[
    four("icmp-net-unreachable", 3, 0),
    four("icmp-host-unreachable", 3, 1),
    four("icmp-proto-unreachable", 3, 2),
    four("icmp-port-unreachable", 3, 3),
    four("icmp-net-prohibited", 3, 9),
    four("icmp-host-prohibited", 3, 10),
    four("icmp-admin-prohibited", 3, 13),
    six("icmp6-no-route", 1, 0),
    six("icmp6-adm-prohibited", 1, 1),
    six("icmp6-addr-unreachable", 1, 3),
    six("icmp6-port-unreachable", 1, 4),
    six("icmp6-policy-fail", 1, 5),
    six("icmp6-reject-route", 1, 6),
];

/// Type and code of an ICMP message by name.
pub(super) fn icmp(name: &str, family: Family) -> Option<(u8, u8)> {
    ICMP.iter()
        .filter(|n| n.name == name)
        .find_map(|n| match family {
            Family::V4 => n.v4,
            Family::V6 => n.v6,
        })
}

/// Names of ICMP messages in `family`.
pub(super) fn icmp_names(family: Family) -> impl Iterator<Item = &'static str> {
    ICMP.iter()
        .filter(move |n| match family {
            Family::V4 => n.v4.is_some(),
            Family::V6 => n.v6.is_some(),
        })
        .map(|n| n.name)
}

/// Type and code of REJECT's answer by name.
pub(super) fn answer(name: &str) -> Option<(u8, u8)> {
    ANSWERS
        .iter()
        .find(|n| n.name == name)
        .and_then(|n| n.v4.or(n.v6))
}

/// Names of REJECT's answers.
pub(super) fn answer_names() -> impl Iterator<Item = &'static str> {
    ANSWERS.iter().map(|n| n.name).chain(["tcp-reset", "none"])
}

/// The name of an answer; `v6` by the version of the packet that was sent.
pub(super) fn answer_name(v6: bool, kind: u8, code: u8) -> String {
    let found = ANSWERS
        .iter()
        .find(|n| (if v6 { n.v6 } else { n.v4 }) == Some((kind, code)));
    found.map_or_else(
        || format!("icmp type {kind} code {code}"),
        |n| n.name.to_owned(),
    )
}

/// IP protocol by name.
pub(super) fn protocol(name: &str) -> Option<u8> {
    use palisade_wire::proto;
    Some(match name {
        "tcp" => proto::TCP,
        "udp" => proto::UDP,
        "icmp" => proto::ICMP,
        "icmp6" => proto::ICMPV6,
        "igmp" => proto::IGMP,
        "ipip" => proto::IPIP,
        "gre" => proto::GRE,
        "esp" => proto::ESP,
        "ah" => proto::AH,
        "sctp" => proto::SCTP,
        "udplite" => proto::UDPLITE,
        "dccp" => proto::DCCP,
        "ipcomp" => proto::IPCOMP,
        "mh" => proto::MH,
        _ => return None,
    })
}
