//! Equal to the linear evaluator: in what becomes of packets, in what it says of them, and in every counter.

use std::net::IpAddr;

use palisade_rules::{Family, Ruleset, parse, print};
use palisade_wire::{Timestamp, build, proto, tcp::flags};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{Engine, Evaluator, Host, Input, Interface, Reassembly, Route, Setup};

/// What a family's rules and packets are made of: little of each, so that they meet.
pub(super) struct Words {
    family: Family,
    nets: &'static [&'static str],
    addresses: [&'static str; 6],
    ranges: &'static [&'static str],
    icmp: &'static str,
    kinds: &'static [&'static str],
}

pub(super) const FOUR: Words = Words {
    family: Family::V4,
    nets: &[
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.0/23",
        "10.1.2.0/24",
        "10.1.2.3",
        "10.1.2.4",
        "10.1.3.3",
        "10.0.0.3/255.0.0.255",
        "0.0.0.0/0",
    ],
    addresses: [
        "10.1.2.3",
        "10.1.2.4",
        "10.1.3.3",
        "10.9.9.9",
        "10.1.2.9",
        "192.0.2.1",
    ],
    ranges: &[
        "-m iprange --src-range 10.1.2.2-10.1.3.3",
        "-m iprange ! --dst-range 10.1.2.3-10.1.2.4",
        "-m iprange --src-range 10.1.2.3 --dst-range 10.0.0.0-10.1.2.9",
    ],
    icmp: "icmp",
    kinds: &[
        "-m icmp --icmp-type 8",
        "-m icmp --icmp-type 3/1",
        "-m icmp ! --icmp-type 3",
        "-m icmp --icmp-type any",
    ],
};

const SIX: Words = Words {
    family: Family::V6,
    nets: &[
        "2001:db8::/32",
        "2001:db8:1::/48",
        "2001:db8:1:2::/63",
        "2001:db8:1:2::/64",
        "2001:db8:1:2::3",
        "2001:db8:1:2::4",
        "2001:db8:1:3::3",
        "2001::3/ffff::ffff",
        "::/0",
    ],
    addresses: [
        "2001:db8:1:2::3",
        "2001:db8:1:2::4",
        "2001:db8:1:3::3",
        "2001:db8:9::9",
        "2001:db8:1:2::9",
        "2001:db8:ff::1",
    ],
    ranges: &[
        "-m iprange --src-range 2001:db8:1:2::2-2001:db8:1:3::3",
        "-m iprange ! --dst-range 2001:db8:1:2::3-2001:db8:1:2::4",
    ],
    icmp: "ipv6-icmp",
    kinds: &[
        "-m icmp6 --icmpv6-type 128",
        "-m icmp6 --icmpv6-type 1/1",
        "-m icmp6 ! --icmpv6-type 1",
    ],
};

/// Nothing, more often than not, or one of some words.
fn maybe(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![2 => Just(""), 1 => select(words)]
}

fn side(option: &'static str, words: &'static Words) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        5 => select(words.nets).prop_map(move |net| format!(" {option} {net}")),
        1 => select(words.nets).prop_map(move |net| format!(" ! {option} {net}")),
    ]
}

fn protocol(words: &'static Words) -> impl Strategy<Value = String> {
    let tcp = select(&[
        "",
        "-m tcp --dport 80",
        "-m tcp --dport 80:90",
        "-m tcp ! --dport 80",
        "-m tcp --sport 1024:65535 --dport 22",
        "-m tcp --tcp-flags SYN,ACK SYN",
        "-m tcp --tcp-option 2 -m tcp --dport 80",
        "-m tcp --dport 22:100 -m multiport --dports 80,90",
        "-m multiport --dports 22,80:90",
        "-m multiport ! --sports 22,1024",
        "-m multiport --ports 22,80",
        "-m string --string x --algo bm -m tcp --dport 80",
    ]);
    let udp = select(&[
        "",
        "-m udp --dport 80",
        "-m udp --sport 0:1023",
        "-m multiport --dports 22,90",
    ]);
    prop_oneof![
        3 => Just(String::new()),
        5 => tcp.prop_map(|m| format!(" -p tcp {m}")),
        3 => udp.prop_map(|m| format!(" -p udp {m}")),
        2 => select(words.kinds).prop_map(|m| format!(" -p {} {m}", words.icmp)),
        1 => Just(" ! -p tcp".to_string()),
        1 => Just(" -p sctp -m sctp --dport 80".to_string()),
        1 => Just(" -p 47".to_string()),
    ]
}

