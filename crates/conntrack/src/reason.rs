//! Why a packet got its state, in numbers; sentences are made only when shown.

use std::fmt;
use std::net::IpAddr;

use crate::proto::sctp::{SctpFault, SctpIgnored};
use crate::proto::tcp::{FlagClass, TcpState};
use crate::tuple::Direction;

/// Why a packet is NEW, ESTABLISHED, RELATED, INVALID or UNTRACKED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// First packet of a new connection.
    FirstPacket,
    /// A further packet before any reply.
    RepeatedBeforeReply,
    /// Segment in the middle of an unknown TCP connection, taken as its start (tcp_loose).
    PickedUp,
    /// First packet after the old connection of this tuple was given up: SYN in TIME_WAIT or CLOSE.
    Reopened {
        /// The old connection's state.
        from: TcpState,
    },
    /// The first reply: from here on both sides are ESTABLISHED.
    FirstReply,
    /// Part of a connection that has seen both directions.
    InConnection,
    /// Part of the connection; ignored by the tracker because it may be out of step with the ends.
    Ignored(Ignored),
    /// First packet of a connection that a helper announced.
    RelatedByHelper {
        /// Helper name.
        helper: &'static str,
        /// Display id of the parent connection.
        parent: u64,
        /// The announcing bytes, as text.
        announced: String,
    },
    /// A further packet of an announced connection, before any reply.
    RelatedRepeated {
        /// Display id of the parent connection.
        parent: u64,
    },
    /// ICMP or ICMPv6 error that quotes a packet of a known connection.
    RelatedByIcmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Display id of the quoted connection.
        parent: u64,
        /// Direction of the quoted packet.
        quoted: Direction,
    },
    /// Made by REJECT for a packet of the given state.
    Attached,
    /// `-j NOTRACK` or `-j CT --notrack`.
    NotTracked,
    /// A neighbour discovery or multicast listener message.
    NeverTracked {
        /// ICMPv6 type.
        kind: u8,
    },
    /// Not a packet of any connection.
    Invalid(Invalid),
    /// The table has no room; the packet is dropped.
    TableFull {
        /// `nf_conntrack_max`.
        max: u64,
    },
}

/// Why a tracker let a packet pass without learning from it (kernel `NFCT_TCP_IGNORE`,
/// `TCP_CONNTRACK_IGNORE`, and `ignore` of SCTP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// SYN, SYN/ACK or early ACK that does not fit the state but may be right.
    OutOfStep {
        /// Kind of segment.
        class: FlagClass,
        /// Connection state.
        state: TcpState,
    },
    /// Answer to a SYN in LAST_ACK.
    ChallengeAck,
    /// More bytes than the window allowed, within what is forgiven.
    Overshot {
        /// Bytes more than expected.
        by: u32,
    },
    /// Old data again.
    SeqBelow {
        /// Bytes below the lower bound.
        by: u32,
    },
    /// An acknowledgement from long ago.
    AckBelow {
        /// Bytes below the lower bound.
        by: u32,
    },
    /// SCTP's own reasons.
    Sctp(SctpIgnored),
}

