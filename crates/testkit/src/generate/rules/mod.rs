//! Rulesets by chance, as `iptables-save` writes them.

use std::fmt::Write;

use palisade_conntrack::helper::CATALOGUE;
use palisade_wire::{Family, proto};

mod connection;
mod header;
mod memory;
mod menu;
mod packet;
mod payload;
pub(super) mod plain;
mod probe;
mod target;

use super::chance::Chance;
use super::nat::translation;
use menu::{Menu, drawn};

/// Where a chain is called from: which matches make sense there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) six: bool,
    table: &'static str,
    chain: &'static str,
    /// Connections are known here.
    tracked: bool,
}

impl Place {
    fn incoming(self) -> bool {
        matches!(self.chain, "PREROUTING" | "INPUT" | "FORWARD")
    }

    fn leaving(self) -> bool {
        matches!(self.chain, "OUTPUT" | "FORWARD" | "POSTROUTING")
    }
}

/// Adds rules of both families, and what they are about to `covers`.
pub(super) fn add(
    chance: &mut Chance,
    text: &mut String,
    covers: &mut Vec<&'static str>,
    without: &[String],
) {
    // Without a word about connections the kernel tracks none, and fragments stay what they are.
    let tracked = !chance.one_in(12) || without.iter().any(|w| w == "no tracking");
    covers.push(if tracked { "tracking" } else { "no tracking" });
    let nat = tracked && chance.one_in(2) && !without.iter().any(|w| w == "translation");
    if nat {
        covers.push("translation");
    }
    if tracked && chance.one_in(4) && !without.iter().any(|w| w == super::timeouts::ABOUT) {
        covers.push(super::timeouts::ABOUT);
        super::timeouts::declare(chance, text);
    }
    let payload = chance.one_in(3) && !without.iter().any(|w| w == super::payload::ABOUT);
    if payload {
        covers.push(super::payload::ABOUT);
    }
    for six in [false, true] {
        let _ = writeln!(text, "{} {{", if six { "rules6" } else { "rules" });
        let place = |table, chain| Place {
            six,
            table,
            chain,
            tracked: tracked && table != "raw",
        };
        raw(chance, text, (six, tracked), covers, without);
        *text += "*mangle\n";
        policies(
            text,
            chance,
            &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
            0,
        );
        *text += ":marks - [0:0]\n";
        let probes = !without.iter().any(|w| w == probe::ABOUT);
        if probes {
            *text += probe::CHAINS;
            probe::add(chance, text, place);
        }
        if tracked {
            for chain in ["PREROUTING", "OUTPUT"] {
                for state in ["INVALID", "UNTRACKED"] {
                    let _ = writeln!(text, "-A {chain} -m conntrack --ctstate {state}");
                }
            }
        }
        for _ in 0..chance.below(7) {
            let chain = chance.pick(&[
                "PREROUTING",
                "PREROUTING",
                "INPUT",
                "FORWARD",
                "OUTPUT",
                "POSTROUTING",
            ]);
            let at = place("mangle", fixed(chain));
            let matches = matches(chance, at);
            let target = match chance.below(8) {
                0 => "-j marks".to_owned(),
                1 if tracked => connmark(chance),
                2 if tracked => connmark(chance),
                3 => "-j NFLOG --nflog-group 7 --nflog-prefix \"by chance\"".to_owned(),
                5 if six
                    && matches!(chain, "PREROUTING" | "POSTROUTING")
                    && !without.iter().any(|w| w == "prefixes") =>
                {
                    if !covers.contains(&"prefixes") {
                        covers.push("prefixes");
                    }
                    prefixes(chance, chain)
                }
                4 if chance.one_in(4) => "-j DROP".to_owned(),
                6 => target::change(chance, at),
                _ => mark(chance),
            };
            // What a target needs takes the place of other matches.
            let matches = target::needs(&target).map_or(matches, str::to_owned);
            let _ = writeln!(text, "-A {chain} {matches}{target}");
        }
        if payload {
            super::payload::add(chance, text, six, true);
        }
        let inner = place("mangle", "marks");
        let matches_inner = matches(chance, inner);
        let _ = writeln!(text, "-A marks {matches_inner}-j RETURN");
        let _ = writeln!(text, "-A marks {}", mark(chance));
        *text += "COMMIT\n";
        if nat {
            translation(chance, text, place);
        }
        filter(chance, text, place, payload);
        if chance.one_in(5) && !without.iter().any(|w| w == "security") {
            *text += "*security\n";
            policies(text, chance, &["INPUT", "FORWARD", "OUTPUT"], 8);
            let chain = chance.pick(&["INPUT", "FORWARD", "OUTPUT"]);
            let matches = matches(chance, place("security", fixed(chain)));
            let _ = writeln!(
                text,
                "-A {chain} {matches}-j {}",
                chance.pick(&["DROP", "ACCEPT"])
            );
            *text += "COMMIT\n";
        }
        *text += "}\n";
    }
}

