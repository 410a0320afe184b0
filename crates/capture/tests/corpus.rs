//! Public captures: the state of every packet against the one that the Linux kernel recorded.
//!
//! The recordings give every packet to a router at once: nothing expires, all packets come in by one
//! interface, all helpers of the kernel are assigned. Ours are those that are evaluated today, so RELATED
//! by another helper is NEW here. The corpus is not part of the project; without it the test says so and
//! passes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use palisade_capture::pcap;
use palisade_engine::conntrack::Config;
use palisade_engine::rules::{Family, parse};
use palisade_engine::{Ended, Engine, Host, Input, Interface, Outcome, Reassembly, Route, Setup};
use palisade_wire::{Packet, Timestamp, build, link};

/// Protocol, port, helper, and whether it is for IPv6 too.
const HELPERS: &[(&str, u16, &str, bool)] = &[
    ("tcp", 21, "ftp", true),
    ("udp", 69, "tftp", true),
    ("tcp", 6667, "irc", false),
    ("udp", 10_080, "amanda", true),
    ("udp", 137, "netbios-ns", false),
    ("udp", 161, "snmp", false),
    ("tcp", 6566, "sane", true),
    ("tcp", 1723, "pptp", false),
    ("udp", 5060, "sip", true),
    ("tcp", 5060, "sip", true),
    ("tcp", 1720, "Q.931", true),
    ("udp", 1719, "RAS", true),
];

fn rules() -> String {
    let rule = |tool: &str, (protocol, port, name, _): &(&str, u16, &str, bool)| {
        format!("{tool} -t raw -A PREROUTING -p {protocol} --dport {port} -j CT --helper {name}\n")
    };
    let v4 = HELPERS.iter().map(|h| rule("iptables", h));
    let v6 = HELPERS.iter().filter(|h| h.3).map(|h| rule("ip6tables", h));
    v4.chain(v6).collect()
}

fn engine() -> Engine {
    let rules = parse::auto(&rules(), Family::V4);
    let mut conntrack = Config::default();
    conntrack
        .set("nf_conntrack_checksum", "0")
        .expect("a sysctl");
    let everything = Interface {
        name: "tun0".into(),
        addresses: Vec::new(),
        prefixes: vec![([0u8; 4].into(), 0), ([0u8; 16].into(), 0)],
        ..Interface::default()
    };
    let mut host = Host::new([], [everything]);
    host.route_localnet = true;
    Engine::new(Setup {
        rules4: rules.v4,
        rules6: rules.v6,
        host,
        conntrack,
        reassembly: Reassembly::Always,
        ..Setup::default()
    })
    .expect("rules that run")
}

/// Our word for a packet, in the recording's terms.
fn word(outcome: &Outcome) -> String {
    match (&outcome.why.ended, outcome.state) {
        (_, Some(state)) => state.name().to_string(),
        (
            Ended::Fragment | Ended::FragmentFault(_) | Ended::NotIp(_) | Ended::HeaderChecksum,
            None,
        ) => "none".into(),
        (_, None) => "none".into(),
    }
}

#[test]
fn states_are_those_the_kernel_recorded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/pcaps");
    let Ok(index) = std::fs::read_to_string(root.join("index.json")) else {
        eprintln!("SKIPPED: no corpus of captures beside the project");
        return;
    };
    let index: serde_json::Value = serde_json::from_str(&index).expect("index.json");
    let (mut same, mut total) = (0u64, 0u64);
    let mut kinds: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for entry in index["pcaps"].as_array().expect("pcaps") {
        let file = entry["file"].as_str().expect("file");
        let Some(truth) = entry["kernel_conntrack"].as_str() else {
            continue;
        };
        let truth = std::fs::read_to_string(root.join(truth)).expect("recording");
        let truth: serde_json::Value = serde_json::from_str(&truth).expect("recording");
        let truth = truth["checksum_off"].as_array().expect("states").clone();
        let mut engine = engine();
        let (mut reader, _) = pcap::open(&root.join(file)).expect(file);
        while let Some(frame) = reader.next_frame().expect(file) {
            let n = frame.number;
            let recorded = truth[(n - 1) as usize].as_str().unwrap_or("-");
            let recorded = recorded.split('(').next().unwrap_or(recorded).to_string();
            let decoded = link::decode(frame.link, frame.data).filter(|d| d.is_ip());
            let ours = match &decoded {
                None => "-".to_string(),
                Some(decoded) => {
                    // As it was when it was recorded: what a capture cut short came cut short, and no
                    // packet died of its time to live.
                    let mut bytes = decoded.network.to_vec();
                    if Packet::parse_truncated(&bytes).is_ok_and(|p| p.ttl() <= 1) {
                        build::set_ttl(&mut bytes, 64);
                    }
                    word(&engine.process(
                        &Input {
                            time: Timestamp(1_000_000_000_000 + n * 1000),
                            route: Route::Forward(Arc::from("tun0"), Arc::from("tun0")),
                            ..Input::new(&bytes)
                        },
                        &mut (),
                    ))
                }
            };
            total += 1;
            if ours == recorded {
                same += 1;
            } else {
                let group = file.split('/').next().unwrap_or(file).to_string();
                *kinds.entry((group, recorded, ours)).or_default() += 1;
                if std::env::var_os("PALISADE_VERBOSE").is_some() {
                    eprintln!("{file} {n}");
                }
            }
        }
    }
    let share = same as f64 / total as f64;
    println!(
        "{total} packets, {same} with the kernel's state: {:.2} %",
        share * 100.0
    );
    for ((group, kernel, ours), count) in &kinds {
        println!("  {group}: kernel {kernel}, ours {ours}: {count}");
    }
    assert_eq!(
        same, total,
        "see above; PALISADE_VERBOSE=1 names the packets"
    );
}
