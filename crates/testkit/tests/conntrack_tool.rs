//! `conntrack` of conntrack-tools and ours, over the same connections, held to the same bytes.
//!
//! Connections are made by the commands themselves (`-I`, `-A`, `-U`, `-D`), in the kernel's table of a network namespace
//! of the test's own and in ours. Every line is given to both; output, errors and exit code must be the same, but for
//! identifiers, seconds and the order of entries, which is chance in the kernel. Needs root and the `conntrack` program;
//! without them it says SKIPPED, which is a failure where `PALISADE_REQUIRE_KERNEL=1`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use palisade_conntrack::tool::{self, Answer, Desk};
use palisade_conntrack::{Config, Conntrack, Template, TrackHook};
use palisade_testkit::real::{apart, asked, say};
use palisade_wire::tcp::flags;
use palisade_wire::{Buffer, Packet, Timestamp, build};

/// Whether the program that ours is held to can be asked: other versions have other words.
fn there() -> bool {
    if !asked("THE REAL PROGRAMS WERE") {
        return false;
    }
    let version = ran("conntrack", &["--version"], "").output;
    if version != "conntrack v1.4.7 (conntrack-tools)\n" {
        say(&format!(
            "SKIPPED: ours is held to conntrack 1.4.7, here is {version:?}"
        ));
        return false;
    }
    true
}

/// What a program of this namespace said.
fn ran(program: &str, words: &[&str], input: &str) -> Answer {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // What is refused early is not read.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    Answer {
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().map_or(255, |code| code as u8),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::default() + since.expect("a clock")
}

/// The words of a line, as the shell would give them.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace()
        .map(|word| word.trim_matches('\''))
        .collect()
}

fn protocol(name: &str) -> Option<u8> {
    let known = palisade_rules::names::protocol_number;
    let named = !name.starts_with(|c: char| c.is_ascii_digit()) && name != "all";
    named.then(|| known(name)).flatten()
}

fn protocol_name(number: u8) -> Option<&'static str> {
    [(50, "esp"), (143, "ethernet")]
        .iter()
        .find(|(n, _)| *n == number)
        .map(|(_, name)| *name)
}

/// Text with what is chance taken out, and the seconds that stood there.
fn masked(text: &str) -> (Vec<String>, Vec<u64>) {
    let mut lines: Vec<(String, Vec<u64>)> = text
        .lines()
        .map(|line| {
            let (mut out, mut seconds, mut rest) = (String::new(), Vec::new(), line);
            // A plain line begins with the protocol and its number, before which the family may stand.
            let mut fields = line.split_whitespace();
            let mut first = fields.next();
            if matches!(first, Some("ipv4" | "ipv6")) {
                fields.next();
                first = fields.next();
            }
            let known = [
                "tcp", "udp", "udplite", "icmp", "icmpv6", "sctp", "gre", "unknown",
            ];
            let plain = first.is_some_and(|word| known.contains(&word));
            let timeout = if plain { fields.nth(1) } else { None };
            if let Some(timeout) = timeout
                && let Some(at) = line.find(&format!(" {timeout} "))
            {
                seconds.push(timeout.parse().unwrap_or(0));
                out += &line[..=at];
                out += "SECONDS";
                rest = &line[at + 1 + timeout.len()..];
            }
            // Elsewhere a name stands before them.
            'next: while !rest.is_empty() {
                for (name, chance) in [
                    ("<timeout>", false),
                    ("<deltatime>", false),
                    ("-A -t ", false),
                    ("-D -t ", false),
                    ("delta-time=", false),
                    ("<id>", true),
                    (" id=", true),
                ] {
                    if name == " id=" && out.contains(" type=") && !out.contains(" use=") {
                        // The identifier of an echo is no chance.
                        continue;
                    }
                    if let Some(after) = rest.strip_prefix(name) {
                        let digits = after
                            .find(|c: char| !c.is_ascii_digit())
                            .unwrap_or(after.len());
                        if !chance {
                            seconds.push(after[..digits].parse().unwrap_or(0));
                        }
                        out += name;
                        out += "N";
                        rest = &after[digits..];
                        continue 'next;
                    }
                }
                let mut chars = rest.chars();
                out.extend(chars.next());
                rest = chars.as_str();
            }
            (out, seconds)
        })
        .collect();
    // Only entries have no order.
    let (begin, end) = (
        lines
            .iter()
            .take_while(|(l, _)| l.starts_with("<?xml") || l.as_str() == "<conntrack>")
            .count(),
        lines
            .iter()
            .rev()
            .take_while(|(l, _)| l.starts_with("</"))
            .count(),
    );
    let until = lines.len() - end;
    if let Some(entries) = lines.get_mut(begin..until) {
        entries.sort();
    }
    let seconds = lines.iter().flat_map(|(_, s)| s.clone()).collect();
    (lines.into_iter().map(|(l, _)| l).collect(), seconds)
}

