//! What became of a packet, and why.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use palisade_conntrack::defrag::FragmentFault;
use palisade_conntrack::nat::Fault;
use palisade_conntrack::{
    Announced, ConnId, Connection, Direction, DropReason, Reason, State, TcpStep, Tuple,
};
use palisade_rules::{Family, Hook, TableKind};
use palisade_wire::IpError;

use crate::changed::Changed;
use crate::tee::Copied;

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Passes.
    Accept,
    /// Vanishes.
    Drop,
    /// Vanishes, and its sender is answered.
    Reject,
    /// A fragment held for reassembly, or a segment that SYNPROXY took.
    Stolen,
    /// Handed to a program (NFQUEUE).
    Queue,
    /// Depends on something that is accepted but not evaluated.
    Unknown,
}

impl Verdict {
    /// The word of the JSON contract.
    pub fn name(self) -> &'static str {
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

/// The way a packet takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// To this host.
    Input,
    /// Through it.
    Forward,
    /// From it.
    Output,
    /// From it to itself.
    Loopback,
}

/// A rule or policy, by table and chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decider {
    /// Family.
    pub family: Family,
    /// Table.
    pub table: TableKind,
    /// Chain.
    pub chain: Arc<str>,
    /// Number from 1; 0 for the chain's policy.
    pub rule: u32,
    /// Source line; 0 for a policy.
    pub line: u32,
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rule == 0 {
            write!(f, "the policy of {} {}", self.table.name(), self.chain)
        } else {
            write!(f, "{} {} rule {}", self.table.name(), self.chain, self.rule)
        }
    }
}

/// What ended the packet's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No table has rules on its way.
    NoRules,
    /// By the last rule or policy that accepted it.
    Accepted(Decider),
    /// Dropped by a rule or policy.
    Dropped(Decider),
    /// Rejected by a rule, with the name of the answer.
    Rejected {
        /// The rule.
        by: Decider,
        /// `--reject-with`.
        with: &'static str,
        /// Why no answer is sent, if none is.
        silent: Option<&'static str>,
    },
    /// Queued by a rule.
    Queued(Decider),
    /// Queued by a rule, and no program listens.
    Unheard(Decider),
    /// A rule that is not evaluated would decide.
    Unknown {
        /// The rule.
        by: Decider,
        /// What cannot be answered, and why.
        what: String,
    },
    /// Not a packet for the IP stack.
    NotIp(IpError),
    /// IPv4 header checksum.
    HeaderChecksum,
    /// Hop-by-hop options that the IP layer refuses.
    Extension,
    /// IPv4 options that are malformed, or a source route.
    Options,
    /// Addressed to another host on the link.
    OtherHost,
    /// Held for reassembly.
    Fragment,
    /// Fragment dropped.
    FragmentFault(FragmentFault),
    /// Dropped by connection tracking.
    Tracking(DropReason),
    /// A source or destination that routing refuses where it came from.
    Martian(IpAddr),
    /// Came in a frame to all or to a group, which is not forwarded.
    FrameToAll,
    /// Time to live used up on the way through.
    TimeToLive(u8),
    /// No route leads there.
    NoRoute(IpAddr),
    /// Taken by SYNPROXY at a rule, and what was done.
    Answered {
        /// The rule.
        by: Decider,
        /// What became of it.
        what: &'static str,
    },
    /// Taken by SYNPROXY, which minds its connection; what was done.
    Proxied(&'static str),
    /// A socket of this host takes it, and it would have been forwarded.
    Claimed,
    /// Its connection is translated, and it cannot be.
    Translation(Fault),
}

/// Why a packet has its state and its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// Why the state; `None` when it did not come so far.
    pub state: Option<Reason>,
    /// What ended its way.
    pub ended: Ended,
    /// What a helper read in it.
    pub announced: Option<Announced>,
    /// Number of fragments that it was put together from.
    pub pieces: usize,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pieces > 1 {
            write!(f, "put together from {} fragments; ", self.pieces)?;
        }
        if let Some(reason) = &self.state {
            write!(f, "{reason}; ")?;
        }
        if let Some(announced) = &self.announced {
            write!(
                f,
                "announces a connection to the {} helper (\"{}\"); ",
                announced.helper, announced.text
            )?;
        }
        self.ended.fmt(f)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::NoRules => f.write_str("accepted, there are no rules on its way"),
            Ended::Accepted(by) => write!(f, "accepted by {by}"),
            Ended::Dropped(by) => write!(f, "dropped by {by}"),
            Ended::Rejected { by, with, silent } => {
                write!(f, "rejected by {by} with {with}")?;
                match silent {
                    Some(why) => write!(f, " (no answer: {why})"),
                    None => Ok(()),
                }
            }
            Ended::Queued(by) => write!(f, "queued by {by}"),
            Ended::Unheard(by) => {
                write!(f, "dropped: queued by {by}, and no program listens")
            }
            Ended::Unknown { by, what } => write!(f, "{by} would decide, but {what}"),
            Ended::NotIp(error) => write!(f, "dropped before the rules: {error}"),
            Ended::HeaderChecksum => {
                f.write_str("dropped before the rules: wrong IPv4 header checksum")
            }
            Ended::Extension => {
                f.write_str("dropped before the rules: hop-by-hop options that IPv6 refuses")
            }
            Ended::Options => f.write_str(
                "dropped by routing: IPv4 options that are malformed or prescribe the route",
            ),
            Ended::OtherHost => {
                f.write_str("dropped before the rules: addressed to another host on the link")
            }
            Ended::Fragment => f.write_str("fragment held until the rest arrives"),
            Ended::FragmentFault(fault) => write!(f, "dropped before the rules: {fault}"),
            Ended::Tracking(reason) => write!(f, "{reason}"),
            Ended::Martian(address) => write!(
                f,
                "dropped by routing: a packet with {address} cannot come this way"
            ),
            Ended::Answered { by, what } => write!(f, "taken by {by}: {what}"),
            Ended::Proxied(what) => write!(f, "taken by SYNPROXY: {what}"),
            Ended::Claimed => f.write_str(
                "dropped by routing: a socket of this host takes it, and its way leads elsewhere",
            ),
            Ended::NoRoute(address) => write!(f, "dropped by routing: no route to {address}"),
            Ended::Translation(fault) => write!(f, "dropped by address translation: {fault}"),
            Ended::FrameToAll => f.write_str(
                "dropped by routing: what came in a frame to all or to a group is not forwarded",
            ),
            Ended::TimeToLive(ttl) => {
                write!(f, "dropped by routing: time to live {ttl} is used up here")
            }
        }
    }
}

