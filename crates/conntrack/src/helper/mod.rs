//! Helpers: protocols that announce further connections in their payload.
//!
//! A helper *proposes*: given a payload it returns expectations, or says that the packet must be
//! dropped. It never touches the table. To add one, read [`ftp`], write a sibling, and add its
//! row to [`CATALOGUE`] and its arm to `inspect`.

pub mod ftp;

use std::net::IpAddr;
use std::ops::Range;

use palisade_wire::{Packet, SeqNumber, proto};

use crate::State;
use crate::config::Config;
use crate::tuple::{Direction, Tuple};

/// A helper of the kernel: its name for `-j CT --helper`, and its usual port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperInfo {
    /// Name, as rules spell it.
    pub name: &'static str,
    /// Protocol of the connection that it reads.
    pub protocol: u8,
    /// Port that the kernel registers it for.
    pub port: u16,
    /// Whether it is evaluated here; otherwise it can be assigned, and announces nothing.
    pub evaluated: bool,
    /// Expectations that one connection may have at a time.
    pub max_expected: usize,
    /// Lifetime of an expectation, in seconds.
    pub timeout: u64,
}

/// All helpers that rules may name.
pub const CATALOGUE: &[HelperInfo] = &[
    row("ftp", proto::TCP, 21, true, 1, 300),
    row("tftp", proto::UDP, 69, false, 1, 300),
    row("irc", proto::TCP, 6667, false, 8, 300),
    row("sip", proto::UDP, 5060, false, 32, 180),
    row("amanda", proto::UDP, 10080, false, 4, 180),
    row("pptp", proto::TCP, 1723, false, 2, 300),
    row("RAS", proto::UDP, 1719, false, 1, 240),
    row("Q.931", proto::TCP, 1720, false, 4, 240),
    row("H.245", proto::TCP, 0, false, 10, 240),
    row("netbios-ns", proto::UDP, 137, false, 1, 3),
    row("snmp", proto::UDP, 161, false, 1, 30),
    row("sane", proto::TCP, 6566, false, 1, 300),
];

const fn row(
    name: &'static str,
    protocol: u8,
    port: u16,
    evaluated: bool,
    max_expected: usize,
    timeout: u64,
) -> HelperInfo {
    HelperInfo {
        name,
        protocol,
        port,
        evaluated,
        max_expected,
        timeout,
    }
}

/// The helper of a name.
pub fn by_name(name: &str) -> Option<&'static HelperInfo> {
    CATALOGUE.iter().find(|h| h.name == name)
}

/// What a helper remembers between packets of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HelperState {
    /// Nothing.
    #[default]
    None,
    /// FTP control connection.
    Ftp(Box<ftp::FtpState>),
}

/// One packet of a connection that has a helper.
pub struct HelperInput<'a> {
    /// State of the packet.
    pub state: State,
    /// Direction of the packet.
    pub direction: Direction,
    /// The connection's tuples, by direction.
    pub tuples: &'a [Tuple; 2],
    /// Payload behind the transport header; never empty.
    pub payload: &'a [u8],
    /// Sequence number of the payload's first byte; 0 for protocols without.
    pub seq: SeqNumber,
    /// Settings (module options of helpers).
    pub config: &'a Config,
}

/// An expectation as a helper proposes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Source address; `None`: any.
    pub source: Option<IpAddr>,
    /// Source port; `None`: any.
    pub source_port: Option<u16>,
    /// Destination address.
    pub destination: IpAddr,
    /// Destination port.
    pub destination_port: u16,
    /// Protocol.
    pub protocol: u8,
    /// Where in the payload it was announced.
    pub announced: Range<usize>,
}

/// A helper's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelperOutput {
    /// Nothing of interest.
    Pass,
    /// Let the packet pass and expect a connection.
    Expect(Proposal),
    /// Drop the packet.
    Drop(&'static str),
}

/// Asks the helper `name` about one packet. Helpers that are not evaluated pass everything.
pub(crate) fn inspect(
    name: &str,
    state: &mut HelperState,
    packet: &Packet<'_>,
    track_state: State,
    direction: Direction,
    tuples: &[Tuple; 2],
    config: &Config,
) -> HelperOutput {
    if name != "ftp" || packet.protocol() != proto::TCP {
        return HelperOutput::Pass;
    }
    let Some(tcp) = palisade_wire::tcp::Tcp::new(packet.transport()) else {
        return HelperOutput::Pass;
    };
    let payload = tcp.payload();
    if payload.is_empty() {
        return HelperOutput::Pass;
    }
    if *state == HelperState::None {
        *state = HelperState::Ftp(Box::default());
    }
    let HelperState::Ftp(ftp_state) = state else {
        return HelperOutput::Pass;
    };
    ftp::inspect(
        ftp_state,
        &HelperInput {
            state: track_state,
            direction,
            tuples,
            payload,
            seq: tcp.seq(),
            config,
        },
    )
}

/// Bytes as text for reasons: printable ASCII as it is, the rest escaped, at most 120 bytes.
pub(crate) fn quote(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(120)
        .flat_map(|b| std::ascii::escape_default(*b))
        .map(char::from)
        .collect()
}