/// What is compared of an answer; of seconds a few may have passed between the two.
fn check_alike(line: &str, real: &Answer, ours: &Answer, faults: &mut Vec<String>) {
    let (a, seconds) = masked(&real.output);
    let (b, own_seconds) = masked(&ours.output);
    let near = seconds.len() == own_seconds.len()
        && seconds
            .iter()
            .zip(&own_seconds)
            .all(|(a, b)| a.abs_diff(*b) <= 3);
    if (a.clone(), &real.errors, real.code) != (b.clone(), &ours.errors, ours.code) || !near {
        let only = |of: &[String], not: &[String]| -> String {
            let lines = of.iter().filter(|l| !not.contains(l));
            lines.map(|l| format!("\n    {l}")).collect()
        };
        faults.push(format!(
            "conntrack {line}\n  real {} {}{}\n  ours {} {}{}",
            real.code,
            real.errors,
            only(&a, &b),
            ours.code,
            ours.errors,
            only(&b, &a),
        ));
    }
}

/// Both, side by side.
struct Pair {
    table: Conntrack,
    labels: std::collections::BTreeMap<String, u8>,
    faults: Vec<String>,
    lines: usize,
}

impl Pair {
    fn new(config: Config) -> Self {
        Pair {
            table: Conntrack::new(config),
            labels: Default::default(),
            faults: Vec::new(),
            lines: 0,
        }
    }

    fn ours(&mut self, line: &str, file: Option<&str>) -> Answer {
        let all: Vec<String> = ["conntrack"]
            .into_iter()
            .chain(words(line))
            .map(String::from)
            .collect();
        let desk = Desk {
            protocol,
            protocol_name,
            ..Desk::new(&self.labels)
        };
        tool::run(&all, file, &mut self.table, &desk, now())
    }

    /// A line of the file.
    fn say(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        self.lines += 1;
        let (mark, line) = match line.split_once(' ') {
            Some((mark @ ("!" | "~"), line)) => (mark, line),
            _ => ("", line),
        };
        let mut real = ran("conntrack", &words(line), "");
        let ours = self.ours(line, None);
        if mark == "~" {
            // What it shows is among what we show.
            let (shown, _) = masked(&ours.output);
            let (some, _) = masked(&real.output);
            if some.len() < shown.len() && some.iter().all(|l| shown.contains(l)) {
                real.output = ours.output.clone();
            }
        }
        let mut faults = Vec::new();
        check_alike(line, &real, &ours, &mut faults);
        if mark == "!" && faults.is_empty() {
            self.faults
                .push(format!("conntrack {line}\n  both: {real:?}"));
        } else if mark != "!" {
            self.faults.append(&mut faults);
        }
    }

    fn end(self, what: &str) {
        assert!(self.lines > 0, "nothing was compared");
        assert!(
            self.faults.is_empty(),
            "{} of {} lines differ:\n{}",
            self.faults.len(),
            self.lines,
            self.faults.join("\n")
        );
        say(&format!("{what}: {} lines alike", self.lines));
    }
}

#[test]
fn every_line_gets_the_same_answer() {
    if !there() {
        return;
    }
    apart(|| {
        let mut pair = Pair::new(Config::default());
        for line in include_str!("conntrack.lines").lines() {
            pair.say(line);
        }
        pair.end("conntrack");
    });
}

