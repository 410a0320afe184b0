//! What should come of packets, and how it compares with what came.
//!
//! [`check`] holds an [`Expectation`] against an [`Observed`], which the engine's run and the
//! kernel's run both fill in. A field that the observer cannot see is [`Seen::Unseen`]: an expectation
//! about it is not compared, and [`Compared::unseen`] says so.

use std::fmt;
use std::net::IpAddr;

use super::model::{Counted, Endpoint, Reference, Span};

/// A packet's state, in `--ctstate`'s words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// NEW.
    New,
    /// ESTABLISHED.
    Established,
    /// RELATED.
    Related,
    /// INVALID.
    Invalid,
    /// UNTRACKED.
    Untracked,
}

impl State {
    /// Every state.
    pub const ALL: [State; 5] = [
        State::New,
        State::Established,
        State::Related,
        State::Invalid,
        State::Untracked,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            State::New => "NEW",
            State::Established => "ESTABLISHED",
            State::Related => "RELATED",
            State::Invalid => "INVALID",
            State::Untracked => "UNTRACKED",
        }
    }
}

/// Direction relative to the connection's first packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// As the first packet.
    Original,
    /// Against it.
    Reply,
}

impl Direction {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Original => "original",
            Direction::Reply => "reply",
        }
    }
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Left the last hook.
    Accept,
    /// Dropped, by a rule, a policy or the kernel itself.
    Drop,
    /// Dropped and answered.
    Reject,
    /// Held for reassembly.
    Stolen,
    /// Handed to user space.
    Queue,
    /// Depends on something that is not evaluated.
    Unknown,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 6] = [
        Verdict::Accept,
        Verdict::Drop,
        Verdict::Reject,
        Verdict::Stolen,
        Verdict::Queue,
        Verdict::Unknown,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Accept => "ACCEPT",
            Verdict::Drop => "DROP",
            Verdict::Reject => "REJECT",
            Verdict::Stolen => "STOLEN",
            Verdict::Queue => "QUEUE",
            Verdict::Unknown => "UNKNOWN",
        }
    }
}

/// A rule's address, or a policy's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleName {
    /// Table: `filter` unless the script says another.
    pub table: String,
    /// Chain.
    pub chain: String,
    /// Number within the chain from 1, or the chain's policy.
    pub rule: RuleNumber,
}

/// A rule's number within its chain, or the policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RuleNumber {
    /// From 1.
    Number(u32),
    /// The chain's policy.
    Policy,
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            RuleNumber::Number(n) => write!(f, "{} {} {n}", self.table, self.chain),
            RuleNumber::Policy => write!(f, "policy {} {}", self.table, self.chain),
        }
    }
}

/// The packet that a REJECT sends back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// `answer none`.
    None,
    /// `answer tcp-reset`.
    TcpReset,
    /// `answer icmp-port-unreachable`: an ICMP or ICMPv6 error.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// One thing that should be so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// `NEW`.
    State(State),
    /// `reply`.
    Direction(Direction),
    /// `ACCEPT`.
    Verdict(Verdict),
    /// `by INPUT 3`: the rule or policy that decided.
    By(RuleName),
    /// `matched mangle PREROUTING 1`: a rule that matched, deciding or not.
    Matched(RuleName),
    /// `hook FORWARD`: where the packet's way ended.
    Hook(String),
    /// `why "…"`: a part of the reason.
    Why(String),
    /// `answer tcp-reset`.
    Answer(Answer),
    /// `mark 0x1`: the packet's mark at the end.
    Mark(u32),
    /// `visited 3`: rules looked at.
    Visited(u32),
    /// `ctmark 0x1`.
    ConnectionMark(u32),
    /// `helper ftp`, `helper none`.
    Helper(Option<String>),
    /// `parent LABEL`: the connection's parent is the connection of that packet; `parent none`.
    Parent(Option<Reference>),
    /// `connection LABEL`: belongs to the same connection as that packet.
    SameConnection(Reference),
    /// `tcp SYN_SENT`: the connection's protocol state, in conntrack(8)'s words.
    TcpState(String),
    /// `sctp COOKIE_WAIT`: the same of SCTP.
    SctpState(String),
    /// `assured`, `unassured`.
    Assured(bool),
    /// `replied`, `unreplied`.
    Replied(bool),
    /// `timeout 432000`: seconds left after the packet, to the whole second.
    Timeout(u32),
}

/// Of which packets of its step an expectation speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Which {
    /// The last packet of the line.
    #[default]
    Last,
    /// `packet 2`: from 1.
    Packet(u32),
    /// `each`.
    Each,
}

/// An `expect` line about packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expectation {
    /// Of which packets of a line that sends several.
    pub which: Which,
    /// In which rounds of the innermost `repeat`, from 1, both ends included; all when `None`.
    pub rounds: Option<(u32, u32)>,
    /// What should be so: all of it.
    pub items: Vec<(Item, Span)>,
    /// Its place.
    pub span: Span,
}

