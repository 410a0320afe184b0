//! The whole engine: rules, settings and packets by chance, and what must hold after each packet.
//!
//! The input's first bytes choose rules and settings, the rest is read as a list of doings: a packet built
//! from a few words, a helper's payload bent somewhere, a packet that quotes, cuts, changes or answers the last
//! one, bytes as they are, a jump in time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_capture::script::{Prepared, RulesFamily, RulesSource, parse};
use palisade_conntrack::{Reason, State, TimeoutPolicy};
use palisade_engine::{Engine, Input, Reassembly, Setup, Verdict};
use palisade_rules::Family;
use palisade_wire::{Packet, Timestamp, build, proto};

use super::holds::{bounded, consistent};
use super::payloads::PAYLOADS;
use crate::generate;

/// Packets of one input at most.
pub(super) const PACKETS: usize = 160;

/// Longest packet that is made here; bytes as they are may be longer.
pub(super) const LONGEST: usize = 1500;

/// Head of the raw table as the generator writes it; rules that assign helpers go behind it.
const RAW: &str = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n";

/// Rules for IPv4 that the generator does not make: all helpers, policies, labels.
const RULES4: &str = "\
-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp
-A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp
-A PREROUTING -p tcp -m tcp --dport 6667 -j CT --helper irc
-A PREROUTING -p udp -m udp --dport 5060 -j CT --helper sip
-A PREROUTING -p tcp -m tcp --dport 5060 -j CT --helper sip
-A PREROUTING -p udp -m udp --dport 10080 -j CT --helper amanda
-A PREROUTING -p tcp -m tcp --dport 1723 -j CT --helper pptp
-A PREROUTING -p udp -m udp --dport 1719 -j CT --helper RAS
-A PREROUTING -p tcp -m tcp --dport 1720 -j CT --helper Q.931
-A PREROUTING -p udp -m udp --dport 137 -j CT --helper netbios-ns
-A PREROUTING -p udp -m udp --dport 161 -j CT --helper snmp
-A PREROUTING -p tcp -m tcp --dport 6566 -j CT --helper sane
-A PREROUTING -p tcp -m tcp --dport 80 -j CT --timeout web
-A PREROUTING -p sctp -j CT --timeout assoc --zone 3
-A PREROUTING -m limit --limit 1/sec --limit-burst 2 -m recent --set --name seen --rsource
";

/// The same for IPv6, where some helpers are not.
const RULES6: &str = "\
-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp
-A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp
-A PREROUTING -p udp -m udp --dport 5060 -j CT --helper sip
-A PREROUTING -p tcp -m tcp --dport 5060 -j CT --helper sip
-A PREROUTING -p udp -m udp --dport 10080 -j CT --helper amanda
-A PREROUTING -p udp -m udp --dport 1719 -j CT --helper RAS
-A PREROUTING -p tcp -m tcp --dport 1720 -j CT --helper Q.931
-A PREROUTING -p tcp -m tcp --dport 6566 -j CT --helper sane
-A PREROUTING -m recent --update --seconds 60 --hitcount 3 --name seen --rsource
";

/// Rules in front of the generator's mangle table.
const MANGLE: &str = "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:marks - [0:0]\n";
const LABELS: &str =
    "-A PREROUTING -m connlabel --label \"3\" --set -m connlabel ! --label \"127\"\n";

/// What makes helpers rewrite, and answers.
const MASQUERADE: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -p tcp -m tcp --dport 80 -j REJECT --reject-with tcp-reset\n-A FORWARD -p udp -m udp --dport 7 -j REJECT\n-A INPUT -p tcp -m tcp --dport 80 -j REJECT\nCOMMIT\n";

/// Ports that mean something to the rules.
const PORTS: [u16; 16] = [
    21, 69, 80, 53, 6667, 5060, 10080, 1723, 1719, 1720, 137, 161, 6566, 2121, 7, 40_000,
];

/// Bytes that decide; zeros behind their end.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Rulesets by chance: few enough to be kept when they have been made once.
const SEEDS: u16 = 64;

thread_local! {
    /// Rules, host and settings by seed and kind: to make them takes longer than to run them.
    static MADE: RefCell<HashMap<(u16, u8), Prepared>> = RefCell::new(HashMap::new());
}

