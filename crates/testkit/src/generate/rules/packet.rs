//! Menus of matches that look at a packet's header, its interfaces, its mark, and at the host.

use super::Place;
use super::menu::{Menu, flag, menu, opt, per_family};

const KINDS: &[&str] = &["LOCAL", "UNICAST", "MULTICAST", "UNICAST,LOCAL"];
const MARKS: &[&str] = &["0x1/0x1", "0x2", "0x0", "0x10/0xf0"];

fn incoming(place: Place) -> bool {
    place.incoming()
}

fn forwarded(place: Place) -> bool {
    place.chain == "FORWARD"
}

fn four(place: Place) -> bool {
    !place.six
}

fn six(place: Place) -> bool {
    place.six
}

pub(super) const MENUS: &[Menu] = &[
    menu(
        "length",
        &[opt("--length", &["40:60", "0:100", "28", "1000:65535"]).not()],
    ),
    menu("mark", &[opt("--mark", MARKS).not()]),
    menu(
        "connmark",
        &[opt("--mark", &["0x5", "0x0", "0x6/0xf", "0x1/0x1"]).not()],
    )
    .at(|place| place.tracked),
    menu(
        "hl",
        &[
            opt("--hl-eq", &["64", "63", "1"]).not(),
            opt("--hl-lt", &["3", "64"]),
            opt("--hl-gt", &["62", "63"]),
        ],
    )
    .at(six),
    menu(
        "ttl",
        &[
            opt("--ttl-eq", &["64", "63", "1"]).not(),
            opt("--ttl-lt", &["3", "64"]),
            opt("--ttl-gt", &["62", "63"]),
        ],
    )
    .at(four),
    menu(
        "addrtype",
        &[
            opt("--src-type", KINDS).not(),
            opt("--dst-type", KINDS).not(),
        ],
    )
    .several(),
    menu(
        "addrtype",
        &[
            opt("--src-type", KINDS).not(),
            opt("--dst-type", KINDS).not(),
        ],
    )
    .then(" --limit-iface-in")
    .at(incoming),
    menu("addrtype", &[opt("--dst-type", KINDS).not()])
        .then(" --limit-iface-out")
        .at(forwarded),
    menu(
        "mac",
        &[opt("--mac-source", &["02:00:00:00:00:99", "02:00:00:00:00:01"]).not()],
    )
    .at(incoming),
    menu(
        "pkttype",
        &[opt("--pkt-type", &["unicast", "broadcast", "multicast"]).not()],
    ),
    menu(
        "iprange",
        &[
            per_family(
                "--src-range",
                &["10.1.0.1-10.1.0.10", "10.1.0.2-10.2.0.2"],
                &["fd00:1::1-fd00:1::10", "fd00:1::2-fd00:2::2"],
            )
            .not(),
            per_family(
                "--dst-range",
                &["10.2.0.2-10.2.0.3", "10.1.0.0-10.1.0.255"],
                &["fd00:2::2-fd00:2::2", "fd00:1::-fd00:1::ff"],
            )
            .not(),
        ],
    )
    .several(),
    menu("dscp", &[opt("--dscp", &["0x00", "0x2e", "0x0a"]).not()]),
    menu(
        "tos",
        &[opt("--tos", &["0x00/0xff", "0x10/0x3f", "0x02/0x03"]).not()],
    ),
    menu("ecn", &[opt("--ecn-ip-ect", &["0", "1", "2", "3"]).not()]),
    menu(
        "ecn",
        &[flag("--ecn-tcp-cwr").not(), flag("--ecn-tcp-ece").not()],
    )
    .of(&["tcp"]),
    menu(
        "tcpmss",
        &[opt("--mss", &["1460", "0:1400", "536:65535"]).not()],
    )
    .of(&["tcp"]),
    menu("realm", &[opt("--realm", &["0", "1"]).not()]).at(|place| {
        !place.six && matches!(place.chain, "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING")
    }),
    menu("policy", &[opt("--pol", &["none", "ipsec"])])
        .then(" --dir in")
        .at(incoming),
    menu("policy", &[opt("--pol", &["none", "ipsec"])])
        .then(" --dir out")
        .at(|place| place.leaving()),
    menu("devgroup", &[opt("--src-group", &["0x0", "0x1"]).not()]).at(incoming),
    menu(
        "rpfilter",
        &[
            flag("--loose"),
            flag("--validmark"),
            flag("--accept-local"),
            flag("--invert"),
        ],
    )
    .several()
    .at(|place| place.chain == "PREROUTING"),
    menu("eui64", &[flag("")]).at(|place| place.six && place.incoming()),
    menu(
        "frag",
        &[
            flag("--fragfirst"),
            flag("--fragmore"),
            flag("--fraglast"),
            opt("--fragid", &["0:1000", "1:4294967295"]).not(),
        ],
    )
    .at(six),
    menu(
        "hbh",
        &[
            opt("--hbh-len", &["0", "8", "16"]).not(),
            opt("--hbh-opts", &["5:2", "1", "1:4"]),
        ],
    )
    .at(six),
    menu(
        "dst",
        &[
            opt("--dst-len", &["0", "8", "16"]).not(),
            opt("--dst-opts", &["1:4", "1"]),
        ],
    )
    .at(six),
    menu(
        "rt",
        &[
            opt("--rt-type", &["0", "2", "4"]).not(),
            opt("--rt-segsleft", &["0", "0:5"]).not(),
            opt("--rt-len", &["8", "16"]).not(),
        ],
    )
    .at(six),
    menu(
        "ipv6header",
        &[opt(
            "--header",
            &["hop", "dst", "route", "frag", "none", "prot", "hop,prot"],
        )
        .not()],
    )
    .then(" --soft")
    .at(six),
    menu(
        "ipv6header",
        &[opt("--header", &["prot", "hop,prot", "frag,prot", "dst,prot"]).not()],
    )
    .at(six),
];
