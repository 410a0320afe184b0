//! The parsed script: plain data, in the order written.
//!
//! Nothing here knows the engine or the kernel. Whoever runs a script builds
//! the firewall from [`Firewall`], [`Sysctl`] and [`Rules`], and plays each
//! [`Test`] with [`super::Player`].

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use palisade_engine::conntrack::TimeoutPolicy;

use super::expect::{Check, Expectation};
use super::link::Link;

/// A place in the script's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset behind the last byte.
    pub end: usize,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A whole script.
#[derive(Clone, PartialEq, Debug)]
pub struct Script {
    /// The machine whose rules are tested.
    pub firewall: Firewall,
    /// Names for addresses, in the order declared.
    pub hosts: Vec<HostName>,
    /// Kernel settings, in the order written.
    pub sysctls: Vec<Sysctl>,
    /// Timeout policies, in the order written.
    pub timeouts: Vec<Timeout>,
    /// Rules, in the order written; several blocks of one family replace each other table by table,
    /// as several calls of `iptables-restore` would.
    pub rules: Vec<Rules>,
    /// Sets (ipset), in the order written; each text goes on with what the one before made.
    pub ipsets: Vec<Ipset>,
    /// How far the clock moves between two packets.
    pub tick: Duration,
    /// Whether a real kernel can run this.
    pub kernel: KernelUse,
    /// The tests. At least one; a script without a `test` line is one test without a title.
    pub tests: Vec<Test>,
}

/// MTU of a script's interfaces where nothing is said: packets are judged, not cut.
pub const MTU: u32 = 65_521;

/// The machine whose rules are tested.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Firewall {
    /// Its interfaces, `lo` not included.
    pub interfaces: Vec<Interface>,
    /// Routes beyond the interfaces' own prefixes.
    pub routes: Vec<Route>,
    /// Further local addresses.
    pub local: Vec<IpAddr>,
    /// What has one of these marks (value and mask) is delivered here, wherever it goes.
    pub local_marks: Vec<(u32, u32)>,
    /// Sockets of the firewall itself.
    pub sockets: Vec<SocketLine>,
    /// No program listens to any queue.
    pub no_queues: bool,
}

/// A socket of the firewall itself: `socket tcp 0.0.0.0:3128 transparent`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketLine {
    /// TCP or UDP.
    pub protocol: u8,
    /// What it is bound to.
    pub local: SocketAddr,
    /// What it is connected to; a TCP socket that is not listens.
    pub remote: Option<SocketAddr>,
    /// May be bound to addresses of others.
    pub transparent: bool,
    /// Mark.
    pub mark: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Where it was declared.
    pub span: Span,
}

impl Firewall {
    /// Whether `address` belongs to the firewall itself (127/8 and ::1 included).
    pub fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || self.local.contains(&address)
            || self
                .interfaces
                .iter()
                .any(|i| i.addresses.iter().any(|p| p.address == address))
    }

    /// The interface behind which `address` lies: longest prefix of interface addresses and routes.
    pub fn interface_towards(&self, address: IpAddr) -> Option<&str> {
        let connected = self.interfaces.iter().flat_map(|i| {
            i.addresses
                .iter()
                .map(move |prefix| (prefix, i.name.as_str()))
        });
        let routed = self.routes.iter().map(|r| (&r.to, r.interface.as_str()));
        connected
            .chain(routed)
            .filter(|(prefix, _)| prefix.contains(address))
            .max_by_key(|(prefix, _)| prefix.length)
            .map(|(_, name)| name)
    }
}

/// One interface of the firewall.
#[derive(Clone, PartialEq, Debug)]
pub struct Interface {
    /// Name, as `-i` and `-o` see it.
    pub name: String,
    /// Own addresses with the length of the network they are in.
    pub addresses: Vec<Prefix>,
    /// Own hardware address, when the script gives one.
    pub mac: Option<[u8; 6]>,
    /// Group, as `-m devgroup` sees it.
    pub group: u32,
    /// Largest IP packet that it sends, in bytes; [`MTU`] if not said.
    pub mtu: Option<u32>,
    /// Where it was declared.
    pub span: Span,
}

