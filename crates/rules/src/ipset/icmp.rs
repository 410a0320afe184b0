//! Names of ICMP types as ipset has them. Of two names for one type the first is the one that is printed.

/// Name, type, code.
type Row = (&'static str, u8, u8);

const V4: &[Row] = &[
    ("echo-reply", 0, 0),
    ("pong", 0, 0),
    ("network-unreachable", 3, 0),
    ("host-unreachable", 3, 1),
    ("protocol-unreachable", 3, 2),
    ("port-unreachable", 3, 3),
    ("fragmentation-needed", 3, 4),
    ("source-route-failed", 3, 5),
    ("network-unknown", 3, 6),
    ("host-unknown", 3, 7),
    ("network-prohibited", 3, 9),
    ("host-prohibited", 3, 10),
    ("TOS-network-unreachable", 3, 11),
    ("TOS-host-unreachable", 3, 12),
    ("communication-prohibited", 3, 13),
    ("host-precedence-violation", 3, 14),
    ("precedence-cutoff", 3, 15),
    ("source-quench", 4, 0),
    ("network-redirect", 5, 0),
    ("host-redirect", 5, 1),
    ("TOS-network-redirect", 5, 2),
    ("TOS-host-redirect", 5, 3),
    ("echo-request", 8, 0),
    ("ping", 8, 0),
    ("router-advertisement", 9, 0),
    ("router-solicitation", 10, 0),
    ("ttl-zero-during-transit", 11, 0),
    ("ttl-zero-during-reassembly", 11, 1),
    ("ip-header-bad", 12, 0),
    ("required-option-missing", 12, 1),
    ("timestamp-request", 13, 0),
    ("timestamp-reply", 14, 0),
    ("address-mask-request", 17, 0),
    ("address-mask-reply", 18, 0),
];

const V6: &[Row] = &[
    ("no-route", 1, 0),
    ("communication-prohibited", 1, 1),
    ("address-unreachable", 1, 3),
    ("port-unreachable", 1, 4),
    ("packet-too-big", 2, 0),
    ("ttl-zero-during-transit", 3, 0),
    ("ttl-zero-during-reassembly", 3, 1),
    ("bad-header", 4, 0),
    ("unknown-header-type", 4, 1),
    ("unknown-option", 4, 2),
    ("echo-request", 128, 0),
    ("ping", 128, 0),
    ("echo-reply", 129, 0),
    ("pong", 129, 0),
    ("router-solicitation", 133, 0),
    ("router-advertisement", 134, 0),
    ("neighbour-solicitation", 135, 0),
    ("neigbour-solicitation", 135, 0),
    ("neighbour-advertisement", 136, 0),
    ("neigbour-advertisement", 136, 0),
    ("redirect", 137, 0),
];

pub(super) fn names(v6: bool) -> &'static [Row] {
    if v6 { V6 } else { V4 }
}

/// Type and code of a name or of its beginning, in any case.
pub(super) fn by_name(text: &str, v6: bool) -> Option<u16> {
    names(v6)
        .iter()
        .find(|(name, ..)| {
            name.get(..text.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(text))
        })
        .map(|&(_, kind, code)| u16::from_be_bytes([kind, code]))
}

/// What stands in an element for a type and code.
pub(super) fn print(port: u16, v6: bool) -> String {
    let [kind, code] = port.to_be_bytes();
    names(v6)
        .iter()
        .find(|&&(_, k, c)| (k, c) == (kind, code))
        .map_or_else(
            || format!("{kind}/{code}"),
            |(name, ..)| (*name).to_string(),
        )
}