/// Matches that remember, that see the connection, that cannot be answered; tests behind them may not be asked first.
const MIDDLE: &[&str] = &[
    "-m limit --limit 1/hour --limit-burst 2",
    "-m statistic --mode nth --every 3 --packet 1",
    "-m quota --quota 300",
    "-m recent --name a --set",
    "-m recent --name a --rcheck --hitcount 2",
    "-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 2 --hashlimit-name h",
    "-m connlimit --connlimit-above 1",
    "-m mark --mark 1",
    "-m mark ! --mark 2/2",
    "-m connmark --mark 1",
    "-m length --length 0:60",
    "-m comment --comment c",
    "-m cpu --cpu 0",
    "-m addrtype --dst-type LOCAL",
    "-m tcpmss --mss 1:1000 -p tcp",
];

const STATES: &[&str] = &[
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-m state --state INVALID,UNTRACKED",
    "-m conntrack ! --ctstate NEW",
    "-m conntrack --ctstate NEW,DNAT",
    "-m conntrack --ctstate ESTABLISHED --ctdir REPLY",
    "-m state --state NEW -m conntrack --ctstate NEW,ESTABLISHED",
];

const INTERFACES: &[&str] = &["-i eth0", "-i eth1", "! -i eth0", "-i eth+", "-i +"];

/// A rule's tests and its target; jumps lead to later chains, so that there is no circle.
fn rule(
    words: &'static Words,
    targets: &'static [&'static str],
    chains: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    let jumps: Vec<String> = chains
        .flat_map(|c| [format!("-j C{c}"), format!("-g C{c}")])
        .collect();
    let target = if jumps.is_empty() {
        select(targets).prop_map(String::from).boxed()
    } else {
        prop_oneof![
            5 => select(targets).prop_map(String::from),
            1 => select(jumps),
        ]
        .boxed()
    };
    (
        (side("-s", words), side("-d", words)),
        maybe(INTERFACES),
        protocol(words),
        prop_oneof![8 => Just(""), 2 => select(MIDDLE), 1 => select(words.ranges)],
        maybe(STATES),
        any::<bool>(),
        target,
    )
        .prop_map(
            |((source, destination), interface, protocol, middle, state, first, target)| {
                // A second -p is refused.
                let (protocol, middle) = match middle.strip_suffix(" -p tcp") {
                    Some(middle) => (" -p tcp".to_string(), middle),
                    None => (protocol, middle),
                };
                let matches = match first {
                    true => format!("{state} {middle}"),
                    false => format!("{middle} {state}"),
                };
                let words =
                    format!("{source}{destination} {interface}{protocol} {matches} {target}");
                words.split_whitespace().collect::<Vec<_>>().join(" ")
            },
        )
}

fn rules(
    words: &'static Words,
    targets: &'static [&'static str],
    chains: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<String>> {
    vec(rule(words, targets, chains), 0..24)
}

const FILTER: &[&str] = &[
    "-j ACCEPT",
    "-j ACCEPT",
    "-j DROP",
    "-j DROP",
    "-j RETURN",
    "-j REJECT",
    "-j LOG",
    "",
    "-j NFQUEUE",
];

const MANGLE: &[&str] = &[
    "-j ACCEPT",
    "-j RETURN",
    "-j MARK --set-xmark 1/1",
    "-j MARK --set-xmark 2/2",
    "-j CONNMARK --set-xmark 1/1",
    "-j TOS --set-tos 8",
    "",
    "-j DROP",
];

const RAW: &[&str] = &["-j ACCEPT", "-j CT --notrack", "-j RETURN", "", "-j DROP"];