/// An address with a prefix length. For a route the network, for an interface its own address in the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    /// The address, host bits kept.
    pub address: IpAddr,
    /// Leading bits that name the network: 0 to 32, or 0 to 128.
    pub length: u8,
}

impl Prefix {
    /// Whether `address` is of the same family and in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(a)) => {
                let shift = 32u32.saturating_sub(u32::from(self.length));
                let cut = |x: u32| x.checked_shr(shift).unwrap_or(0);
                cut(net.to_bits()) == cut(a.to_bits())
            }
            (IpAddr::V6(net), IpAddr::V6(a)) => {
                let shift = 128u32.saturating_sub(u32::from(self.length));
                let cut = |x: u128| x.checked_shr(shift).unwrap_or(0);
                cut(net.to_bits()) == cut(a.to_bits())
            }
            _ => false,
        }
    }
}

/// A route beyond the connected networks.
#[derive(Clone, PartialEq, Debug)]
pub struct Route {
    /// The destination network.
    pub to: Prefix,
    /// The interface that leads there.
    pub interface: String,
    /// Its realm.
    pub realm: u16,
    /// Where it was declared.
    pub span: Span,
}

/// A name for one address, or for one of each family.
#[derive(Clone, PartialEq, Debug)]
pub struct HostName {
    /// The name.
    pub name: String,
    /// Its IPv4 address.
    pub v4: Option<IpAddr>,
    /// Its IPv6 address.
    pub v6: Option<IpAddr>,
    /// Where it was declared.
    pub span: Span,
}

/// A kernel setting: `sysctl nf_conntrack_tcp_loose=0`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sysctl {
    /// Name as written: full, or without `net.netfilter.`.
    pub name: String,
    /// Value as written.
    pub value: String,
    /// Where it was written.
    pub span: Span,
}

/// A timeout policy: `timeout web tcp established=100`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timeout {
    /// The policy.
    pub policy: TimeoutPolicy,
    /// Where it was written.
    pub span: Span,
}

/// Which family a rules statement is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RulesFamily {
    /// `rules`: save files are `iptables`'; commands say their family themselves.
    ByText,
    /// `rules6`: save files are `ip6tables`'.
    V6,
}

/// A rules statement.
#[derive(Clone, PartialEq, Debug)]
pub struct Rules {
    /// For which family.
    pub family: RulesFamily,
    /// Where they are.
    pub source: RulesSource,
    /// Where the statement was written.
    pub span: Span,
}

/// An `ipset` statement: sets in the language of `ipset restore`.
#[derive(Clone, PartialEq, Debug)]
pub struct Ipset {
    /// Where they are.
    pub source: RulesSource,
    /// Where the statement was written.
    pub span: Span,
}

/// Where rules are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RulesSource {
    /// `rules FILE`: a path, relative to the script's own directory.
    File(String),
    /// `rules { … }`: the text between the braces.
    Inline {
        /// The lines, as written.
        text: String,
        /// Lines of the script before the text: add it to a line in `text` to get the script's.
        lines_before: u32,
    },
}

/// Whether a real kernel can run the script.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum KernelUse {
    /// Yes.
    #[default]
    Yes,
    /// `virtual-time only`: it waits too long.
    VirtualTimeOnly,
    /// `kernel skip "reason"`.
    Skip(String),
}

/// A test: starts with a fresh firewall (no connections, counters at zero, time zero).
#[derive(Clone, PartialEq, Debug)]
pub struct Test {
    /// What it shows; `None` for a script without `test` lines.
    pub title: Option<String>,
    /// Where it begins.
    pub span: Span,
    /// Packets of earlier tests in the same file, so that packet numbers run through the file.
    pub packets_before: u64,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One statement that makes something happen.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Its place: the whole statement.
    pub span: Span,
    /// What happens.
    pub action: Action,
    /// What should come of its packets.
    pub expectations: Vec<Expectation>,
}

/// What a step does.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// One packet, or a shorthand for several.
    Send(Box<Send>),
    /// `+100s`: time passes. The next packet comes exactly that long after the one before.
    Advance(Duration),
    /// `at 12.5s`: time passes until so long after the test's start.
    Until(Duration),
    /// A look at the firewall: counters, connections.
    Check(Check),
    /// `repeat N { … }`.
    Repeat {
        /// How often; 1 to [`super::MAX_REPEAT`].
        count: u32,
        /// What.
        steps: Vec<Step>,
    },
}

