//! Menus of targets that change something and let the packet go on.

use super::Place;
use super::menu::{Menu, flag, menu, opt};
use crate::generate::chance::Chance;

const MENUS: &[Menu] = &[
    menu(
        "TTL",
        &[
            opt("--ttl-set", &["64", "5"]),
            opt("--ttl-inc", &["1", "200"]),
            opt("--ttl-dec", &["1"]),
        ],
    )
    .at(|place| !place.six),
    menu(
        "HL",
        &[
            opt("--hl-set", &["64", "5"]),
            opt("--hl-inc", &["1", "200"]),
            opt("--hl-dec", &["1"]),
        ],
    )
    .at(|place| place.six),
    menu(
        "TOS",
        &[opt("--set-tos", &["0x10/0xff", "0x04/0x3f", "0x00/0xff"])],
    ),
    menu("DSCP", &[opt("--set-dscp", &["0x2e", "0x00", "0x0a"])]),
    menu("CLASSIFY", &[opt("--set-class", &["1:1", "0:0"])])
        .at(|place| matches!(place.chain, "FORWARD" | "OUTPUT" | "POSTROUTING")),
    menu("NFLOG", &[opt("--nflog-group", &["7", "8"])]),
    menu("LOG", &[flag("--log-tcp-options"), flag("--log-uid")]),
    menu("AUDIT", &[opt("--type", &["accept", "drop"])]),
];

/// Targets that need TCP.
const OF_TCP: &[Menu] = &[
    menu("ECN", &[flag("--ecn-tcp-remove")]).at(|place| !place.six),
    menu(
        "TCPOPTSTRIP",
        &[opt("--strip-options", &["2", "3,4", "timestamp", "8,5"])],
    ),
    menu("TCPMSS", &[opt("--set-mss", &["1000", "1460", "40"])]),
];

/// A target with what it needs in front of it: nothing, or a protocol that no other stands beside.
pub(super) fn change(chance: &mut Chance, place: Place) -> String {
    let of_tcp = chance.one_in(3);
    let menus = if of_tcp { OF_TCP } else { MENUS };
    let fitting: Vec<&Menu> = menus.iter().filter(|m| m.known(place)).collect();
    match fitting.get(chance.below(fitting.len())) {
        Some(menu) => menu.as_target(chance, place),
        None => super::mark(chance),
    }
}

/// Whether a target needs TCP in the rule, and which flags beside it.
pub(super) fn needs(target: &str) -> Option<&'static str> {
    let name = target.strip_prefix("-j ")?.split(' ').next()?;
    match name {
        "TCPMSS" => Some("-p tcp -m tcp --tcp-flags SYN,RST SYN "),
        "ECN" | "TCPOPTSTRIP" => Some("-p tcp "),
        _ => None,
    }
}
