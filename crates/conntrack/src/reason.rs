//! Why a packet got its state, in numbers; sentences are made only when shown.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use palisade_wire::{Family, proto};

use crate::proto::sctp::{SctpFault, SctpIgnored};
use crate::proto::tcp::{FlagClass, TcpState};
use crate::tuple::{Direction, Tuple};

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
        announced: Arc<str>,
    },
    /// A further packet of an announced connection, before any reply.
    RelatedRepeated {
        /// Display id of the parent connection.
        parent: u64,
        /// Helper name.
        helper: &'static str,
        /// The announcing bytes, as text.
        announced: Arc<str>,
    },
    /// ICMP or ICMPv6 error that quotes a packet of a known connection.
    RelatedByIcmp {
        /// ICMP's or ICMPv6's.
        family: Family,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Display id of the quoted connection.
        parent: u64,
        /// Direction of the quoted packet.
        quoted: Direction,
    },
    /// Made by REJECT for a packet of a connection.
    Attached {
        /// Display id of that connection.
        parent: u64,
    },
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
    ExtensionChain {
        /// Bytes that the packet has.
        have: usize,
    },
    /// IPv6 "no next header".
    NoNextHeader,
    /// A fragment after the first, not reassembled.
    LaterFragment {
        /// Where in the datagram it begins.
        offset: usize,
    },
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
        /// The field.
        found: u32,
        /// What it should be.
        wanted: u32,
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
    QuoteTooShort {
        /// Bytes quoted.
        have: usize,
    },
    /// An ICMP error that quotes a packet of the other address family.
    QuoteFamily {
        /// Family of the quoted packet.
        quoted: Family,
    },
    /// An ICMP error whose quoted packet belongs to no connection.
    QuoteUnknown {
        /// The quoted packet's tuple.
        quoted: Tuple,
    },
    /// An ICMP error sent to another host than the quoted packet's sender.
    QuoteAddress {
        /// Destination of the error.
        outer: IpAddr,
        /// Source of the quoted packet.
        inner: IpAddr,
    },
    /// ICMPv6 redirect not from a link-local router next door.
    Redirect {
        /// Hop limit; 255 is wanted.
        hop_limit: u8,
        /// Sender; a link-local address is wanted.
        source: Ipv6Addr,
    },
    /// ICMPv6 redirect without a whole option behind its header of 40 bytes.
    RedirectOption {
        /// Bytes behind the header.
        have: usize,
    },
    /// GRE version 1 that carries something else than PPP.
    Gre {
        /// What it carries, by EtherType.
        carries: u16,
    },
    /// IPv6 packet in an ICMP tracker or the like.
    WrongFamily {
        /// IP protocol.
        protocol: u8,
    },
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
            Invalid::ExtensionChain { have } => {
                write!(
                    f,
                    "IPv6 extension headers do not end inside the packet's {have} bytes"
                )
            }
            Invalid::NoNextHeader => f.write_str("IPv6 packet without a transport header"),
            Invalid::LaterFragment { offset } => {
                write!(f, "a later fragment (offset {offset}), not reassembled")
            }
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
                protocol,
                found,
                wanted,
            } => {
                let name = protocol_name(protocol);
                write!(
                    f,
                    "wrong checksum ({name}): {found:#x}, it must be {wanted:#x}"
                )?;
                if protocol == proto::UDPLITE {
                    f.write_str(" (the kernel wants a pseudo-header of protocol 17)")?;
                }
                Ok(())
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
            Invalid::IcmpType { kind } => {
                write!(f, "ICMP type {kind} is above 18, the highest known")
            }
            Invalid::QuoteTooShort { have } => write!(
                f,
                "ICMP error that quotes too little to tell the connection ({have} bytes)"
            ),
            Invalid::QuoteFamily { quoted } => {
                write!(f, "ICMP error that quotes an {quoted} packet")
            }
            Invalid::QuoteUnknown { quoted } => write!(
                f,
                "ICMP error about a packet of no known connection (protocol {} {quoted})",
                quoted.protocol
            ),
            Invalid::QuoteAddress { outer, inner } => write!(
                f,
                "ICMP error sent to {outer}, but the quoted packet came from {inner}"
            ),
            Invalid::Redirect { hop_limit, source } => write!(
                f,
                "ICMPv6 redirect from {source} with hop limit {hop_limit}; it must come from a link-local address with 255"
            ),
            Invalid::RedirectOption { have } => write!(
                f,
                "ICMPv6 redirect without a whole option in the {have} bytes behind its header"
            ),
            Invalid::Gre { carries } => write!(
                f,
                "GRE version 1 must carry PPP (0x880b), and it carries {carries:#06x}"
            ),
            Invalid::WrongFamily { protocol } => {
                write!(f, "protocol {protocol} belongs to the other address family")
            }
        }
    }
}

/// Protocol name for sentences.
fn protocol_name(protocol: u8) -> &'static str {
    use proto::*;
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

/// The usual name of an ICMP or ICMPv6 error, if it has one that says more than its numbers.
fn icmp_error_name(family: Family, kind: u8, code: u8) -> Option<&'static str> {
    Some(match (family, kind, code) {
        (Family::V4, 3, 0) => "network unreachable",
        (Family::V4, 3, 1) => "host unreachable",
        (Family::V4, 3, 2) => "protocol unreachable",
        (Family::V4, 3, 3) | (Family::V6, 1, 4) => "port unreachable",
        (Family::V4, 3, 4) => "fragmentation needed",
        (Family::V4, 3, 9 | 10 | 13) | (Family::V6, 1, 1) => "prohibited",
        (Family::V4, 4, _) => "source quench",
        (Family::V4, 5, _) | (Family::V6, 137, _) => "redirect",
        (Family::V4, 11, _) | (Family::V6, 3, _) => "time exceeded",
        (Family::V4, 12, _) | (Family::V6, 4, _) => "parameter problem",
        (Family::V6, 1, 0) => "no route",
        (Family::V6, 1, 3) => "address unreachable",
        (Family::V6, 2, _) => "packet too big",
        _ => return None,
    })
}

/// Which helper, which connection, which bytes; a question to a whole network announces its answers by itself.
fn announcement(
    f: &mut fmt::Formatter<'_>,
    helper: &str,
    parent: u64,
    announced: &str,
) -> fmt::Result {
    write!(f, "announced to the {helper} helper by connection {parent}")?;
    if announced.is_empty() {
        return Ok(());
    }
    write!(f, ": \"{announced}\"")
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
            } => announcement(f, helper, *parent, announced),
            Reason::RelatedRepeated {
                parent,
                helper,
                announced,
            } => {
                announcement(f, helper, *parent, announced)?;
                f.write_str("; no reply seen yet")
            }
            Reason::RelatedByIcmp {
                family,
                kind,
                code,
                parent,
                quoted,
            } => write!(
                f,
                "{} error type {kind} code {code}{} about a packet of connection {parent} in {} direction",
                match family {
                    Family::V4 => "ICMP",
                    Family::V6 => "ICMPv6",
                },
                match icmp_error_name(*family, *kind, *code) {
                    Some(name) => format!(" ({name})"),
                    None => String::new(),
                },
                match quoted {
                    Direction::Original => "original",
                    Direction::Reply => "reply",
                }
            ),
            Reason::Attached { parent } => write!(
                f,
                "answer made by REJECT, tied to the rejected packet's connection {parent}"
            ),
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

#[cfg(test)]
mod tests;
