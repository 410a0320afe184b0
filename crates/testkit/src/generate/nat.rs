//! Rules of the nat table by chance.

use std::fmt::Write;

use super::chance::Chance;
use super::rules::{Place, fixed, matches, policies};

/// Rules of the nat table. Ranges of addresses are left out: which of them the kernel takes depends on a
/// number that it draws when it starts.
pub(super) fn translation(
    chance: &mut Chance,
    text: &mut String,
    place: impl Fn(&'static str, &'static str) -> Place,
) {
    *text += "*nat\n";
    policies(
        text,
        chance,
        &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
        0,
    );
    for _ in 0..1 + chance.below(5) {
        let chain = chance.pick(&[
            "PREROUTING",
            "PREROUTING",
            "POSTROUTING",
            "POSTROUTING",
            "POSTROUTING",
            "OUTPUT",
            "INPUT",
        ]);
        let at = place("nat", fixed(chain));
        let mut matches = matches(chance, at);
        let with_port = chance.one_in(2);
        if with_port {
            let ported = [
                "-p tcp ",
                "-p udp ",
                "-p tcp -m tcp --dport 80 ",
                "-p udp -m udp --dport 53 ",
            ];
            matches = chance.pick(&ported).to_owned();
        }
        let target = match chain {
            "PREROUTING" | "OUTPUT" => destination(chance, at, with_port),
            "INPUT" => format!("-j SNAT --to-source {}", source(chance, at, with_port)),
            _ => match chance.below(8) {
                0..=2 => {
                    let ports = [
                        "",
                        " --to-ports 6000-6002",
                        " --to-ports 1024-65535",
                        " --to-ports 99",
                    ];
                    let ports = if with_port { chance.pick(&ports) } else { "" };
                    let random = chance.pick(&["", "", " --random", " --random-fully"]);
                    format!("-j MASQUERADE{ports}{random}")
                }
                3 => netmap(chance, at),
                4 => "-j ACCEPT".to_owned(),
                _ => {
                    let how = ["", "", " --random", " --persistent", " --random-fully"];
                    let how = chance.pick(&how);
                    format!("-j SNAT --to-source {}{how}", source(chance, at, with_port))
                }
            },
        };
        let _ = writeln!(text, "-A {chain} {matches}{target}");
    }
    *text += "COMMIT\n";
}

fn netmap(chance: &mut Chance, place: Place) -> String {
    let to = if place.six {
        chance.pick(&["fd00:2::/64", "fd00:1::/64", "fd00:99::/120"])
    } else {
        chance.pick(&["10.2.0.0/24", "198.51.100.0/24", "10.2.0.128/25"])
    };
    format!("-j NETMAP --to {to}")
}

fn destination(chance: &mut Chance, place: Place, with_port: bool) -> String {
    match chance.below(8) {
        0 | 1 => {
            let ports = ["", " --to-ports 8080", " --to-ports 7000-7003"];
            let ports = if with_port { chance.pick(&ports) } else { "" };
            format!("-j REDIRECT{ports}")
        }
        2 => netmap(chance, place),
        3 => "-j ACCEPT".to_owned(),
        _ => {
            let address = if place.six {
                chance.pick(&["fd00:2::2", "fd00:1::77", "fd00:99::7", "fd00:2::1"])
            } else {
                chance.pick(&["10.2.0.2", "10.1.0.77", "198.51.100.7", "10.2.0.1"])
            };
            let ports = ["", ":8080", ":80", ":9000-9003", ":53"];
            let port = if with_port { chance.pick(&ports) } else { "" };
            format!("-j DNAT --to-destination {}", socket(place, address, port))
        }
    }
}

fn source(chance: &mut Chance, place: Place, with_port: bool) -> String {
    let address = if place.six {
        chance.pick(&["fd00:2::1", "fd00:2::99", "fd00:1::1"])
    } else {
        chance.pick(&["10.2.0.1", "10.2.0.99", "10.1.0.1"])
    };
    let ports = ["", "", ":6000-6003", ":77", ":30000-30100"];
    let port = if with_port { chance.pick(&ports) } else { "" };
    socket(place, address, port)
}

fn socket(place: Place, address: &str, port: &str) -> String {
    if place.six && !port.is_empty() {
        format!("[{address}]{port}")
    } else {
        format!("{address}{port}")
    }
}