/// Rules, host and settings of a seed: as the generator makes them (kind 0), rules that assign helpers and
/// nothing else (1), these with MASQUERADE and REJECT (2), or all together (3).
fn prepared(seed: u16, kind: u8) -> Prepared {
    let text = generate::script(seed.into(), 0, &[]).text;
    let (script, _) = parse(&text);
    let mut prepared = Prepared {
        host: script.host(),
        ..Prepared::default()
    };
    for rules in &script.rules {
        let RulesSource::Inline { text, .. } = &rules.source else {
            continue;
        };
        let more = match rules.family {
            RulesFamily::ByText => RULES4,
            RulesFamily::V6 => RULES6,
        };
        let text = match kind {
            0 => text.clone(),
            1 => format!("{RAW}{more}COMMIT\n"),
            2 => format!("{RAW}{more}COMMIT\n{MASQUERADE}"),
            _ => text.replacen(RAW, &format!("{RAW}{more}"), 1).replacen(
                MANGLE,
                &format!("{MANGLE}{LABELS}"),
                1,
            ),
        };
        let parsed = prepared.add_rules(&text, rules.family);
        assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
    }
    for sysctl in &script.sysctls {
        let _ = prepared.conntrack.set(&sysctl.name, &sysctl.value);
    }
    prepared
}

/// The engine that the first bytes choose, if its rules can run.
fn engine_of(source: &mut Source<'_>) -> Option<Engine> {
    let (seed, kind) = (source.word() % SEEDS, source.byte());
    let mut prepared = MADE.with_borrow_mut(|made| {
        let known = made.entry((seed, kind & 3));
        known.or_insert_with(|| prepared(seed, kind & 3)).clone()
    });
    let config = &mut prepared.conntrack;
    let few = |yes: bool, small, large| if yes { small } else { large };
    config.buckets = few(kind & 4 == 0, 16, 1);
    config.max = few(kind & 8 == 0, 64, 4);
    config.expect_max = few(kind & 16 == 0, 16, 2);
    if kind & 32 != 0 {
        (config.ipfrag_low_thresh, config.ipfrag_high_thresh) = (0, 2000);
        (config.frag6_low_thresh, config.frag6_high_thresh) = (0, 2000);
    }
    for (name, protocol, state) in [("web", "tcp", "established"), ("assoc", "sctp", "closed")] {
        let mut policy = TimeoutPolicy::new(name, Family::V4, protocol).ok()?;
        policy.set(state, "7").ok()?;
        config.add_policy(policy).ok()?;
    }
    let reassembly = match kind >> 6 {
        0 => Reassembly::Auto,
        1 => Reassembly::Never,
        _ => Reassembly::Always,
    };
    let mut engine = Engine::new(Setup {
        evaluator: palisade_engine::Evaluator::default(),
        rules4: prepared.rules4,
        rules6: prepared.rules6,
        host: prepared.host,
        conntrack: prepared.conntrack,
        reassembly,
        ipsets: prepared.ipsets,
    })
    .ok()?;
    engine.set_explain(kind & 2 != 0);
    Some(engine)
}

/// Who may speak: clients and servers on both sides, the firewall, nobody, everybody.
fn address(six: bool, which: usize) -> IpAddr {
    let four: [[u8; 4]; 8] = [
        [10, 1, 0, 2],
        [10, 2, 0, 2],
        [10, 1, 0, 77],
        [198, 51, 100, 7],
        [10, 1, 0, 1],
        [10, 2, 0, 1],
        [255, 255, 255, 255],
        [127, 0, 0, 1],
    ];
    let long: [[u16; 8]; 8] = [
        [0xfd00, 1, 0, 0, 0, 0, 0, 2],
        [0xfd00, 2, 0, 0, 0, 0, 0, 2],
        [0xfd00, 1, 0, 0, 0, 0, 0, 0x77],
        [0xfd00, 0x99, 0, 0, 0, 0, 0, 7],
        [0xfd00, 1, 0, 0, 0, 0, 0, 1],
        [0xfd00, 2, 0, 0, 0, 0, 0, 1],
        [0xff02, 0, 0, 0, 0, 0, 0, 1],
        [0xfe80, 0, 0, 0, 0, 0, 0, 1],
    ];
    if six {
        IpAddr::V6(Ipv6Addr::from(long[which % 8]))
    } else {
        IpAddr::V4(Ipv4Addr::from(four[which % 8]))
    }
}

/// A flow: two ends, and how far both have sent.
struct Flow {
    ends: [(IpAddr, u16); 2],
    seq: [u32; 2],
    /// How its packets leave, translated or not: what the other end answers.
    left: Option<[(IpAddr, u16); 2]>,
}