/// The chain's own name, for keeping.
pub(super) fn fixed(chain: &str) -> &'static str {
    match chain {
        "PREROUTING" => "PREROUTING",
        "INPUT" => "INPUT",
        "FORWARD" => "FORWARD",
        "OUTPUT" => "OUTPUT",
        "POSTROUTING" => "POSTROUTING",
        "one" => "one",
        _ => "two",
    }
}

pub(super) fn policies(text: &mut String, chance: &mut Chance, chains: &[&str], drops: usize) {
    for chain in chains {
        let drop = drops > 0 && chance.one_in(drops);
        let policy = if drop { "DROP" } else { "ACCEPT" };
        let _ = writeln!(text, ":{chain} {policy} [0:0]");
    }
}

/// Zones, helpers, exemptions.
fn raw(
    chance: &mut Chance,
    text: &mut String,
    (six, tracked): (bool, bool),
    covers: &mut Vec<&'static str>,
    without: &[String],
) {
    *text += "*raw\n";
    policies(text, chance, &["PREROUTING", "OUTPUT"], 0);
    let place = |chain| Place {
        six,
        table: "raw",
        chain,
        tracked: false,
    };
    if tracked {
        helpers(chance, text, six, without);
        if covers.contains(&super::timeouts::ABOUT) {
            super::timeouts::use_some(chance, text, six);
        }
        for port in ["2121"] {
            if chance.below(3) > 0 {
                let _ = writeln!(
                    text,
                    "-A PREROUTING -p tcp -m tcp --dport {port} -j CT --helper ftp"
                );
            }
        }
        for _ in 0..chance.below(4) {
            let chain = chance.pick(&["PREROUTING", "PREROUTING", "OUTPUT"]);
            let mut matches = matches(chance, place(fixed(chain)));
            let (target, about) = match chance.below(8) {
                0..=2 => ("-j CT --notrack", "notrack"),
                3 => ("-j CT --zone 1", "zones"),
                4 => ("-j CT --zone-orig 2", "zones"),
                5 => ("-j CT --zone-reply 3", "zones"),
                6 => {
                    // A helper is refused without its protocol.
                    matches = "-p tcp ".to_owned();
                    ("-j CT --helper ftp", "helpers")
                }
                _ => ("-j CT --zone mark", "zones"),
            };
            if !covers.contains(&about) {
                covers.push(about);
            }
            let _ = writeln!(text, "-A {chain} {matches}{target}");
        }
    }
    if chance.one_in(4) {
        let matches = matches(chance, place("PREROUTING"));
        let target = mark(chance);
        // Before anything else, so that a zone may be taken from it.
        let _ = writeln!(text, "-I PREROUTING {matches}{target}");
    }
    if chance.one_in(8) {
        let matches = matches(chance, place("PREROUTING"));
        let _ = writeln!(text, "-A PREROUTING {matches}-j DROP");
    }
    *text += "COMMIT\n";
}