/// Which check made a packet INVALID, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The transport header is cut short.
    ShortHeader {
        /// IP protocol.
        protocol: u8,
        /// Bytes there are.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// IPv6 extension headers do not end in the packet.
    ExtensionChain,
    /// IPv6 "no next header".
    NoNextHeader,
    /// A fragment after the first, not reassembled.
    LaterFragment,
    /// TCP data offset below 20 or beyond the segment.
    TcpDataOffset {
        /// Data offset in bytes.
        offset: usize,
        /// Segment length in bytes.
        length: usize,
    },
    /// UDP length field below 8 or beyond the datagram.
    UdpLength {
        /// The field.
        field: usize,
        /// Bytes there are.
        have: usize,
    },
    /// UDP-Lite checksum coverage below the header or beyond the datagram.
    UdpLiteCoverage {
        /// The field.
        field: usize,
        /// Bytes there are.
        have: usize,
    },
    /// UDP-Lite without a checksum.
    UdpLiteNoChecksum,
    /// Transport checksum.
    Checksum {
        /// IP protocol.
        protocol: u8,
    },
    /// A set of TCP flags that no TCP sends.
    TcpFlags(u8),
    /// A segment that cannot start a connection (SYN/ACK, FIN, RST out of nowhere).
    CannotStart(FlagClass),
    /// Middle of an unknown connection while `nf_conntrack_tcp_loose` is 0.
    NotLoose,
    /// The state machine has no such transition.
    Transition {
        /// Kind of segment.
        class: FlagClass,
        /// Its direction.
        direction: Direction,
        /// Connection state.
        state: TcpState,
    },
    /// RST with a sequence number below what the other side acknowledged.
    RstBelowAcked {
        /// Bytes below.
        by: u32,
    },
    /// Data beyond the receiver's window.
    SeqBeyondWindow {
        /// Bytes beyond the upper bound at which the segment starts.
        by: u32,
    },
    /// Acknowledgement of data that was never seen.
    AckBeyondWindow {
        /// Bytes beyond what the receiver sent.
        by: u32,
    },
    /// SCTP's own checks.
    Sctp(SctpFault),
    /// ICMP or ICMPv6 type that cannot start a query.
    IcmpCannotStart {
        /// Type.
        kind: u8,
    },
    /// ICMP type above the highest known.
    IcmpType {
        /// Type.
        kind: u8,
    },
    /// An ICMP error whose quoted packet is too short to tell a tuple.
    QuoteTooShort,
    /// An ICMP error whose quoted packet belongs to no connection.
    QuoteUnknown,
    /// An ICMP error sent to another host than the quoted packet's sender.
    QuoteAddress {
        /// Destination of the error.
        outer: IpAddr,
        /// Source of the quoted packet.
        inner: IpAddr,
    },
    /// ICMPv6 redirect not from a link-local router next door.
    Redirect,
    /// GRE version 1 that carries something else than PPP, or no key.
    Gre,
    /// IPv6 packet in an ICMP tracker or the like.
    WrongFamily,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Invalid::ShortHeader {
                protocol,
                have,
                need,
            } => write!(
                f,
                "the header of protocol {protocol} needs {need} bytes, {have} are there"
            ),
            Invalid::ExtensionChain => {
                f.write_str("IPv6 extension headers do not end inside the packet")
            }
            Invalid::NoNextHeader => f.write_str("IPv6 packet without a transport header"),
            Invalid::LaterFragment => f.write_str("a later fragment, not reassembled"),
            Invalid::TcpDataOffset { offset, length } => write!(
                f,
                "TCP data offset of {offset} bytes in a segment of {length}"
            ),
            Invalid::UdpLength { field, have } => {
                write!(f, "UDP length field {field}, {have} bytes are there")
            }
            Invalid::UdpLiteCoverage { field, have } => write!(
                f,
                "UDP-Lite checksum covers {field} bytes, and must cover 8 to {have}"
            ),
            Invalid::UdpLiteNoChecksum => f.write_str("UDP-Lite without a checksum"),
            Invalid::Checksum {
                protocol: protocol @ palisade_wire::proto::UDPLITE,
            } => write!(
                f,
                "wrong checksum ({}): the kernel wants a pseudo-header of protocol 17",
                protocol_name(protocol)
            ),
            Invalid::Checksum { protocol } => {
                write!(f, "wrong checksum ({})", protocol_name(protocol))
            }
            Invalid::TcpFlags(flags) => {
                write!(f, "TCP flags {} never go together", FlagNames(flags))
            }
            Invalid::CannotStart(class) => {
                write!(f, "{class} of no known connection, and it cannot start one")
            }
            Invalid::NotLoose => {
                f.write_str("middle of an unknown connection, and nf_conntrack_tcp_loose is 0")
            }
            Invalid::Transition {
                class,
                direction,
                state,
            } => write!(
                f,
                "{class} in {} direction makes no sense in state {state}",
                match direction {
                    Direction::Original => "original",
                    Direction::Reply => "reply",
                }
            ),
            Invalid::RstBelowAcked { by } => {
                write!(f, "RST {by} bytes below what was acknowledged")
            }
            Invalid::SeqBeyondWindow { by } => {
                write!(f, "seq {by} bytes beyond the window")
            }
            Invalid::AckBeyondWindow { by } => {
                write!(
                    f,
                    "ack {by} bytes beyond the window (that data was never seen)"
                )
            }
            Invalid::Sctp(fault) => fault.fmt(f),
            Invalid::IcmpCannotStart { kind } => {
                write!(
                    f,
                    "type {kind} answers nothing known and cannot start a flow"
                )
            }
            Invalid::IcmpType { kind } => write!(f, "ICMP type {kind} is not known"),
            Invalid::QuoteTooShort => {
                f.write_str("ICMP error that quotes too little to tell the connection")
            }
            Invalid::QuoteUnknown => {
                f.write_str("ICMP error about a packet of no known connection")
            }
            Invalid::QuoteAddress { outer, inner } => write!(
                f,
                "ICMP error sent to {outer}, but the quoted packet came from {inner}"
            ),
            Invalid::Redirect => {
                f.write_str("ICMPv6 redirect without hop limit 255 and a link-local source")
            }
            Invalid::Gre => f.write_str("GRE version 1 without PPP and a call id"),
            Invalid::WrongFamily => f.write_str("protocol of the other address family"),
        }
    }
}

