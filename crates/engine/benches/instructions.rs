//! Instructions a packet, counted by callgrind and held against `instructions.toml`: they differ by what was changed
//! and not by what else the machine does, so that a regression can fail a build.
//!
//!     cargo bench -p palisade-engine --bench instructions
//!
//! `PALISADE_WRITE_CEILINGS=1` writes what it found. Where valgrind is missing nothing is counted, and it says so.

mod flows;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use palisade_engine::{Arrival, Bridge, Engine, Host, Port, Route, Setup, Verdict, rules};
use palisade_wire::{Timestamp, tcp::flags};

/// Connections that the packets belong to.
const FLOWS: u32 = 4096;

/// Packets that are counted: of each flow the same number.
const PACKETS: u32 = 4 * FLOWS;

/// What may be more than the ceiling before it is a regression: 5 per cent.
const TOLERANCE: f64 = 1.05;

/// What a packet is.
#[derive(Clone, Copy)]
enum Work {
    /// Of an established flow; of TCP data and acknowledgements in turn.
    Established { tcp: bool },
    /// The first of a connection.
    New { tcp: bool },
}

const CASES: [(&str, Work); 4] = [
    ("established-udp", Work::Established { tcp: false }),
    ("established-tcp", Work::Established { tcp: true }),
    ("new-udp", Work::New { tcp: false }),
    ("new-tcp", Work::New { tcp: true }),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, case, packets] = arguments.as_slice()
        && word == "counted"
    {
        let work = CASES.iter().find(|(name, _)| name == case).expect("a case");
        counted(work.1, packets.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: valgrind is not here, no instructions were counted");
        return ExitCode::SUCCESS;
    }
    compare()
}

/// Does the work with so many of the packets. All are made whatever their number, so that two runs differ by the
/// engine's work alone.
fn counted(work: Work, packets: u32) {
    let (mut engine, ports) = firewall();
    let mut now = Timestamp::new(1_700_000_000, 0);
    let mut measured: Vec<flows::Packet> = match work {
        Work::Established { tcp } => {
            let mut opening = flows::opening(FLOWS, tcp);
            let accepted = send(&mut engine, ports, &mut opening, &mut now);
            assert_eq!(accepted, opening.len(), "connections are open");
            now = now + std::time::Duration::from_secs(3);
            let following = |n| following(n, FLOWS, tcp);
            // The first of each finds its connection not yet assured.
            let mut warm: Vec<_> = (0..2 * FLOWS).map(following).collect();
            send(&mut engine, ports, &mut warm, &mut now);
            (2 * FLOWS..2 * FLOWS + PACKETS).map(following).collect()
        }
        Work::New { tcp } => {
            let mut all = flows::opening(PACKETS, tcp);
            all.truncate(PACKETS as usize);
            all
        }
    };
    let measured = &mut measured[..packets as usize];
    let before = engine.conntrack().len();
    let accepted = send(&mut engine, ports, measured, &mut now);
    assert_eq!(accepted, measured.len(), "all pass");
    let inserted = engine.conntrack().len() - before;
    match work {
        Work::Established { .. } => assert_eq!(inserted, 0, "connections were known"),
        Work::New { .. } => assert_eq!(inserted, measured.len(), "connections are new"),
    }
    // Taking it apart would be counted too, and costs more the more connections there are.
    std::mem::forget(engine);
}

const RULES: &str = "*filter
:INPUT DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p tcp -m multiport --dports 80,443 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -p udp -m udp --dport 51820 -j ACCEPT
-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
";

/// A firewall with ports to and from the network.
fn firewall() -> (Engine, [Port; 2]) {
    let parsed = rules::parse::save_file(RULES, rules::Family::V4);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let setup = Setup {
        rules4: parsed.v4,
        host: Host::new([flows::SERVER], []),
        ..Setup::default()
    };
    let mut engine = Engine::new(setup).expect("an engine");
    let ports = [Route::In("eth0".into()), Route::Out("eth0".into())]
        .map(|route| engine.port(route, Bridge::default()));
    (engine, ports)
}

/// Packet number `n` of those that follow, to the flows in turn: datagrams to the host; data to the host and its
/// acknowledgement in turn.
fn following(n: u32, flows: u32, tcp: bool) -> flows::Packet {
    let (flow, round) = (n % flows, n / flows);
    if !tcp {
        return flows::datagram(flow, false);
    }
    let data = flags::PSH | flags::ACK;
    match round % 2 {
        0 => flows::segment(flow, false, data, [round / 2 * 10, 0], 10),
        _ => flows::segment(flow, true, flags::ACK, [(round / 2 + 1) * 10, 0], 0),
    }
}

/// Sends packets in batches of 32, a microsecond each; how many were accepted.
fn send(
    engine: &mut Engine,
    ports: [Port; 2],
    packets: &mut [flows::Packet],
    now: &mut Timestamp,
) -> usize {
    let mut accepted = 0;
    let mut batch = Vec::with_capacity(32);
    let mut rest = packets.iter_mut();
    loop {
        let next = rest.by_ref().take(32);
        batch.extend(next.map(|(bytes, out)| Arrival::new(bytes, ports[usize::from(*out)])));
        if batch.is_empty() {
            return accepted;
        }
        *now = *now + std::time::Duration::from_micros(batch.len() as u64);
        engine.process_batch(&mut batch, *now);
        let passed = |a: &Arrival<'_>| a.judged.verdict == Verdict::Accept;
        accepted += batch.iter().filter(|a| passed(a)).count();
        batch.clear();
    }
}

/// Counts every case and holds it against its ceiling.
fn compare() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml");
    let text = std::fs::read_to_string(&path).expect("benches/instructions.toml");
    let ceilings: BTreeMap<String, u64> = toml::from_str(&text).expect("names and numbers");
    let mut over = false;
    let mut written = String::new();
    for line in text.lines().filter(|l| l.starts_with('#')) {
        written += &format!("{line}\n");
    }
    for (name, _) in CASES {
        let packets = f64::from(PACKETS);
        let found = (instructions(name, PACKETS) - instructions(name, 0)) as f64 / packets;
        written += &format!("{name} = {:.0}\n", found);
        let Some(ceiling) = ceilings.get(name).map(|n| *n as f64) else {
            println!(
                "{name}: {found:.0} instructions a packet, and no ceiling in instructions.toml"
            );
            over = true;
            continue;
        };
        let share = found / ceiling;
        let verdict = match share {
            s if s > TOLERANCE => "TOO MANY",
            s if s < 2.0 - TOLERANCE => "fewer: lower the ceiling (PALISADE_WRITE_CEILINGS=1)",
            _ => "ok",
        };
        over |= share > TOLERANCE;
        let change = (share - 1.0) * 100.0;
        println!(
            "{name}: {found:.0} instructions a packet, ceiling {ceiling:.0} ({change:+.1} %): {verdict}"
        );
    }
    if std::env::var_os("PALISADE_WRITE_CEILINGS").is_some() {
        std::fs::write(&path, written).expect("benches/instructions.toml");
        return ExitCode::SUCCESS;
    }
    match over {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Instructions of a whole run with so many packets.
fn instructions(case: &str, packets: u32) -> i64 {
    let own = std::env::current_exe().expect("this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["counted", case, &packets.to_string()])
        .output()
        .expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let total = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let total = total.and_then(|(_, number)| number.trim().parse().ok());
    total.unwrap_or_else(|| panic!("callgrind's total: {said}"))
}