fn filter(
    chance: &mut Chance,
    text: &mut String,
    place: impl Fn(&'static str, &'static str) -> Place,
    payload: bool,
) {
    *text += "*filter\n";
    policies(text, chance, &["INPUT", "FORWARD", "OUTPUT"], 4);
    *text += ":one - [0:0]\n:two - [0:0]\n";
    if payload {
        super::payload::add(chance, text, place("filter", "FORWARD").six, false);
    }
    if chance.one_in(2) && place("filter", "FORWARD").tracked {
        for chain in ["INPUT", "FORWARD", "OUTPUT"] {
            let _ = writeln!(
                text,
                "-A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            );
        }
    }
    for _ in 0..3 + chance.below(9) {
        let chain = chance.pick(&[
            "FORWARD", "FORWARD", "FORWARD", "INPUT", "OUTPUT", "one", "two",
        ]);
        let at = place("filter", fixed(chain));
        let matches = matches(chance, at);
        let target = match chance.below(16) {
            0..=4 => "-j ACCEPT".to_owned(),
            5 | 6 => "-j DROP".to_owned(),
            7 | 8 => reject(chance, at.six, &matches),
            9 => "-j RETURN".to_owned(),
            10 => jump(chain, "-j"),
            11 => jump(chain, "-g"),
            12 => "-j NFLOG --nflog-group 7".to_owned(),
            13 => "-j LOG --log-prefix \"by chance\"".to_owned(),
            14 => mark(chance),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "{}",
            format!("-A {chain} {matches}{target}").trim_end()
        );
    }
    *text += "COMMIT\n";
}

/// A chain that calls itself is refused: one calls two.
fn jump(chain: &str, how: &str) -> String {
    match chain {
        "two" => "-j ACCEPT".to_owned(),
        "one" => format!("{how} two"),
        _ => format!("{how} one"),
    }
}

/// Every helper that the engine knows, at the port it is known by.
fn helpers(chance: &mut Chance, text: &mut String, six: bool, without: &[String]) {
    for helper in CATALOGUE.iter().filter(|h| h.evaluated()) {
        // No rule can ask for this one: it comes with the calls of another.
        let left_out = helper.name == "sip" && without.iter().any(|w| w == "SIP");
        if helper.name == "H.245" || left_out {
            continue;
        }
        let family = helper.family.is_none_or(|f| (f == Family::V6) == six);
        if !family || chance.one_in(3) {
            continue;
        }
        let protocol = if helper.protocol == proto::TCP {
            "tcp"
        } else {
            "udp"
        };
        let (name, port) = (helper.name, helper.port);
        let _ = writeln!(
            text,
            "-A PREROUTING -p {protocol} -m {protocol} --dport {port} -j CT --helper {name}"
        );
        if matches!(name, "netbios-ns" | "snmp") {
            let _ = writeln!(
                text,
                "-A OUTPUT -p udp -m udp --dport {port} -j CT --helper {name}"
            );
        }
    }
}

fn reject(chance: &mut Chance, six: bool, matches: &str) -> String {
    if matches.contains("-p tcp") && !matches.contains("! -p tcp") && chance.one_in(2) {
        return "-j REJECT --reject-with tcp-reset".to_owned();
    }
    let with = if six {
        chance.pick(&[
            "icmp6-port-unreachable",
            "icmp6-no-route",
            "icmp6-adm-prohibited",
            "icmp6-addr-unreachable",
        ])
    } else {
        chance.pick(&[
            "icmp-port-unreachable",
            "icmp-net-unreachable",
            "icmp-host-unreachable",
            "icmp-proto-unreachable",
            "icmp-admin-prohibited",
            "icmp-host-prohibited",
        ])
    };
    format!("-j REJECT --reject-with {with}")
}

fn mark(chance: &mut Chance) -> String {
    let how = chance.pick(&[
        "--set-xmark 0x1/0xffffffff",
        "--set-xmark 0x2/0xffffffff",
        "--set-xmark 0x3/0xffffffff",
        "--set-xmark 0x10/0xf0",
        "--set-xmark 0x0/0x1",
        "--set-xmark 0x4/0x0",
    ]);
    format!("-j MARK {how}")
}

/// A prefix for another, without tracking (RFC 6296).
fn prefixes(chance: &mut Chance, chain: &str) -> String {
    let (from, to) = (
        chance.pick(&["fd00:1::/64", "fd00:2::/64", "fd00::/16"]),
        chance.pick(&["fd00:99::/64", "fd00:2::/64", "fd00:1::/48"]),
    );
    let target = match chain {
        "PREROUTING" => "-j DNPT",
        // Errors with a header that a program wrote are not looked into (docs/differences.md).
        "POSTROUTING" => chance.pick(&[
            "-m addrtype ! --src-type LOCAL -j SNPT",
            "-m addrtype ! --src-type LOCAL -j SNPT",
            "-m u32 ! --u32 \"0x3&0xff=0x3a\" -j SNPT",
        ]),
        _ => "-j SNPT",
    };
    format!("{target} --src-pfx {from} --dst-pfx {to}")
}

fn connmark(chance: &mut Chance) -> String {
    let how = chance.pick(&[
        "--set-xmark 0x5/0xffffffff",
        "--set-xmark 0x6/0xf",
        "--save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        "--save-mark --nfmask 0xf --ctmask 0xf0",
        "--restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        "--restore-mark --nfmask 0x3 --ctmask 0x3",
    ]);
    format!("-j CONNMARK {how}")
}

/// Matches of a rule, with a blank behind them.
pub(super) fn matches(chance: &mut Chance, place: Place) -> String {
    let mut text = String::new();
    if chance.one_in(5) {
        text += &base(chance, place);
    }
    text += &protocol(chance, place);
    if chance.one_in(3) {
        text += &further(chance, place);
    }
    if place.tracked && chance.one_in(3) {
        text += &drawn(chance, place, &[connection::MENUS], false);
    }
    text
}

/// Every match, by what it looks at.
const MATCHES: [&[Menu]; 5] = [
    header::MENUS,
    packet::MENUS,
    payload::MENUS,
    connection::MENUS,
    memory::MENUS,
];

fn not(chance: &mut Chance) -> &'static str {
    if chance.one_in(4) { "! " } else { "" }
}