/// A save file of three tables, each with its chains.
fn ruleset(words: &'static Words) -> impl Strategy<Value = String> {
    let table = |name: &'static str, builtin: &'static [&'static str], targets| {
        (
            builtin
                .iter()
                .map(|_| rules(words, targets, 0..3))
                .collect::<Vec<_>>(),
            (0..3)
                .map(|c| rules(words, targets, c + 1..3))
                .collect::<Vec<_>>(),
        )
            .prop_map(move |(own, chains)| {
                let mut text = format!("*{name}\n");
                for name in builtin {
                    text += &format!(":{name} ACCEPT [0:0]\n");
                }
                for c in 0..3 {
                    text += &format!(":C{c} - [0:0]\n");
                }
                let user = (0..3).map(|c| format!("C{c}"));
                let names = builtin.iter().map(|n| n.to_string()).chain(user);
                for (name, rules) in names.zip(own.into_iter().chain(chains)) {
                    for rule in rules {
                        text += &format!("-A {name} {rule}\n");
                    }
                }
                text + "COMMIT\n"
            })
    };
    (
        table("raw", &["PREROUTING"], RAW),
        table("mangle", &["PREROUTING", "FORWARD"], MANGLE),
        table("filter", &["INPUT", "FORWARD"], FILTER),
    )
        .prop_map(|(raw, mangle, filter)| raw + &mangle + &filter)
}

#[derive(Clone, Debug)]
struct Sent {
    bytes: Vec<u8>,
    interface: &'static str,
    mark: u32,
    snapped: bool,
}

fn packet(words: &'static Words) -> impl Strategy<Value = Sent> {
    let ports = || select(&[22u16, 80, 85, 90, 1024, 40_000]);
    (
        (0usize..6, 0usize..6),
        0u8..12,
        (ports(), ports()),
        select(&[flags::SYN, flags::ACK, flags::SYN | flags::ACK, flags::RST]),
        0usize..24,
        select(&["eth0", "eth1", "wlan0"]),
        0u32..4,
    )
        .prop_map(
            move |((source, destination), kind, (from, to), bits, cut, interface, mark)| {
                let address =
                    |at: usize| -> IpAddr { words.addresses[at].parse().expect("address") };
                let mut ip = build::Ip::new(address(source), address(destination));
                let icmp = match words.family {
                    Family::V4 => [8, 3],
                    Family::V6 => [128, 1],
                };
                let header = build::Tcp {
                    source_port: from,
                    destination_port: to,
                    flags: bits,
                    options: if mark == 3 {
                        vec![2, 4, 2, 0]
                    } else {
                        Vec::new()
                    },
                    ..build::Tcp::default()
                };
                let protocols = [proto::TCP, proto::UDP, proto::SCTP, proto::ICMP, proto::GRE];
                let long = build::udp(&ip, from, to, &[7; 48]);
                let bytes = match kind {
                    0..4 => build::tcp(&ip, &header, b"x"),
                    4 | 5 => build::udp(&ip, from, to, b"x"),
                    6 => build::icmp(&ip, icmp[0], 0, [0; 4], b"x"),
                    7 => build::icmp(&ip, icmp[1], (cut % 3) as u8, [0; 4], b"x"),
                    8 => build::sctp(&ip, from, to, 1, &[1, 0, 0, 4]),
                    // Headers cut short, later fragments, extension headers that lead nowhere.
                    9 => build::raw(
                        &ip,
                        protocols[cut % 5],
                        &[0, 80, 0, 22, 1, 1, 1, 1, 1, 1, 1, 1][..cut / 2],
                    ),
                    10 => {
                        let pieces = build::fragments_at(&long, &[8, 24], u32::from(from));
                        pieces[cut % pieces.len()].clone()
                    }
                    _ => {
                        if words.family == Family::V6 {
                            ip.extensions =
                                vec![(proto::DSTOPTS, vec![0, (cut / 12) as u8, 1, 4, 0, 0, 0, 0])];
                        }
                        build::tcp(&ip, &header, b"")
                    }
                };
                Sent {
                    bytes,
                    interface,
                    mark: mark % 3,
                    snapped: cut == 23,
                }
            },
        )
}