#[test]
fn a_file_of_commands_is_loaded_alike() {
    if !there() {
        return;
    }
    apart(|| {
        let mut pair = Pair::new(Config::default());
        let tuples = "-s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport";
        for text in [
            format!("# saved\n\n-A -t 300 {tuples} 2\n  -A -t 300 -u UNSET {tuples} 3\n"),
            format!("-A -t 300 {tuples} 2\n-U {tuples} 2 -m 5\n"),
            format!("-I -t 300 {tuples} 2\n-I -t 300 {tuples} 9\n"),
            format!("-D {tuples} 2\n-L\n"),
            String::from("-D -Q\n"),
            String::from("-A \"-t 300\"\n"),
            format!("-D {tuples} 2\n"),
            String::from("-F\n"),
        ] {
            let line = "-R -";
            let real = ran("conntrack", &words(line), &text);
            let ours = pair.ours(line, Some(&text));
            pair.lines += 1;
            check_alike(
                &format!("{line} < {text:?}"),
                &real,
                &ours,
                &mut pair.faults,
            );
            pair.say("-L");
        }
        pair.end("conntrack -R");
    });
}

/// The kernel's side of a conversation with an FTP server that announces a port, over its loopback.
struct Conversation {
    client: TcpStream,
    _server: TcpStream,
}

const ANNOUNCED: &[u8] = b"227 Entering Passive Mode (127,0,0,1,40,40)\r\n";

/// Rules by which the helper is assigned, as scripts of iptables would.
const RULES: &str = "table ip t {
 ct helper f { type \"ftp\" protocol tcp; }
 chain o { type filter hook output priority 0; tcp dport 2121 ct helper set \"f\"; }
}
";

impl Conversation {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:2121").expect("a port");
        let mut client = TcpStream::connect("127.0.0.1:2121").expect("a connection");
        let (mut server, _) = listener.accept().expect("a client");
        server.write_all(ANNOUNCED).expect("it goes");
        let mut read = [0; ANNOUNCED.len()];
        client.read_exact(&mut read).expect("it comes");
        Conversation {
            client,
            _server: server,
        }
    }

    /// The same in our table.
    fn replay(&self, table: &mut Conntrack) {
        let port = self.client.local_addr().expect("an address").port();
        let address = "127.0.0.1".parse().expect("an address");
        let ip = build::Ip::new(address, address);
        let segment = |from: u16, to: u16, seq, ack, flags, payload: &[u8]| {
            let tcp = build::Tcp {
                source_port: from,
                destination_port: to,
                seq,
                ack,
                flags,
                window: 65_000,
                ..build::Tcp::default()
            };
            build::tcp(&ip, &tcp, payload)
        };
        let template = Template {
            helper: Some("ftp"),
            ..Template::default()
        };
        let after = 901 + ANNOUNCED.len() as u32;
        for packet in [
            segment(port, 2121, 100, 0, flags::SYN, b""),
            segment(2121, port, 900, 101, flags::SYN | flags::ACK, b""),
            segment(port, 2121, 101, 901, flags::ACK, b""),
            segment(2121, port, 901, 101, flags::ACK | flags::PSH, ANNOUNCED),
            segment(port, 2121, 101, after, flags::ACK, b""),
        ] {
            let packet = Packet::parse(&packet).expect("a packet");
            let now = now();
            let mut track = table.track(&packet, TrackHook::Output, Some(&template), now);
            table.leave(&mut Buffer::new(packet, Vec::new()), &mut track, &(), now);
            table.discard(&track);
        }
    }
}

#[test]
fn what_a_helper_announced_is_shown_alike() {
    if !there() {
        return;
    }
    apart(|| {
        for (name, value) in [("ip", "link set lo up"), ("nft", "-f -")] {
            let answer = ran(name, &words(value), RULES);
            assert_eq!(answer.code, 0, "{}", answer.errors);
        }
        let timestamp = "/proc/sys/net/netfilter/nf_conntrack_timestamp";
        std::fs::write(timestamp, "1").expect("a setting");
        let conversation = Conversation::new();
        let mut pair = Pair::new(Config {
            timestamp: 1,
            ..Config::default()
        });
        conversation.replay(&mut pair.table);
        let (from, port) = ("127.0.0.1", 40 * 256 + 40);
        let expected = format!(
            "expect -s {from} -d {from} -p tcp --sport 5 --dport {port} --reply-port-src 1 --reply-port-dst 1"
        );
        for line in [
            "-L",
            "-L -o extended",
            "-L -o xml",
            "-L expect",
            "-L expect -o xml",
            "-L expect -f ipv6",
            "-L expect -o id",
            "-C expect",
            "-C",
            &format!("-G {expected}"),
            &format!("-D {expected}"),
            &format!("-D {expected}"),
            &format!("-G {expected}"),
            "-L expect",
            "-F expect",
        ] {
            pair.say(line);
        }
        pair.end("conntrack with a helper");
    });
}