/// A connection as it is after a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// Display number.
    pub number: u64,
    /// Protocol state's name, for TCP.
    pub state: Option<&'static str>,
    /// Seconds left.
    pub timeout: u64,
    /// Safe from early drop.
    pub assured: bool,
    /// Both directions seen.
    pub replied: bool,
    /// Connection mark.
    pub mark: u32,
    /// Helper.
    pub helper: Option<&'static str>,
    /// Parent's display number.
    pub master: Option<u64>,
    /// In the table.
    pub confirmed: bool,
    /// What it is translated to, if it is.
    pub translation: Option<Translation>,
}

/// A translated connection: how its packets come, and how they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Original tuple, as the first packet came.
    pub from: Tuple,
    /// The same direction, as the packets leave.
    pub to: Tuple,
}

impl Translation {
    /// Of a connection; `None` when its addresses and ports stay.
    pub(crate) fn of(connection: &Connection) -> Option<Translation> {
        let [original, reply] = connection.tuples();
        let to = reply.invert()?;
        (connection.translated() && to != original).then_some(Translation { from: original, to })
    }
}

impl fmt::Display for Translation {
    /// Only the ends that change.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |address: IpAddr, port: Option<u16>| match (address, port) {
            (address, None) => address.to_string(),
            (IpAddr::V4(a), Some(port)) => format!("{a}:{port}"),
            (IpAddr::V6(a), Some(port)) => format!("[{a}]:{port}"),
        };
        let ends = |t: &Tuple| {
            [
                end(t.source, t.source_port()),
                end(t.destination, t.destination_port()),
            ]
        };
        let (from, to) = (ends(&self.from), ends(&self.to));
        let mut first = true;
        for (name, i) in [("source", 0), ("destination", 1)] {
            if from[i] != to[i] {
                let comma = if first { "" } else { ", " };
                write!(f, "{comma}{name} {} becomes {}", from[i], to[i])?;
                first = false;
            }
        }
        if first {
            f.write_str("its identifier is changed")?;
        }
        Ok(())
    }
}

/// The answer that REJECT made, and what became of it on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// As the rule made it.
    pub made: Vec<u8>,
    /// Its state.
    pub state: Option<State>,
    /// Its direction within the connection.
    pub direction: Option<Direction>,
    /// As it leaves, translated if its connection is; `None` when OUTPUT or POSTROUTING stops it.
    pub sent: Option<Vec<u8>>,
}

/// What became of a packet.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Family; `None` when it is no IP packet.
    pub family: Option<Family>,
    /// Its way; `None` when it did not come to routing.
    pub path: Option<Path>,
    /// The hook where its way ended; for a packet that came all the way INPUT, FORWARD or OUTPUT.
    pub hook: Option<Hook>,
    /// Interface it came in by.
    pub in_interface: Option<Arc<str>>,
    /// Interface it leaves by.
    pub out_interface: Option<Arc<str>>,
    /// Connection-tracking state.
    pub state: Option<State>,
    /// Direction within the connection.
    pub direction: Option<Direction>,
    /// Handle of its connection; of one that ended with the packet, it reaches nothing.
    pub id: Option<ConnId>,
    /// Connection after the packet.
    pub connection: Option<ConnectionView>,
    /// Window arithmetic, when asked for.
    pub tcp: Option<Box<TcpStep>>,
    /// Packet mark at the end.
    pub mark: u32,
    /// Verdict.
    pub verdict: Verdict,
    /// Answer of REJECT, or the packet that SYNPROXY made.
    pub reply: Option<Reply>,
    /// A second packet that SYNPROXY made.
    pub further: Option<Reply>,
    /// Why.
    pub why: Why,
    /// Rules visited.
    pub visited: u32,
    /// The datagram that this packet completed, as it was put together.
    pub reassembled: Option<Vec<u8>>,
    /// Length of the largest fragment that datagram came in, IP header included: what it may be cut into again. 0 of a
    /// packet that came whole.
    pub largest_piece: usize,
    /// The packet as it leaves or is delivered, when that is not how it came: put together from
    /// fragments, translated, its time to live lowered. `None` too when it does not pass.
    pub output: Option<Vec<u8>>,
    /// How the bytes of a packet that passes differ from those that came, or of a datagram that was put together from those
    /// that it was put together to.
    pub changed: Changed,
    /// Copies that TEE sent.
    pub copies: Vec<Copied>,
}
