//! Packet scripts by chance: what nobody thought of writing.
//!
//! A script is text in the packet script language, so that a difference it shows can be kept as a
//! scenario by hand. The same seed gives the same script.

use std::fmt::Write;

/// A small generator (xorshift); the same numbers everywhere.
#[derive(Clone, Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len())).copied().unwrap_or("")
    }
}

const FIREWALL: &str = "\
interface lan0 10.1.0.1/24 fd00:1::1/64
interface wan0 10.2.0.1/24 fd00:2::1/64
host client 10.1.0.2 fd00:1::2
host server 10.2.0.2 fd00:2::2
host inside 10.1.0.1 fd00:1::1
host outside 10.2.0.1 fd00:2::1
";

const STATES: [&str; 6] = [
    "-m conntrack --ctstate INVALID",
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate ESTABLISHED",
    "-m conntrack --ctstate RELATED",
    "-m conntrack --ctstate UNTRACKED",
    "-m state --state NEW,RELATED",
];

/// Matches for either family.
const MATCHES: [&str; 28] = [
    "",
    "-p tcp",
    "-p udp",
    "-p tcp --dport 80",
    "-p tcp --sport 1024:",
    "-p tcp ! --dport 20:22",
    "-p udp --dport 53",
    "-p tcp --syn",
    "-p tcp ! --syn",
    "-p tcp --tcp-flags ALL NONE",
    "-p tcp --tcp-flags SYN,FIN SYN,FIN",
    "-p tcp --tcp-flags ACK,RST RST",
    "-p tcp --tcp-option 8",
    "-p tcp -m multiport --dports 21,80:81",
    "-p udp -m multiport ! --ports 53,5000",
    "-i lan0",
    "! -i lan0",
    "-m conntrack --ctdir REPLY",
    "-m conntrack --ctdir ORIGINAL --ctproto tcp",
    "-m conntrack --ctstatus ASSURED",
    "-m conntrack --ctstatus NONE",
    "-m conntrack ! --ctstatus SEEN_REPLY",
    "-m conntrack --ctorigdstport 80",
    "-m conntrack ! --ctproto udp",
    "-m length --length 40:60",
    "-m length ! --length :100",
    "-m mark --mark 0x1/0x1",
    "-m mark ! --mark 0x2",
];

const TARGETS: [&str; 8] = [
    "-j ACCEPT",
    "-j DROP",
    "-j REJECT",
    "-j RETURN",
    "-j own",
    "-g own",
    "",
    "",
];

/// A script of `packets` lines.
pub fn script(seed: u64, packets: usize) -> String {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut text = format!("# By chance, seed {seed}.\n{FIREWALL}");
    for (name, values) in [
        ("nf_conntrack_tcp_loose", ["0", "1"]),
        ("nf_conntrack_tcp_be_liberal", ["0", "1"]),
        ("nf_conntrack_tcp_ignore_invalid_rst", ["0", "1"]),
        ("nf_conntrack_checksum", ["1", "0"]),
    ] {
        if chance.one_in(4) {
            let _ = writeln!(text, "sysctl {name}={}", chance.pick(&values));
        }
    }
    rules(&mut chance, &mut text);
    for number in 1..=packets {
        let six = chance.one_in(5);
        let line = match chance.below(16) {
            0..=9 => tcp(&mut chance),
            10..=11 => udp(&mut chance),
            12 => other(&mut chance),
            _ => icmp(&mut chance, number, six),
        };
        let _ = writeln!(text, "p{number}: {line}{}", if six { " ip6" } else { "" });
    }
    text
}

fn rules(chance: &mut Chance, text: &mut String) {
    *text += "rules {\n";
    for tool in ["iptables", "ip6tables"] {
        let _ = writeln!(text, "{tool} -N own");
        for chain in ["FORWARD", "INPUT", "OUTPUT"] {
            for state in STATES {
                let _ = writeln!(text, "{tool} -t mangle -A {chain} {state}");
            }
            if chance.one_in(4) {
                let _ = writeln!(text, "{tool} -P {chain} DROP");
            }
        }
        for _ in 0..chance.below(3) {
            let (matches, mark) = (chance.pick(&MATCHES[..17]), chance.pick(&["1", "2", "3"]));
            let _ = writeln!(
                text,
                "{tool} -t mangle -A PREROUTING {matches} -j MARK --set-mark {mark}"
            );
        }
        if chance.one_in(6) {
            let _ = writeln!(
                text,
                "{tool} -t raw -A PREROUTING -p udp --dport 53 -j CT --notrack"
            );
        }
        for _ in 0..4 + chance.below(8) {
            let chain = chance.pick(&["FORWARD", "FORWARD", "INPUT", "OUTPUT", "own"]);
            let mut matches = chance.pick(&MATCHES).to_owned();
            if chance.one_in(3) {
                matches += " ";
                matches += chance.pick(&STATES);
            }
            let mut target = chance.pick(&TARGETS).to_owned();
            // A chain that calls itself, or an input interface of what is sent from here, is refused.
            if chain == "own" && target.ends_with("own") {
                target = "-j ACCEPT".to_owned();
            }
            if chain == "OUTPUT" {
                matches = matches.replace("-i lan0", "-o lan0");
            }
            if target == "-j REJECT" && matches.starts_with("-p tcp") && chance.one_in(2) {
                target += " --reject-with tcp-reset";
            }
            let _ = writeln!(text, "{tool} -A {chain} {matches} {target}");
        }
    }
    *text += "}\n";
}

