//! What rules remember when they are replaced, as the kernel has it: the same rules loaded, one appended, and loaded
//! again, with packets in between, in the kernel by either iptables and in the engine.

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use palisade_engine::rules::{Family, Ruleset, TableKind, parse};
use palisade_engine::{Counting, Engine, Exchange, Input, Memory, Replacement, Route, Setup};
use palisade_testkit::kernel::Tools;
use palisade_testkit::real::{apart, asked};
use palisade_wire::{Timestamp, build};

/// A port that nobody listens to.
const PORT: u16 = 9;

/// Packets after each of the three steps.
const PACKETS: [usize; 3] = [3, 2, 2];

const RULES: [&str; 6] = [
    "-A OUTPUT -p udp -m limit --limit 1/hour --limit-burst 3 -j ACCEPT",
    "-A OUTPUT -p udp -m quota --quota 130 -j ACCEPT",
    "-A OUTPUT -p udp -m statistic --mode nth --every 5 --packet 0 -j ACCEPT",
    "-A OUTPUT -p udp -m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 1 --hashlimit-mode dstip --hashlimit-name h -j ACCEPT",
    "-A OUTPUT -p udp -m recent --name r --rcheck --hitcount 4 -j ACCEPT\n-A OUTPUT -p udp -m recent --name r --set",
    "-A OUTPUT -p udp -m connlimit --connlimit-upto 2 -j ACCEPT",
];

const MORE: &str = "-A OUTPUT -p tcp -j ACCEPT";

fn file(rules: &str) -> String {
    format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}\nCOMMIT\n"
    )
}

fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Packets that the first rule of OUTPUT counted.
fn first(ruleset: &Ruleset) -> u64 {
    let filter = ruleset.table(TableKind::Filter).expect("a filter");
    let output = filter.chains.iter().find(|c| c.name == "OUTPUT");
    output.expect("the chain").rules[0].counters.packets
}

fn parsed(text: &str) -> Ruleset {
    let parsed = parse::auto(text, Family::V4);
    parsed.v4.expect("rules")
}

/// What the kernel counts after each step.
fn kernel(rules: &str, tools: Tools) -> Vec<u64> {
    let program = |what: &str| format!("iptables-{}{what}", tools.name());
    run("ip", &["link", "set", "lo", "up"], "");
    let mut sent = 0;
    let steps: [&dyn Fn(); 3] = [
        &|| drop(run(&program("-restore"), &[], &file(rules))),
        &|| {
            let arguments: Vec<&str> = MORE.split(' ').collect();
            run(&program(""), &arguments, "");
        },
        &|| drop(run(&program("-restore"), &[], &file(rules))),
    ];
    let mut counted = Vec::new();
    for (step, packets) in steps.iter().zip(PACKETS) {
        step();
        for _ in 0..packets {
            sent += 1;
            let socket = UdpSocket::bind(("127.0.0.1", 20_000 + sent)).expect("a socket");
            socket.send_to(b"data", ("127.0.0.1", PORT)).expect("sent");
        }
        counted.push(first(&parsed(&run(&program("-save"), &["-c"], ""))));
    }
    counted
}

/// What the engine counts.
fn engine(rules: &str, tools: Tools) -> Vec<u64> {
    let ruleset = parsed(&file(rules));
    let mut engine = Engine::new(Setup {
        rules4: Some(ruleset.clone()),
        ..Setup::default()
    })
    .expect("an engine");
    let mut more = ruleset.clone();
    let filter = &mut more.tables[0];
    let added = parsed(&file(MORE)).tables.remove(0).chains.remove(2).rules;
    filter.chains[2].rules.extend(added);
    let mut sent = 0;
    let mut counted = Vec::new();
    for (step, packets) in PACKETS.into_iter().enumerate() {
        let (rules, memory) = match step {
            0 => (None, Memory::Kept),
            // What iptables -A does to the rules before it.
            1 if tools == Tools::Legacy => (Some(&more), Memory::Fresh),
            1 => (Some(&more), Memory::Kept),
            _ => (Some(&ruleset), Memory::Fresh),
        };
        if let Some(rules) = rules {
            let replacement = Replacement {
                rules4: Exchange::For(Some(rules.clone())),
                counting: if step == 1 {
                    Counting::Kept
                } else {
                    Counting::Given
                },
                memory,
                ..Replacement::default()
            };
            engine.replace(replacement).expect("rules");
        }
        for _ in 0..packets {
            sent += 1;
            let ip = build::Ip::new([127, 0, 0, 1].into(), [127, 0, 0, 1].into());
            let bytes = build::udp(&ip, 20_000 + sent, PORT, b"data");
            let input = Input {
                time: Timestamp::new(1, u32::from(sent)),
                route: Route::Out("lo".into()),
                ..Input::new(&bytes)
            };
            engine.process(&input, &mut ());
        }
        counted.push(first(&engine.ruleset(Family::V4).expect("rules")));
    }
    counted
}

#[test]
fn what_stays_when_rules_are_replaced() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    for tools in [Tools::Legacy, Tools::Nft] {
        for rules in RULES {
            let theirs = apart(|| kernel(rules, tools));
            assert_eq!(engine(rules, tools), theirs, "{} {rules}", tools.name());
        }
    }
}