pub(super) fn parsed(words: &Words, text: &str) -> Ruleset {
    let parsed = parse::save_file(text, words.family);
    let error = parsed.diagnostics.iter().find(|_| parsed.has_errors());
    assert!(error.is_none(), "{error:?}\n{text}");
    parsed.family(words.family).expect("rules").clone()
}

fn setup(words: &Words, rules: Ruleset, evaluator: Evaluator, reassembly: Reassembly) -> Setup {
    let interface = |name: &str| Interface {
        name: name.to_string(),
        ..Interface::default()
    };
    let mut host = Host::new([words.addresses[5].parse().expect("address")], []);
    host.interfaces = vec![interface("eth0"), interface("eth1")];
    let (rules4, rules6) = match words.family {
        Family::V4 => (Some(rules), None),
        Family::V6 => (None, Some(rules)),
    };
    Setup {
        rules4,
        rules6,
        host,
        reassembly,
        evaluator,
        ..Setup::default()
    }
}

/// An engine of rules in text.
pub(super) fn engine(
    words: &Words,
    text: &str,
    evaluator: Evaluator,
    reassembly: Reassembly,
) -> Engine {
    let setup = setup(words, parsed(words, text), evaluator, reassembly);
    Engine::new(setup).expect("rules that run")
}

/// An engine that begins with so many rules of each chain, and has the others appended.
fn appended(words: &Words, text: &str, reassembly: Reassembly, first: usize) -> Engine {
    let whole = parsed(words, text);
    let mut begin = whole.clone();
    for chain in begin.tables.iter_mut().flat_map(|t| &mut t.chains) {
        chain.rules.truncate(first);
    }
    let setup = setup(words, begin, Evaluator::Compiled, reassembly);
    let mut engine = Engine::new(setup).expect("rules that run");
    for table in &whole.tables {
        for chain in &table.chains {
            for rule in chain.rules.iter().skip(first) {
                engine
                    .append(words.family, table.kind, &chain.name, rule.clone())
                    .expect("a rule that runs");
            }
        }
    }
    assert_eq!(engine.source(words.family), Some(&whole));
    engine
}

/// Plays packets to both; whatever can be seen of them is the same after each.
fn play(words: &'static Words, text: &str, packets: &[Sent]) {
    let reassembly = match packets.len() % 2 {
        0 => Reassembly::Auto,
        _ => Reassembly::Never,
    };
    let mut linear = engine(words, text, Evaluator::Linear, reassembly);
    let mut compiled = match packets.len() % 3 {
        0 => appended(words, text, reassembly, packets.len()),
        _ => engine(words, text, Evaluator::Compiled, reassembly),
    };
    for (n, sent) in packets.iter().enumerate() {
        let input = Input {
            time: Timestamp::new(n as u64, 0),
            route: Route::In(sent.interface.into()),
            mark: sent.mark,
            snapped: sent.snapped,
            ..Input::new(&sent.bytes)
        };
        let expected = format!("{:?}", linear.process(&input, &mut ()));
        let found = format!("{:?}", compiled.process(&input, &mut ()));
        assert_eq!(found, expected, "packet {n}: {sent:?}\n{text}");
    }
    let counted = |engine: &Engine| {
        let ruleset = engine.ruleset(words.family);
        ruleset.map(|r| print::save(&r, true)).unwrap_or_default()
    };
    assert_eq!(counted(&compiled), counted(&linear));
    assert_eq!(compiled.visited(), linear.visited());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_of_ipv4_are_found_as_they_are_walked(
        text in ruleset(&FOUR),
        packets in vec(packet(&FOUR), 1..40),
    ) {
        play(&FOUR, &text, &packets);
    }

    #[test]
    fn rules_of_ipv6_are_found_as_they_are_walked(
        text in ruleset(&SIX),
        packets in vec(packet(&SIX), 1..40),
    ) {
        play(&SIX, &text, &packets);
    }
}
