//! One packet's line in a trace.

use palisade_engine::rules::{Rule, TableKind, Target};
use palisade_engine::{Observer, Outcome, RuleRef, Visit};
use palisade_wire::{Packet, Timestamp, icmp::Icmp, proto, tcp::Tcp, udp::Udp};

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedRule {
    /// Table.
    pub table: TableKind,
    /// Chain.
    pub chain: String,
    /// Number from 1.
    pub rule: u32,
    /// Source line.
    pub line: u32,
    /// Target's name; empty for none.
    pub target: String,
}

/// Collects the rules that matched.
#[derive(Clone, Debug, Default)]
pub struct Matched {
    /// In order.
    pub rules: Vec<MatchedRule>,
}

impl Observer for Matched {
    fn visit(&mut self, rule: RuleRef<'_>, visit: Visit) {
        if matches!(visit, Visit::Matched | Visit::MatchedThenDrop) {
            self.rules.push(MatchedRule {
                table: rule.table,
                chain: rule.chain.to_string(),
                rule: rule.number,
                line: rule.rule.position.line,
                target: target_name(rule.rule),
            });
        }
    }
}

/// The target's name as the rule has it.
pub(crate) fn target_name(rule: &Rule) -> String {
    match &rule.target {
        Target::None => String::new(),
        Target::Accept => "ACCEPT".into(),
        Target::Drop => "DROP".into(),
        Target::Return => "RETURN".into(),
        Target::Jump(_) => "jump".into(),
        Target::Goto(_) => "goto".into(),
        other => other.extension().map_or("", |e| e.name).into(),
    }
}

/// What the transport header says, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Ports.
    Ports(u16, u16),
    /// Type and code.
    Icmp(u8, u8),
    /// Neither.
    None,
}

/// One packet: what it is, and what became of it.
#[derive(Clone, Debug)]
pub struct TraceRecord {
    /// Frame number, from 1, as Wireshark counts.
    pub n: u64,
    /// When, as the capture says.
    pub time: Timestamp,
    /// IP protocol number; `None` when the frame is no IP packet.
    pub protocol: Option<u8>,
    /// Source address.
    pub source: Option<std::net::IpAddr>,
    /// Destination address.
    pub destination: Option<std::net::IpAddr>,
    /// Ports, or ICMP type and code.
    pub transport: Transport,
    /// TCP flags.
    pub tcp_flags: Option<u8>,
    /// IP length in bytes.
    pub length: usize,
    /// What the link layer carried, when it is no IP packet.
    pub not_ip: Option<String>,
    /// What became of it; `None` when it is no IP packet.
    pub outcome: Option<Outcome>,
    /// Rules that matched.
    pub rules: Vec<MatchedRule>,
}

impl TraceRecord {
    /// A record of an IP packet.
    pub fn new(
        n: u64,
        time: Timestamp,
        bytes: &[u8],
        outcome: Outcome,
        rules: Vec<MatchedRule>,
    ) -> Self {
        let mut record = TraceRecord {
            n,
            time,
            protocol: None,
            source: None,
            destination: None,
            transport: Transport::None,
            tcp_flags: None,
            length: bytes.len(),
            not_ip: None,
            outcome: None,
            rules,
        };
        let whole = outcome.reassembled.as_deref().unwrap_or(bytes);
        if let Ok(packet) = Packet::parse_truncated(whole) {
            record.protocol = Some(packet.protocol());
            record.source = Some(packet.source());
            record.destination = Some(packet.destination());
            record.length = packet.declared_len();
            (record.transport, record.tcp_flags) = transport(&packet);
        }
        record.outcome = Some(outcome);
        record
    }

    /// A frame that is no IP packet.
    pub fn not_ip(n: u64, time: Timestamp, length: usize, what: String) -> Self {
        TraceRecord {
            n,
            time,
            protocol: None,
            source: None,
            destination: None,
            transport: Transport::None,
            tcp_flags: None,
            length,
            not_ip: Some(what),
            outcome: None,
            rules: Vec::new(),
        }
    }
}

fn transport(packet: &Packet<'_>) -> (Transport, Option<u8>) {
    if packet.is_later_fragment() {
        return (Transport::None, None);
    }
    let bytes = packet.transport();
    match packet.protocol() {
        proto::TCP => match Tcp::new(bytes) {
            Some(t) => (
                Transport::Ports(t.source_port(), t.destination_port()),
                Some(t.flags()),
            ),
            None => (Transport::None, None),
        },
        proto::UDP | proto::UDPLITE => match Udp::new(bytes) {
            Some(u) => (
                Transport::Ports(u.source_port(), u.destination_port()),
                None,
            ),
            None => (Transport::None, None),
        },
        proto::SCTP | proto::DCCP => match bytes.first_chunk::<4>() {
            Some(&[a, b, c, d]) => (
                Transport::Ports(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
                None,
            ),
            None => (Transport::None, None),
        },
        proto::ICMP | proto::ICMPV6 => match Icmp::new(bytes) {
            Some(i) => (Transport::Icmp(i.kind(), i.code()), None),
            None => (Transport::None, None),
        },
        _ => (Transport::None, None),
    }
}