/// Two ends, with ports, mostly in the direction that began.
fn ends(chance: &mut Chance, client_ports: &[&str], server_ports: &[&str]) -> String {
    let server = chance.pick(&["server", "server", "server", "outside", "inside"]);
    let port = |port: &str| {
        if port.is_empty() {
            String::new()
        } else {
            format!(":{port}")
        }
    };
    let a = format!("client{}", port(chance.pick(client_ports)));
    let b = format!("{server}{}", port(chance.pick(server_ports)));
    if chance.one_in(3) {
        format!("{b} > {a}")
    } else {
        format!("{a} > {b}")
    }
}

fn tcp(chance: &mut Chance) -> String {
    let ends = ends(chance, &["40000", "40000", "40001"], &["80", "80", "21"]);
    let flags = chance.pick(&[
        "S", "S", "SA", "SA", "A", "A", "A", "PA", "PA", "FA", "FA", "R", "RA", "F", "none", "SF",
        "SP", "P", "U", "AU", "SAE", "SR",
    ]);
    let mut line = format!("{ends} tcp {flags}");
    const OFFSETS: [&str; 12] = [
        "+1", "-1", "+100", "-100", "+1000", "-1000", "+64240", "+64241", "+70000", "-64240",
        "-70000", "+3000000",
    ];
    for field in ["seq", "ack"] {
        if chance.one_in(4) {
            let _ = write!(line, " {field} {}", chance.pick(&OFFSETS));
        }
    }
    if chance.one_in(4) {
        let _ = write!(
            line,
            " win {}",
            chance.pick(&["0", "1", "1000", "8192", "65535"])
        );
    }
    if flags.starts_with('S') && chance.one_in(2) {
        let options = [
            "mss=1460,wscale=7,sackok",
            "wscale=15",
            "mss=536",
            "ts=1:0,wscale=2",
            "sackok",
        ];
        let _ = write!(line, " opt {}", chance.pick(&options));
    }
    if flags.contains('P') || chance.one_in(8) {
        let _ = write!(line, " len {}", chance.pick(&["1", "100", "1400"]));
    }
    if chance.one_in(30) {
        line += " badsum";
    }
    line
}

fn udp(chance: &mut Chance) -> String {
    let ends = ends(chance, &["5000", "5001"], &["53", "53", "7"]);
    let mut line = format!("{ends} udp");
    if chance.one_in(6) {
        line += " len 2000 fragments 2";
        if chance.one_in(3) {
            line += chance.pick(&[" order 2,1", " order 1", " order 1,2,2"]);
        }
    } else {
        let _ = write!(line, " len {}", chance.pick(&["0", "1", "30", "500"]));
        if chance.one_in(10) {
            line += chance.pick(&[" badsum", " nosum", " ttl 1", " ttl 2"]);
        }
    }
    line
}

fn other(chance: &mut Chance) -> String {
    let ends = ends(chance, &[""], &[""]);
    let payload = chance.pick(&["hex:00", "hex:0000000000000000", "hex:00000800", "len 40"]);
    let protocol = chance.pick(&["50", "89", "4", "253", "6", "17"]);
    format!("{ends} proto {protocol} {payload}")
}

fn icmp(chance: &mut Chance, number: usize, six: bool) -> String {
    let ends = ends(chance, &[""], &[""]);
    if number == 1 || chance.one_in(2) {
        let kind = chance.pick(&["echo-request", "echo-request", "echo-reply"]);
        let (id, sequence) = (chance.below(2), chance.below(3));
        return format!("{ends} icmp {kind} id {id} seq {sequence}");
    }
    let v4 = [
        "port-unreachable",
        "time-exceeded",
        "fragmentation-needed mtu 1400",
        "type 12",
        "type 4",
        "type 5 code 1",
    ];
    let v6 = [
        "port-unreachable",
        "time-exceeded",
        "packet-too-big mtu 1280",
        "type 4",
        "type 100",
    ];
    let kind = if six {
        chance.pick(&v6)
    } else {
        chance.pick(&v4)
    };
    // The packet quoted is one of the last few: older ones are mostly forgotten.
    let quoted = number - 1 - chance.below((number - 1).min(6));
    let bytes = chance.pick(&["", "", " bytes 28", " bytes 24"]);
    format!("{ends} icmp {kind} quoting p{quoted}{bytes}")
}
