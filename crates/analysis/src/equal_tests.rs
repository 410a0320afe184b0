//! What the lints hold of packets and rules, against the engine, which is held against the kernel.

use palisade_engine::{Engine, Host, Input, Interface, Route, Setup, Verdict};
use palisade_rules::{Family, Hook, TableKind, parse};
use palisade_wire::build::{self, Ip, Tcp};
use palisade_wire::{proto, tcp::flags};

use crate::cover::{covers, disjoint};
use crate::map::Map;
use crate::probe::Probe;
use crate::view::{Conditions, StateSet};

/// A small generator with a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const WHERE: &[&str] = &[
    "",
    "",
    "-s 192.0.2.0/24",
    "-s 192.0.2.7",
    "! -s 192.0.2.0/25",
    "-i eth0",
    "! -i eth0",
    "-i eth+",
    "-d 198.51.100.1",
    "! -d 198.51.100.1",
    "-m iprange --src-range 192.0.2.5-192.0.2.9",
    "-m iprange ! --src-range 192.0.2.5-192.0.2.9",
    "-m addrtype --dst-type LOCAL",
    "-m addrtype ! --src-type LOCAL",
];
const WHAT: &[&str] = &[
    "",
    "",
    "-p tcp",
    "-p udp",
    "! -p tcp",
    "-p tcp --dport 22",
    "-p tcp ! --dport 22",
    "-p tcp --dport 20:25",
    "-p udp --dport 53",
    "-p tcp --syn",
    "-p tcp ! --syn",
    "-p tcp --tcp-flags SYN,ACK SYN",
    "-p tcp --sport 1024:",
    "-p tcp -m multiport --dports 22,80,443",
    "-p tcp -m multiport ! --dports 22,80",
    "-p udp -m multiport --ports 53,40000",
];
const STATE: &[&str] = &[
    "",
    "",
    "",
    "-m state --state NEW",
    "-m state --state INVALID",
    "-m conntrack ! --ctstate NEW",
    "-m conntrack --ctstate NEW,RELATED",
    "-m conntrack --ctstate INVALID,ESTABLISHED",
    "-m conntrack --ctdir ORIGINAL",
    "-m conntrack ! --ctstate INVALID",
];
const TARGET: &[&str] = &[
    "-j ACCEPT",
    "-j DROP",
    "-j a",
    "-j b",
    "-g b",
    "-j RETURN",
    "",
    "-j REJECT",
];

fn rules(chance: &mut Chance) -> String {
    let mut text = String::from("*filter\n:INPUT DROP [0:0]\n:a - [0:0]\n:b - [0:0]\n");
    if chance.below(2) == 0 {
        text = text.replace("INPUT DROP", "INPUT ACCEPT");
    }
    for (chain, targets) in [("INPUT", TARGET), ("a", &TARGET[3..]), ("b", &TARGET[5..])] {
        for _ in 0..chance.below(6) {
            text.push_str(&format!(
                "-A {chain} {} {} {} {}\n",
                chance.pick(WHERE),
                chance.pick(WHAT),
                chance.pick(STATE),
                chance.pick(targets)
            ));
        }
    }
    text.push_str("COMMIT\n");
    text
}

/// First packets of their connections, so that their state is known beforehand.
fn probes() -> Vec<Probe> {
    let mut all = Vec::new();
    for source in ["192.0.2.7", "192.0.2.200", "203.0.113.9"] {
        for interface in ["eth0", "eth1", "wan0"] {
            for (protocol, port, flags, state) in [
                (proto::TCP, 22, flags::SYN, StateSet::NEW),
                (proto::TCP, 443, flags::SYN, StateSet::NEW),
                (proto::TCP, 22, flags::ACK, StateSet::NEW),
                (proto::TCP, 80, flags::FIN | flags::ACK, StateSet::INVALID),
                (proto::TCP, 9, flags::FIN | flags::ACK, StateSet::INVALID),
                (proto::UDP, 53, 0, StateSet::NEW),
                (proto::UDP, 9, 0, StateSet::NEW),
            ] {
                let mut p = Probe::stranger(Family::V4, Hook::Input).at_port(protocol, port);
                p.source = source.parse().unwrap();
                p.destination = "198.51.100.1".parse().unwrap();
                p.in_interface = interface.into();
                p.source_port = 40000;
                (p.flags, p.states) = (flags, state);
                all.push(p);
            }
        }
    }
    all
}