impl Flow {
    /// Eight flows of each family: told apart by their number alone, so that packets meet.
    fn new(number: usize, port: usize) -> Flow {
        let six = number & 8 != 0;
        let (from, to) = match number & 3 {
            0 => (0, 1),
            1 => (1, 0),
            2 => (0, 5),
            _ => (4, 3),
        };
        Flow {
            ends: [
                (address(six, from), 40_000 + (number & 7) as u16),
                (address(six, to), PORTS[port % PORTS.len()]),
            ],
            seq: [1000, 9000],
            left: None,
        }
    }

    /// Sender and receiver.
    fn way(&self, back: bool) -> [(IpAddr, u16); 2] {
        let [from, to] = self.left.filter(|_| back).unwrap_or(self.ends);
        if back { [to, from] } else { [from, to] }
    }

    fn ip(&self, back: bool) -> build::Ip {
        let [from, to] = self.way(back);
        build::Ip::new(from.0, to.0)
    }

    fn tcp(&mut self, back: bool, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [from, to] = self.way(back);
        let (a, b) = (usize::from(back), usize::from(!back));
        let header = build::Tcp {
            source_port: from.1,
            destination_port: to.1,
            seq: self.seq[a],
            ack: self.seq[b],
            flags,
            window: 64_240,
            ..build::Tcp::default()
        };
        let counted = u32::from(flags & 2 != 0) + u32::from(flags & 1 != 0);
        self.seq[a] = self.seq[a].wrapping_add(payload.len() as u32 + counted);
        build::tcp(&self.ip(back), &header, payload)
    }

    fn udp(&self, back: bool, payload: &[u8]) -> Vec<u8> {
        let [from, to] = self.way(back);
        build::udp(&self.ip(back), from.1, to.1, payload)
    }

    /// Its packet left so.
    fn follow(&mut self, bytes: &[u8]) {
        let Ok(packet) = Packet::parse(bytes) else {
            return;
        };
        let ports = [0, 2].map(|at| word(packet.transport(), at));
        self.left = Some([
            (packet.source(), ports[0]),
            (packet.destination(), ports[1]),
        ]);
    }
}

/// Two bytes; 0 where there are none.
fn word(bytes: &[u8], at: usize) -> u16 {
    let two = bytes.get(at..).and_then(|b| b.first_chunk());
    two.map_or(0, |two| u16::from_be_bytes(*two))
}

/// Everything in motion.
struct Play<'a> {
    source: Source<'a>,
    engine: Engine,
    now: Timestamp,
    flows: Vec<Flow>,
    /// The last packet as it came, and as it left.
    last: [Vec<u8>; 2],
    reached: Reached,
}

/// How often an input came how far.
#[derive(Clone, Copy, Default, Debug)]
struct Reached {
    packets: usize,
    announced: usize,
    related: usize,
    invalid: usize,
    answered: usize,
    changed: usize,
    held: usize,
}

/// The whole engine.
pub fn engine(bytes: &[u8]) {
    play(bytes);
}

fn play(bytes: &[u8]) -> Reached {
    let mut source = Source(bytes);
    let Some(engine) = engine_of(&mut source) else {
        return Reached::default();
    };
    let flows = (0..16)
        .map(|n| Flow::new(n, source.below(PORTS.len())))
        .collect();
    let mut play = Play {
        source,
        engine,
        now: Timestamp::new(1_000_000, 0),
        flows,
        last: [Vec::new(), Vec::new()],
        reached: Reached::default(),
    };
    while !play.source.0.is_empty() && play.reached.packets < PACKETS {
        play.step();
    }
    // Nothing stays for ever: the longest timeout there can be is below this.
    play.now = play.now + std::time::Duration::from_secs(10_000_000);
    play.engine.expire(play.now);
    let table = play.engine.conntrack();
    assert!(table.is_empty(), "{} connections stay", table.len());
    assert_eq!(table.expectations().count(), 0, "expectations stay");
    play.reached
}

