//! Rulesets as people write them: mostly addresses, ports, interfaces and states, so that a connection's packets
//! take the same way again and again; and, in between, what makes them take another.

use std::fmt::Write;

use super::super::chance::Chance;
use super::super::nat::translation;
use super::{Place, connmark, jump, mark, matches, policies, reject, target};

const PORTS: [&str; 8] = [
    "80",
    "443",
    "22",
    "53",
    "1:1023",
    "80:443",
    "1024:65535",
    "40001:40003",
];

/// How much of a ruleset is out of the ordinary: one rule in so many.
#[derive(Clone, Copy)]
struct Oddity(usize);

/// Adds rules of both families.
pub(in crate::generate) fn add(chance: &mut Chance, text: &mut String) {
    let nat = chance.one_in(2);
    let odd = Oddity(chance.one_of(&[3, 6, 12, 1000]));
    // Without targets that change what is looked at later on.
    let changes = chance.one_in(2);
    for six in [false, true] {
        let _ = writeln!(text, "{} {{", if six { "rules6" } else { "rules" });
        let place = |table, chain| Place {
            six,
            table,
            chain,
            tracked: table != "raw",
        };
        if chance.one_in(4) {
            *text += "*raw\n";
            policies(text, chance, &["PREROUTING", "OUTPUT"], 0);
            let asked = asked(chance, place("raw", "PREROUTING"), odd);
            let what = chance.pick(&[
                "-j CT --notrack",
                "-j CT --helper ftp",
                "-j ACCEPT",
                "",
                "-j CT --zone 1",
            ]);
            let asked = match what.ends_with("ftp") {
                true => "-p tcp -m tcp --dport 21 ".to_owned(),
                false => asked,
            };
            let _ = writeln!(
                text,
                "-A PREROUTING {}",
                format!("{asked}{what}").trim_end()
            );
            *text += "COMMIT\n";
        }
        if changes {
            mangle(chance, text, place, odd);
        }
        if nat {
            translation(chance, text, place);
        }
        filter(chance, text, place, odd);
        if chance.one_in(8) {
            *text += "*security\n";
            policies(text, chance, &["INPUT", "FORWARD", "OUTPUT"], 8);
            let asked = asked(chance, place("security", "FORWARD"), odd);
            let _ = writeln!(text, "-A FORWARD {asked}-j ACCEPT");
            *text += "COMMIT\n";
        }
        *text += "}\n";
    }
}

fn mangle(
    chance: &mut Chance,
    text: &mut String,
    place: impl Fn(&'static str, &'static str) -> Place,
    odd: Oddity,
) {
    const CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
    *text += "*mangle\n";
    policies(text, chance, &CHAINS, 0);
    for _ in 0..1 + chance.below(5) {
        let at = place("mangle", chance.one_of(&CHAINS));
        let asked = asked(chance, at, odd);
        let what = match chance.below(6) {
            0 => mark(chance),
            1 | 2 => connmark(chance),
            3 | 4 => target::change(chance, at),
            _ => "-j ACCEPT".to_owned(),
        };
        let asked = target::needs(&what).map_or(asked, str::to_owned);
        let _ = writeln!(text, "-A {} {asked}{what}", at.chain);
    }
    *text += "COMMIT\n";
}

fn filter(
    chance: &mut Chance,
    text: &mut String,
    place: impl Fn(&'static str, &'static str) -> Place,
    odd: Oddity,
) {
    *text += "*filter\n";
    policies(text, chance, &["INPUT", "FORWARD", "OUTPUT"], 3);
    *text += ":one - [0:0]\n:two - [0:0]\n";
    // Where the rule stands that lets established connections pass, if there is one.
    let pass = chance.one_of(&[0usize, 0, 2, 5, 100]);
    for at in 0..2 + chance.below(14) {
        if at == pass {
            for chain in ["INPUT", "FORWARD", "OUTPUT"] {
                let how = chance.pick(&[
                    "-m conntrack --ctstate RELATED,ESTABLISHED",
                    "-m state --state ESTABLISHED",
                    "-m conntrack --ctstate ESTABLISHED --ctdir REPLY",
                    "-m conntrack --ctstatus ASSURED",
                    "-m conntrack --ctstatus SEEN_REPLY",
                ]);
                let _ = writeln!(text, "-A {chain} {how} -j ACCEPT");
            }
        }
        let chain = chance.one_of(&[
            "FORWARD", "FORWARD", "FORWARD", "INPUT", "OUTPUT", "one", "two",
        ]);
        let at = place("filter", chain);
        let asked = asked(chance, at, odd);
        let what = match chance.below(14) {
            0..=4 => "-j ACCEPT".to_owned(),
            5 => "-j DROP".to_owned(),
            6 => reject(chance, at.six, &asked),
            7 => "-j RETURN".to_owned(),
            8 | 9 => jump(chain, "-j"),
            10 => jump(chain, "-g"),
            11 => mark(chance),
            _ => String::new(),
        };
        let _ = writeln!(text, "{}", format!("-A {chain} {asked}{what}").trim_end());
    }
    *text += "COMMIT\n";
}

/// What a rule asks, with a blank behind it.
fn asked(chance: &mut Chance, place: Place, odd: Oddity) -> String {
    if chance.one_in(odd.0) {
        return match chance.below(4) {
            0 if place.tracked => chance
                .pick(&[
                    "-m conntrack --ctexpire 0:60 ",
                    "-m conntrack --ctexpire 100:431999 ",
                    "-m conntrack --ctstatus ASSURED ",
                    "-m conntrack ! --ctstatus CONFIRMED ",
                    "-m connmark --mark 0x5/0xff ",
                    "-m connmark ! --mark 0x0 ",
                    "-m mark --mark 0x1/0xf ",
                    "-m limit --limit 1/sec --limit-burst 4 ",
                    "-m connbytes --connbytes 4:9 --connbytes-mode packets --connbytes-dir both ",
                    "-p tcp -m tcp --tcp-flags RST RST ",
                    "-p tcp -m tcp --tcp-flags PSH,URG PSH ",
                    "-p tcp -m tcp ! --syn ",
                    "-m length --length 0:60 ",
                    "-m tos --tos 0x10/0xff ",
                    "-m statistic --mode nth --every 3 --packet 0 ",
                    "-m statistic --mode random --probability 0.5 ",
                ])
                .to_owned(),
            _ => matches(chance, place),
        };
    }
    let mut text = String::new();
    if chance.one_in(3) {
        text += &super::base(chance, place);
    }
    match chance.below(6) {
        0 | 1 => {
            let protocol = chance.pick(&["tcp", "tcp", "udp"]);
            let (side, ports) = (
                chance.pick(&["--dport", "--dport", "--sport"]),
                chance.pick(&PORTS),
            );
            let _ = write!(text, "-p {protocol} -m {protocol} {side} {ports} ");
        }
        2 => text += chance.pick(&["-p tcp ", "-p udp ", "-p icmp ", "! -p tcp "]),
        3 => {
            text += chance.pick(&[
                "-p tcp -m multiport --dports 22,80,443 ",
                "-p udp -m multiport --ports 53,5000:5010 ",
            ]);
        }
        _ => {}
    }
    if place.tracked && chance.one_in(3) {
        let states = [
            "NEW",
            "ESTABLISHED",
            "RELATED,ESTABLISHED",
            "INVALID",
            "NEW,ESTABLISHED",
        ];
        let _ = write!(text, "-m conntrack --ctstate {} ", chance.pick(&states));
    }
    text
}
