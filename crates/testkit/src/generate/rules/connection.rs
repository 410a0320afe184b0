//! Menus of matches that look at the packet's connection.

use super::Place;
use super::menu::{Menu, flag, menu, opt, per_family};

const STATES: &[&str] = &[
    "INVALID",
    "NEW",
    "ESTABLISHED",
    "RELATED",
    "UNTRACKED",
    "NEW,RELATED",
    "NEW,ESTABLISHED",
];
const FOUR: &[&str] = &["10.1.0.0/24", "10.2.0.2", "10.1.0.2"];
const SIX: &[&str] = &["fd00:1::/64", "fd00:2::2", "fd00:1::2"];
const PORTS: &[&str] = &["80", "53", "1:100", "1024:65535"];

fn tracked(place: Place) -> bool {
    place.tracked
}

pub(super) const MENUS: &[Menu] = &[
    menu("state", &[opt("--state", STATES).not()]).at(tracked),
    menu("conntrack", &[opt("--ctstate", STATES).not()]).at(tracked),
    menu(
        "conntrack",
        &[opt("--ctstate", &["SNAT", "DNAT", "SNAT,DNAT", "NEW,DNAT"]).not()],
    )
    .at(tracked),
    menu(
        "conntrack",
        &[
            opt("--ctdir", &["ORIGINAL", "REPLY"]),
            opt(
                "--ctstatus",
                &["ASSURED", "NONE", "SEEN_REPLY", "CONFIRMED", "EXPECTED"],
            )
            .not(),
            opt("--ctproto", &["6", "17", "1", "132"]).not(),
            per_family("--ctorigsrc", FOUR, SIX).not(),
            per_family("--ctorigdst", FOUR, SIX).not(),
            per_family("--ctreplsrc", FOUR, SIX).not(),
            per_family("--ctrepldst", FOUR, SIX).not(),
            opt("--ctorigsrcport", PORTS).not(),
            opt("--ctorigdstport", PORTS).not(),
            opt("--ctreplsrcport", PORTS).not(),
            opt("--ctrepldstport", PORTS).not(),
            opt("--ctexpire", &["0:60", "100:500", "20:40"]).not(),
        ],
    )
    .at(tracked),
    menu(
        "conntrack",
        &[
            opt("--ctstate", STATES).not(),
            opt("--ctdir", &["ORIGINAL", "REPLY"]),
            per_family("--ctorigsrc", FOUR, SIX).not(),
            opt("--ctorigdstport", PORTS),
        ],
    )
    .several()
    .at(tracked),
    menu(
        "connlabel",
        &[opt("--label", &["\"0\"", "\"3\"", "\"3\"", "\"127\""]).not()],
    )
    .at(tracked),
    menu("connlabel", &[flag("--set")])
        .then(" --label \"3\"")
        .at(tracked),
    menu(
        "helper",
        &[opt("--helper", &["ftp", "tftp", "sip", "pptp", "\"\""]).not()],
    ),
];