/// Protocol name for sentences.
fn protocol_name(protocol: u8) -> &'static str {
    use palisade_wire::proto::*;
    match protocol {
        TCP => "TCP",
        UDP => "UDP",
        ICMP => "ICMP",
        ICMPV6 => "ICMPv6",
        UDPLITE => "UDP-Lite",
        SCTP => "SCTP",
        _ => "transport",
    }
}

/// TCP flags as iptables spells them.
struct FlagNames(u8);

impl fmt::Display for FlagNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u8, &str); 8] = [
            (0x02, "SYN"),
            (0x10, "ACK"),
            (0x01, "FIN"),
            (0x04, "RST"),
            (0x20, "URG"),
            (0x08, "PSH"),
            (0x40, "ECE"),
            (0x80, "CWR"),
        ];
        let mut first = true;
        for (bit, name) in NAMES {
            if self.0 & bit != 0 {
                if !first {
                    f.write_str(",")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        if first {
            f.write_str("NONE")?;
        }
        Ok(())
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Ignored::OutOfStep { class, state } => {
                write!(f, "{class} in state {state} is let pass and not believed")
            }
            Ignored::ChallengeAck => {
                f.write_str("challenge ACK to a SYN, not taken for the last ACK")
            }
            Ignored::Overshot { by } => write!(f, "{by} bytes more than the window, forgiven"),
            Ignored::SeqBelow { by } => {
                write!(f, "old data again, {by} bytes below the window")
            }
            Ignored::AckBelow { by } => {
                write!(f, "old acknowledgement, {by} bytes below the window")
            }
            Ignored::Sctp(why) => why.fmt(f),
        }
    }
}

/// The usual name of an ICMP or ICMPv6 error; types below 128 of ICMPv6 and 3, 4, 5, 11, 12 of ICMP.
fn icmp_error_name(kind: u8, code: u8) -> String {
    match (kind, code) {
        (3, 0) => "network unreachable".into(),
        (3, 1) => "host unreachable".into(),
        (3, 2) => "protocol unreachable".into(),
        (3, 3) => "port unreachable".into(),
        (3, 4) => "fragmentation needed".into(),
        (3, 9..=10 | 13) => "prohibited".into(),
        (11, 0) => "time exceeded".into(),
        _ => format!("type {kind} code {code}"),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::FirstPacket => f.write_str("first packet of a new connection"),
            Reason::RepeatedBeforeReply => f.write_str("no reply seen yet"),
            Reason::PickedUp => {
                f.write_str("middle of an unknown connection, picked up (nf_conntrack_tcp_loose)")
            }
            Reason::Reopened { from } => {
                write!(f, "new connection on the ports of one in {from}")
            }
            Reason::FirstReply => f.write_str("first reply of the connection"),
            Reason::InConnection => f.write_str("part of a known connection"),
            Reason::Ignored(why) => write!(f, "part of a known connection; {why}"),
            Reason::RelatedByHelper {
                helper,
                parent,
                announced,
            } => write!(
                f,
                "announced to the {helper} helper by connection {parent}: \"{announced}\""
            ),
            Reason::RelatedRepeated { parent } => {
                write!(f, "announced by connection {parent}, no reply seen yet")
            }
            Reason::RelatedByIcmp {
                kind,
                code,
                parent,
                quoted,
            } => write!(
                f,
                "ICMP error ({}) about a packet of connection {parent} in {} direction",
                icmp_error_name(*kind, *code),
                match quoted {
                    Direction::Original => "original",
                    Direction::Reply => "reply",
                }
            ),
            Reason::Attached => {
                f.write_str("answer made by REJECT, tied to the rejected packet's connection")
            }
            Reason::NotTracked => f.write_str("exempted from tracking by a raw rule"),
            Reason::NeverTracked { kind } => {
                write!(f, "ICMPv6 type {kind} is never tracked")
            }
            Reason::Invalid(why) => why.fmt(f),
            Reason::TableFull { max } => {
                write!(
                    f,
                    "the table holds nf_conntrack_max = {max} entries and none could be evicted"
                )
            }
        }
    }
}

/// Why connection tracking drops a packet by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// No room for a new entry.
    TableFull {
        /// `nf_conntrack_max`.
        max: u64,
    },
    /// Another packet confirmed the same tuple first.
    Clash,
    /// A helper refused the packet.
    Helper {
        /// Helper name.
        helper: &'static str,
        /// Its reason.
        why: String,
    },
    /// TCP options that do not end, in a segment whose numbers must be shifted.
    Options,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropReason::TableFull { max } => write!(
                f,
                "connection table full: nf_conntrack_max is {max} and no unassured entry could be evicted"
            ),
            DropReason::Options => {
                f.write_str("TCP options that do not end, and sequence numbers must be shifted")
            }
            DropReason::Clash => f.write_str("another connection with the same tuple exists"),
            DropReason::Helper { helper, why } => {
                write!(f, "dropped by the {helper} helper: {why}")
            }
        }
    }
}