fn bytes(p: &Probe) -> Vec<u8> {
    let ip = Ip::new(p.source, p.destination);
    if p.protocol == proto::UDP {
        return build::udp(&ip, p.source_port, p.destination_port, b"?");
    }
    let tcp = Tcp {
        source_port: p.source_port,
        destination_port: p.destination_port,
        flags: p.flags,
        seq: 1000,
        ack: if p.flags & flags::ACK == 0 { 0 } else { 77 },
        ..Tcp::default()
    };
    build::tcp(&ip, &tcp, b"")
}

fn host() -> Host {
    let interface = |name: &str| Interface {
        name: name.into(),
        addresses: Vec::new(),
        mtu: None,
        prefixes: Vec::new(),
    };
    Host::new(
        ["198.51.100.1".parse().unwrap()],
        [interface("eth0"), interface("eth1"), interface("wan0")],
    )
}

#[test]
fn a_probe_ends_where_the_engine_ends_it_after_as_many_rules() {
    let mut chance = Chance(7);
    let probes = probes();
    let mut accepted = 0;
    for _ in 0..150 {
        let text = rules(&mut chance);
        let parsed = parse::save_file(&text, Family::V4);
        assert!(!parsed.has_errors(), "{text}{:?}", parsed.diagnostics);
        let ruleset = parsed.v4.as_ref().unwrap();
        let map = Map::new(ruleset);
        let (table, input) = map.hook(TableKind::Filter, Hook::Input).unwrap();
        for p in &probes {
            let setup = Setup {
                rules4: parsed.v4.clone(),
                host: host(),
                ..Setup::default()
            };
            let mut engine = Engine::new(setup).unwrap();
            let packet = bytes(p);
            let mut packet = Input::new(&packet);
            packet.route = Route::In(p.in_interface.as_str().into());
            let outcome = engine.process(&packet, &mut ());
            let way = map.walk(table, input, p, &[]).unwrap();
            let verdict = (way.action.refuses(), way.visited as u32);
            assert_eq!(
                verdict,
                (outcome.verdict != Verdict::Accept, outcome.visited),
                "{text}{p:?}\n{}",
                outcome.why
            );
            accepted += usize::from(outcome.verdict == Verdict::Accept);
        }
    }
    assert!(accepted > 1000, "only {accepted} packets were accepted");
}

#[test]
fn what_one_rule_covers_fits_it_and_disjoint_rules_share_no_packet() {
    let mut chance = Chance(11);
    let probes = probes();
    let (mut covered, mut apart) = (0, 0);
    for _ in 0..150 {
        let text = rules(&mut chance);
        let parsed = parse::save_file(&text, Family::V4);
        let map = Map::new(parsed.v4.as_ref().unwrap());
        let all: Vec<&Conditions> = map.rules().map(|(_, _, r)| &r.conditions).collect();
        for a in &all {
            for b in &all {
                let (cover, separate) = (covers(a, b, true), disjoint(a, b));
                covered += usize::from(cover && a != b);
                apart += usize::from(separate);
                for p in probes.iter().filter(|p| p.fits_plainly(b)) {
                    assert!(
                        !cover || p.fits_plainly(a),
                        "{a:?}\ncovers\n{b:?}\nnot for {p:?}"
                    );
                    assert!(
                        !separate || !p.fits_plainly(a),
                        "{a:?}\nmeets\n{b:?}\nat {p:?}"
                    );
                }
            }
        }
    }
    assert!(
        covered > 200 && apart > 200,
        "{covered} covered, {apart} apart"
    );
}