/// A number that may grow with the round of a `repeat`: `40000+i`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// The number in the first round.
    pub base: u32,
    /// Whether the round (from 0) is added.
    pub plus_round: bool,
}

impl Counted {
    /// A plain number.
    pub fn fixed(base: u32) -> Self {
        Counted {
            base,
            plus_round: false,
        }
    }

    /// The value in `round`, counted from 0.
    pub fn at(self, round: u32) -> u32 {
        if self.plus_round {
            self.base.saturating_add(round)
        } else {
            self.base
        }
    }
}

/// One end of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Address, in the packet's family.
    pub address: IpAddr,
    /// Whether the round of the `repeat` is added to the address: `client+i`.
    pub address_plus_round: bool,
    /// Port, where the protocol has ports.
    pub port: Option<Counted>,
}

/// A packet line.
#[derive(Clone, PartialEq, Debug)]
pub struct Send {
    /// Label, for later reference.
    pub label: Option<String>,
    /// Sender.
    pub from: Endpoint,
    /// Receiver.
    pub to: Endpoint,
    /// `answer LABEL`: addresses, and ports where there are any, are those of that packet as it left,
    /// turned round. [`Send::from`] and [`Send::to`] are the ends as that line was written, turned.
    pub answers: Option<Answered>,
    /// What is sent.
    pub what: What,
    /// Header fields of IP.
    pub ip: IpFields,
    /// How it reaches the firewall.
    pub link: Link,
    /// What is broken on purpose.
    pub damage: Damage,
    /// Sent, counted in the flow's sequence numbers, but never seen by the firewall.
    pub lost: bool,
    /// Cut into fragments.
    pub fragments: Option<Fragments>,
    /// Place of the sender.
    pub from_span: Span,
    /// Place of the receiver.
    pub to_span: Span,
}

/// The packet that an `answer` line answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Which one; the last of its line that went the line's own way and left.
    pub packet: Reference,
    /// Place of the reference.
    pub span: Span,
}

/// What a packet line sends.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A TCP segment.
    Tcp(TcpSpec),
    /// A UDP datagram.
    Udp {
        /// Payload.
        payload: Payload,
        /// Checksum field zero.
        no_checksum: bool,
    },
    /// An SCTP packet.
    Sctp(SctpSpec),
    /// An ICMP or ICMPv6 message, by the addresses' family.
    Icmp(IcmpSpec),
    /// Any protocol: `proto 47 hex:…`.
    Raw {
        /// IP protocol number.
        protocol: u8,
        /// What follows the IP header.
        payload: Payload,
    },
    /// SYN, SYN/ACK, ACK.
    Handshake {
        /// TCP options of SYN and SYN/ACK.
        options: Vec<u8>,
        /// Window of all three.
        window: u16,
    },
    /// FIN/ACK, FIN/ACK, ACK, begun by the sender.
    Close,
    /// Echo request and its reply.
    Ping {
        /// Identifier.
        id: Counted,
        /// Sequence number.
        sequence: Counted,
    },
    /// A DNS query and its answer, over UDP.
    Dns {
        /// The name asked for.
        name: String,
        /// 1 for A, 28 for AAAA.
        record: u16,
        /// The answer's address, when given.
        answer: Option<IpAddr>,
    },
}

/// A sequence or acknowledgement number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Number {
    /// What the flow is at.
    #[default]
    Follow,
    /// `seq 1000`.
    Exactly(u32),
    /// `seq +1000`, `ack -1`: relative to what the flow is at.
    Relative(i64),
}

/// A TCP segment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TcpSpec {
    /// Flag bits, see `palisade_wire::tcp::flags`.
    pub flags: u8,
    /// Sequence number.
    pub seq: Number,
    /// Acknowledgement number.
    pub ack: Number,
    /// Window field; 64240 unless given.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Vec<TcpOption>,
    /// Payload.
    pub payload: Payload,
}