impl Expectation {
    /// Whether it speaks of packet `index` (from 1) of `count`, in `round` (from 1).
    pub fn concerns(&self, index: u32, count: u32, round: u32) -> bool {
        let packet = match self.which {
            Which::Last => index == count,
            Which::Packet(n) => index == n,
            Which::Each => true,
        };
        packet
            && self
                .rounds
                .is_none_or(|(first, last)| (first..=last).contains(&round))
    }
}

/// A look at the firewall between packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// In which rounds of the innermost `repeat`, from 1; all when `None`.
    pub rounds: Option<(u32, u32)>,
    /// What should be so.
    pub what: CheckKind,
    /// Its place.
    pub span: Span,
}

/// What a [`Check`] looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckKind {
    /// `expect counters INPUT 3 = 2 [120 bytes]`.
    Counters {
        /// IPv6's ruleset rather than IPv4's.
        v6: bool,
        /// The rule or policy.
        rule: RuleName,
        /// Packets.
        packets: u64,
        /// Bytes, when given.
        bytes: Option<u64>,
    },
    /// `expect connections = 3`.
    Connections(u64),
    /// `expect expectations = 1`.
    Expectations(u64),
    /// `expect connection client:40000 > server:22 tcp ESTABLISHED assured`.
    Connection(ConnectionPattern),
    /// `expect no connection client > server udp`.
    NoConnection(ConnectionPattern),
}

/// Entries of the connection table: those whose original direction is so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionPattern {
    /// Original source.
    pub from: Endpoint,
    /// Original destination.
    pub to: Endpoint,
    /// IP protocol, when named.
    pub protocol: Option<u8>,
    /// What else is so: [`Item::TcpState`], [`Item::Assured`], [`Item::Replied`], [`Item::Timeout`],
    /// [`Item::ConnectionMark`], [`Item::Helper`].
    pub items: Vec<(Item, Span)>,
}

/// Something an observer saw, or could not see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Seen<T> {
    /// Out of this observer's sight.
    #[default]
    Unseen,
    /// Seen.
    Seen(T),
}

/// What came of one packet.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Observed {
    /// State; `None` when the packet never reached tracking.
    pub state: Seen<Option<State>>,
    /// Direction.
    pub direction: Seen<Option<Direction>>,
    /// Verdict.
    pub verdict: Seen<Verdict>,
    /// The rule or policy that decided; `None` when neither did.
    pub by: Seen<Option<RuleName>>,
    /// Rules that matched, in order.
    pub matched: Seen<Vec<RuleName>>,
    /// The hook where its way ended: `INPUT`, `FORWARD`, ….
    pub hook: Seen<String>,
    /// The reason, in words.
    pub why: Seen<String>,
    /// The packet sent back, from its IP header on.
    pub answer: Seen<Option<Vec<u8>>>,
    /// The packet as it left the firewall or was delivered to it, from its IP header on; `None` when it
    /// did neither.
    pub left: Seen<Option<Vec<u8>>>,
    /// The packet's mark.
    pub mark: Seen<u32>,
    /// Rules looked at.
    pub visited: Seen<u32>,
    /// The connection after the packet; `None` when it belongs to none.
    pub connection: Seen<Option<ConnectionSeen>>,
}

/// A connection as an observer saw it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ConnectionSeen {
    /// A number that tells connections apart.
    pub id: Seen<u64>,
    /// The parent's number.
    pub parent: Seen<Option<u64>>,
    /// Source and destination with ports (or ICMP id, type and code as they come) of the original direction.
    pub original: Seen<TupleSeen>,
    /// Mark.
    pub mark: Seen<u32>,
    /// Helper.
    pub helper: Seen<Option<String>>,
    /// Protocol state in conntrack(8)'s words; `None` where there is none.
    pub state: Seen<Option<String>>,
    /// Assured.
    pub assured: Seen<bool>,
    /// A packet in reply direction was seen.
    pub replied: Seen<bool>,
    /// Seconds left.
    pub timeout: Seen<u32>,
    /// How many seconds fewer than expected may be left: 0 with a virtual clock, more for an observer
    /// who took real time to look.
    pub timeout_slack: u32,
}

/// One direction of a connection as an observer saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TupleSeen {
    /// IP protocol number.
    pub protocol: u8,
    /// Source address.
    pub source: IpAddr,
    /// Source port, where there are ports.
    pub source_port: Option<u16>,
    /// Destination address.
    pub destination: IpAddr,
    /// Destination port, where there are ports.
    pub destination_port: Option<u16>,
}

impl ConnectionPattern {
    /// Whether `tuple` is the one meant, in `round` (from 0).
    pub fn fits(&self, tuple: &TupleSeen, round: u32) -> bool {
        let port = |wanted: Option<Counted>, got: Option<u16>| {
            wanted.is_none_or(|w| got.map(u32::from) == Some(w.at(round)))
        };
        self.protocol.is_none_or(|p| p == tuple.protocol)
            && super::play::address_in_round(&self.from, round) == tuple.source
            && super::play::address_in_round(&self.to, round) == tuple.destination
            && port(self.from.port, tuple.source_port)
            && port(self.to.port, tuple.destination_port)
    }
}
