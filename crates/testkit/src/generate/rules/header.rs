//! Menus of matches that need a protocol in front of them.

use super::menu::{Menu, menu, opt};

const FLAGS: &[&str] = &[
    "FIN,SYN,RST,PSH,ACK,URG NONE",
    "FIN,SYN FIN,SYN",
    "RST,ACK RST",
    "ACK,URG URG",
    "FIN,SYN,RST,ACK SYN",
    "SYN,ACK SYN,ACK",
];

pub(super) const MENUS: &[Menu] = &[
    menu(
        "tcp",
        &[
            opt("--dport", &["80", "20:22", "1024:65535", "0:1023"]).not(),
            opt("--sport", &["80", "40000:40010", "1024:65535"]).not(),
            opt("--tcp-flags", FLAGS).not(),
            opt("--tcp-option", &["8", "3", "2", "5"]).not(),
        ],
    )
    .of(&["tcp"]),
    menu(
        "tcp",
        &[
            opt("--dport", &["80", "1024:65535"]),
            opt("--sport", &["80", "1024:65535"]).not(),
            opt("--tcp-flags", FLAGS).not(),
        ],
    )
    .of(&["tcp"])
    .several(),
    menu(
        "udp",
        &[
            opt("--dport", &["53", "7", "69", "1:100"]).not(),
            // iptables-nft asks two negated ports in one comparison, which is another question.
            opt("--sport", &["53", "1024:65535", "40000:50000"]),
        ],
    )
    .of(&["udp"])
    .several(),
    menu(
        "icmp",
        &[opt("--icmp-type", &["8", "0", "3/3", "3", "11", "12", "255"]).not()],
    )
    .of(&["icmp"])
    .at(|place| !place.six),
    menu(
        "icmp6",
        &[opt("--icmpv6-type", &["128", "129", "1/4", "1", "2", "3/0"]).not()],
    )
    .of(&["ipv6-icmp"])
    .at(|place| place.six),
    menu(
        "multiport",
        &[
            opt(
                "--dports",
                &["21,80:81", "53,5000", "7,3868,6000", "1:65535"],
            )
            .not(),
            opt(
                "--sports",
                &["21,80:81", "53,5000", "7,3868,6000", "1:65535"],
            )
            .not(),
            opt(
                "--ports",
                &["21,80:81", "53,5000", "7,3868,6000", "1:65535"],
            )
            .not(),
        ],
    )
    .of(&["tcp", "udp", "sctp", "udplite"]),
    menu(
        "sctp",
        &[
            opt("--dport", &["80", "3868", "1:1024", "5000:7000"]).not(),
            opt("--sport", &["80", "3868", "40000:50000"]).not(),
            opt(
                "--chunk-types",
                &[
                    "any INIT",
                    "all INIT",
                    "only INIT,DATA",
                    "any DATA,SACK",
                    "only DATA:Be",
                    "any ABORT:T",
                    "any SHUTDOWN,SHUTDOWN_ACK,SHUTDOWN_COMPLETE",
                    "all HEARTBEAT",
                ],
            ),
            // Negated it counts a broken packet with the legacy tools only.
        ],
    )
    .of(&["sctp"])
    .several(),
    menu(
        "dccp",
        &[
            opt("--dport", &["5001", "80", "1:65535"]).not(),
            opt("--sport", &["5001", "1024:65535"]).not(),
            opt(
                "--dccp-types",
                &["REQUEST,RESPONSE", "DATA,ACK,DATAACK", "RESET"],
            )
            .not(),
        ],
    )
    .of(&["dccp"])
    .several(),
    menu(
        "esp",
        &[opt("--espspi", &["256", "0:1000", "0x1:0xffffffff"]).not()],
    )
    .of(&["esp"]),
    menu(
        "ah",
        &[opt("--ahspi", &["256", "0:1000", "1:4294967295"]).not()],
    )
    .of(&["ah"])
    .at(|place| !place.six),
    menu(
        "ipcomp",
        &[opt("--ipcompspi", &["2", "0:100", "0x0:0xffff"]).not()],
    )
    .of(&["ipcomp"]),
    menu(
        "mh",
        &[opt("--mh-type", &["1", "0:3", "binding-update"]).not()],
    )
    .of(&["mh"])
    .at(|place| place.six),
];