/// A TCP option as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TcpOption {
    /// Bytes that need no flow.
    Bytes(Vec<u8>),
    /// SACK blocks: offsets are absolute sequence numbers, or relative to what the receiver is at.
    Sack(Vec<(Number, Number)>),
    /// A time stamp that echoes the other side's last one, plus so much.
    Echo(u32, i32),
}

/// An SCTP packet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SctpSpec {
    /// Verification tag.
    pub tag: Number,
    /// Chunks in order.
    pub chunks: Vec<SctpChunk>,
}

/// A chunk of an SCTP packet as written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SctpChunk {
    /// Type; `None` for bytes that are put there as they are.
    pub kind: Option<u8>,
    /// Initiate tag of INIT and INIT ACK.
    pub init_tag: Number,
    /// Flags, where they are not the usual ones of the type.
    pub flags: Option<u8>,
    /// Length field, where it is not the true length.
    pub length: Option<u16>,
    /// What follows the fixed part of the type.
    pub payload: Payload,
}

/// An ICMP or ICMPv6 message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IcmpSpec {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Bytes 4 to 7.
    pub rest: IcmpRest,
    /// The packet quoted by an error.
    pub quote: Option<Quote>,
    /// What follows (after the quote, if there is one).
    pub payload: Payload,
}

/// Bytes 4 to 7 of an ICMP message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpRest {
    /// A query's identifier and sequence number.
    Query {
        /// Identifier.
        id: Counted,
        /// Sequence number.
        sequence: Counted,
    },
    /// Anything else.
    Bytes([u8; 4]),
    /// Identifier and sequence number of the packet that is answered.
    Answered,
}

/// Which packet an ICMP error quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The packet.
    pub packet: Reference,
    /// `quoting left PACKET`: as it left the firewall rather than as it was sent.
    pub left: bool,
    /// Bytes of it that are quoted; as many as the RFC allows unless given.
    pub bytes: Option<u16>,
    /// Place of the reference.
    pub span: Span,
}

/// A packet sent earlier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reference {
    /// By its label. With a number, that packet of a line that sends several (from 1); without, its last.
    Label(String, Option<u32>),
    /// By its number in the test, from 1, packets marked `lost` not counted.
    Number(u64),
    /// The one before (a `lost` one too).
    Previous,
}

/// Payload parts, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payload {
    /// Bytes written as text or hex.
    pub bytes: Vec<u8>,
    /// Total length to fill up to with a pattern.
    pub length: Option<Counted>,
}

impl Payload {
    /// The bytes in `round` of a `repeat`, counted from 0.
    pub fn in_round(&self, round: u32) -> Vec<u8> {
        let mut out = self.bytes.clone();
        if let Some(length) = self.length {
            let length = length.at(round).min(super::MAX_PAYLOAD) as usize;
            let from = out.len();
            // A pattern that shows at which offset one looks.
            out.extend((from..length).map(|i| b'a' + (i % 26) as u8));
        }
        out
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.length.is_none()
    }
}

/// Header fields of IP. `None`: as the builder has them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IpFields {
    /// TTL or hop limit.
    pub ttl: Option<u8>,
    /// Type of service or traffic class.
    pub tos: Option<u8>,
    /// Identification.
    pub id: Option<Counted>,
    /// Don't fragment.
    pub dont_fragment: bool,
    /// IPv4 options; at most 40 bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers: number and bytes, whose first is filled in.
    pub extensions: Vec<(u8, Vec<u8>)>,
}

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Damage {
    /// Wrong transport checksum.
    pub bad_checksum: bool,
    /// Wrong IPv4 header checksum.
    pub bad_header_checksum: bool,
    /// Only so many bytes of the packet arrive (from the IP header on).
    pub truncate: Option<u16>,
}

/// How a packet is cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fragments {
    /// Where.
    pub cut: Cut,
    /// Which pieces are sent and in what order, from 1; all in order when empty. A piece left out is
    /// lost, a piece named twice sent twice.
    pub order: Vec<u32>,
}

/// Where a packet is cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Into so many pieces of about one length.
    Pieces(u32),
    /// At these offsets of the IP payload, each a multiple of 8, rising.
    At(Vec<u32>),
    /// These parts of the IP payload, from and to; `u32::MAX` is its end. They may overlap or leave gaps.
    Ranges(Vec<(u32, u32)>),
}