pub(super) fn base(chance: &mut Chance, place: Place) -> String {
    let not = not(chance);
    match chance.below(5) {
        0 if place.incoming() => format!(
            "{not}-i {} ",
            chance.pick(&["lan0", "wan0", "lan+", "eth0"])
        ),
        1 if place.leaving() => {
            format!("{not}-o {} ", chance.pick(&["lan0", "wan0", "wan+", "lo"]))
        }
        2 if !place.six => "-f ".to_owned(),
        3 => format!(
            "{not}-s {} ",
            if place.six {
                chance.pick(&["fd00:1::/64", "fd00:1::2/128", "fd00:2::/32"])
            } else {
                chance.pick(&["10.1.0.0/24", "10.1.0.2/32", "10.0.0.2/255.0.0.255"])
            }
        ),
        _ => format!(
            "{not}-d {} ",
            if place.six {
                chance.pick(&["fd00:2::/64", "fd00:2::2/128", "fd00::/16"])
            } else {
                chance.pick(&["10.2.0.0/24", "10.2.0.2/32", "198.51.100.0/24"])
            }
        ),
    }
}

/// A protocol, often with a match of its own, which must be the first one.
fn protocol(chance: &mut Chance, place: Place) -> String {
    let not = not(chance);
    match chance.below(22) {
        0..=4 => String::new(),
        5 => format!("{not}-p tcp "),
        6 => format!("{not}-p udp "),
        7..=15 => drawn(chance, place, &[header::MENUS, packet::MENUS], true),
        16 => chance
            .pick(&["-p sctp ", "-p sctp ", "-p gre ", "-p 253 ", "-p esp "])
            .to_owned(),
        17 => "-p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN ".to_owned(),
        _ => String::new(),
    }
}

fn further(chance: &mut Chance, place: Place) -> String {
    if chance.one_in(14) {
        return "-m comment --comment \"by chance\" ".to_owned();
    }
    drawn(
        chance,
        place,
        &[packet::MENUS, payload::MENUS, memory::MENUS],
        false,
    )
}