impl Play<'_> {
    fn step(&mut self) {
        let doing = self.source.byte();
        let number = self.source.below(16);
        let back = doing & 0x80 != 0;
        let six = number & 8 != 0;
        match doing & 15 {
            0 => {
                let count = usize::from(self.source.word()) % 4096;
                let bytes = self.source.take(count).to_vec();
                self.send(bytes);
            }
            1 => {
                let flags = self.source.byte();
                let count = self.source.below(256);
                let payload = self.source.take(count);
                let packet = self.flow(number).tcp(back, flags, payload);
                self.say(number, back, packet);
            }
            2 => {
                for (back, flags) in [(false, 2), (true, 0x12), (false, 0x10)] {
                    let packet = self.flow(number).tcp(back, flags, &[]);
                    self.say(number, back, packet);
                }
            }
            3 => {
                let count = self.source.below(256);
                let payload = self.source.take(count);
                let packet = self.flow(number).udp(back, payload);
                self.say(number, back, packet);
            }
            4 | 5 => {
                // What a helper reads, bent in some places.
                let which = self.source.below(PAYLOADS.len());
                let (tcp, payload) = PAYLOADS[which];
                let mut payload = payload.to_vec();
                self.bend(&mut payload);
                let flow = self.flow(number);
                let packet = if tcp {
                    flow.tcp(back, 0x18, &payload)
                } else {
                    flow.udp(back, &payload)
                };
                self.say(number, back, packet);
            }
            6 => {
                // An error about the last packet, as it came or as it left.
                let kind = self.source.byte();
                let quoted = &self.last[usize::from(kind & 1)];
                let count = usize::from(self.source.byte()).min(quoted.len());
                let mut quoted = quoted[..count].to_vec();
                if kind & 2 != 0 {
                    self.bend(&mut quoted);
                }
                let (kind, code) = (kind >> 2, self.source.byte() & 15);
                let to = Packet::parse_truncated(&quoted).map_or(address(six, 0), |p| p.source());
                let from = address(to.is_ipv6(), number);
                let ip = build::Ip::new(from, to);
                self.send(build::icmp(&ip, kind, code, [0; 4], &quoted));
            }
            7 => {
                let kind = self.source.byte();
                let rest = [0, 7, self.source.byte(), self.source.byte()];
                let ip = self.flow(number).ip(back);
                self.send(build::icmp(&ip, kind, 0, rest, b"ping"));
            }
            8 => {
                let tag = u32::from(self.source.byte());
                let count = self.source.below(128);
                let chunks = self.source.take(count);
                let flow = self.flow(number);
                let [from, to] = flow.way(back);
                let packet = build::sctp(&flow.ip(back), from.1, to.1, tag, chunks);
                self.say(number, back, packet);
            }
            9 => {
                let protocol = match self.source.byte() {
                    0..=127 => proto::GRE,
                    128..=160 => proto::UDPLITE,
                    other => other,
                };
                let count = self.source.below(64);
                let payload = self.source.take(count);
                let ip = self.flow(number).ip(back);
                self.send(build::raw(&ip, protocol, payload));
            }
            10 => {
                // The last packet in pieces, in any order, some twice and some not at all.
                let size = 8 + self.source.below(32) * 8;
                let id = u32::from(self.source.byte() & 3);
                let pieces = build::fragments(&self.last[0], size, id);
                for _ in 0..pieces.len().min(12) {
                    let at = self.source.below(pieces.len());
                    self.send(pieces[at].clone());
                }
            }
            11 => {
                let mut packet = self.last[usize::from(back)].clone();
                self.bend(&mut packet);
                self.send(packet);
            }
            12 => {
                let seconds = 1u64 << self.source.below(24);
                self.now = self.now + std::time::Duration::from_secs(seconds);
                if back {
                    self.engine.expire(self.now);
                }
            }
            13 => self.answer(),
            14 => {
                // Anybody to anybody.
                let (from, to) = (self.source.below(8), self.source.below(8));
                let ports = [self.source.word(), self.source.word()];
                let ip = build::Ip::new(address(six, from), address(six, to));
                self.send(build::udp(&ip, ports[0], ports[1], b"anybody"));
            }
            _ if back => self.fulfil(),
            _ => {
                // A flow begins anew, towards another port.
                let port = self.source.below(PORTS.len());
                let fresh = Flow::new(number, port);
                *self.flow(number) = fresh;
            }
        }
    }

    fn flow(&mut self, number: usize) -> &mut Flow {
        let count = self.flows.len();
        &mut self.flows[number % count]
    }

    /// A flow's packet.
    fn say(&mut self, number: usize, back: bool, packet: Vec<u8>) {
        self.send(packet);
        if !back {
            let left = self.last[1].clone();
            self.flow(number).follow(&left);
        }
    }

    /// Somebody sends what the newest expectation waits for.
    fn fulfil(&mut self) {
        let Some(awaited) = self.engine.conntrack().expectations().last() else {
            return;
        };
        let from = awaited.source.map(|(address, _)| address);
        let from = from.unwrap_or(address(awaited.destination.is_ipv6(), 1));
        let port = awaited.source_port.unwrap_or(3000);
        let ip = build::Ip::new(from, awaited.destination);
        let packet = match awaited.protocol {
            proto::TCP => {
                let header = build::Tcp {
                    source_port: port,
                    destination_port: awaited.destination_port,
                    flags: 2,
                    window: 1000,
                    ..build::Tcp::default()
                };
                build::tcp(&ip, &header, &[])
            }
            proto::UDP => build::udp(&ip, port, awaited.destination_port, b"awaited"),
            other => build::raw(&ip, other, &self.last[0]),
        };
        self.send(packet);
    }

    /// Changes, inserts and takes away a few bytes.
    fn bend(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.source.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = usize::from(self.source.word()) % bytes.len();
            let how = self.source.byte();
            match how & 3 {
                0 => bytes[at] = self.source.byte(),
                1 => bytes[at] ^= 1 << (how >> 5),
                2 => {
                    let count = usize::from(how >> 2);
                    let more = self.source.take(count).to_vec();
                    bytes.splice(at..at, more);
                }
                _ => bytes.truncate(at),
            }
        }
        bytes.truncate(LONGEST);
    }

    /// The last packet's answer, as it left: addresses and ports turned round.
    fn answer(&mut self) {
        let count = self.source.below(200);
        let payload = self.source.take(count).to_vec();
        let Ok(packet) = Packet::parse(&self.last[1]) else {
            return;
        };
        let ip = build::Ip::new(packet.destination(), packet.source());
        let transport = packet.transport();
        let word = |at| word(transport, at);
        let answer = match packet.protocol() {
            proto::TCP => {
                let four = |at| u32::from(word(at)) << 16 | u32::from(word(at + 2));
                let syn = transport.get(13).is_some_and(|f| f & 2 != 0);
                let header = build::Tcp {
                    source_port: word(2),
                    destination_port: word(0),
                    seq: if syn { 9000 } else { four(8) },
                    ack: four(4).wrapping_add(u32::from(syn)),
                    flags: if syn { 0x12 } else { 0x18 },
                    window: 5000,
                    ..build::Tcp::default()
                };
                build::tcp(&ip, &header, &payload)
            }
            proto::UDP => build::udp(&ip, word(2), word(0), &payload),
            other => build::raw(&ip, other, transport),
        };
        self.send(answer);
    }

    /// A packet through the engine, and what must hold of it.
    fn send(&mut self, mut packet: Vec<u8>) {
        packet.truncate(usize::from(u16::MAX));
        self.now = self.now + std::time::Duration::from_millis(10);
        let input = Input {
            time: self.now,
            ..Input::new(&packet)
        };
        let outcome = self.engine.process(&input, &mut ());
        consistent(&outcome);
        bounded(&self.engine);
        let reached = &mut self.reached;
        reached.packets += 1;
        reached.announced += usize::from(outcome.why.announced.is_some());
        reached.related += usize::from(matches!(
            outcome.why.state,
            Some(Reason::RelatedByHelper { .. })
        ));
        reached.invalid += usize::from(outcome.state == Some(State::Invalid));
        reached.answered += usize::from(outcome.reply.is_some());
        reached.changed += usize::from(outcome.output.is_some());
        reached.held += usize::from(outcome.verdict == Verdict::Stolen);
        self.last[1] = outcome.output.unwrap_or_else(|| packet.clone());
        self.last[0] = packet;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_of_the_corpus_reach_what_the_target_is_for() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/engine");
        let mut sum = Reached::default();
        for entry in std::fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            let one = play(&std::fs::read(&path).unwrap());
            println!("{}: {one:?}", path.display());
            sum.announced += one.announced;
            sum.related += one.related;
            sum.invalid += one.invalid;
            sum.answered += one.answered;
            sum.changed += one.changed;
            sum.held += one.held;
        }
        for count in [
            sum.announced,
            sum.related,
            sum.invalid,
            sum.answered,
            sum.changed,
            sum.held,
        ] {
            assert!(count > 0, "{sum:?}");
        }
    }
}
