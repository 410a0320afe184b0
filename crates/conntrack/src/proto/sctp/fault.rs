//! Why an SCTP packet is INVALID or not believed, in numbers and in words.

use std::fmt;

use palisade_wire::sctp::{Chunk, chunk};

use super::SctpState;
use crate::tuple::Direction;

/// Why an SCTP packet is INVALID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SctpFault {
    /// No chunk behind the common header, or not even a chunk's header.
    NoChunk {
        /// Bytes behind the common header.
        have: usize,
    },
    /// A chunk whose length field is 0.
    ZeroLength {
        /// Its type.
        kind: u8,
        /// Its place in the packet, from 1.
        place: usize,
    },
    /// INIT, INIT ACK and SHUTDOWN COMPLETE stand alone.
    NotAlone {
        /// The chunk's type that stands with another.
        kind: u8,
        /// Place of the second chunk, from 1.
        place: usize,
    },
    /// COOKIE ECHO and COOKIE ACK come first.
    NotFirst {
        /// The chunk's type.
        kind: u8,
        /// Its place in the packet, from 1.
        place: usize,
    },
    /// A chunk that cannot start an association.
    CannotStart {
        /// The chunk's type.
        kind: u8,
    },
    /// The verification tag is not the one it must be.
    Tag {
        /// The chunk that asks for it; `None`: any packet.
        kind: Option<u8>,
        /// The packet's tag.
        have: u32,
        /// What it must be.
        need: u32,
    },
    /// The state machine has no such transition.
    Transition {
        /// The chunk's type.
        kind: u8,
        /// Its direction.
        direction: Direction,
        /// State of the association.
        state: SctpState,
    },
    /// INIT or INIT ACK without its fixed part.
    ShortInit {
        /// The chunk's type.
        kind: u8,
        /// Bytes behind the chunk's header.
        have: usize,
    },
    /// An INIT ACK announces another tag than the one already known of its sender.
    InitAckTag {
        /// The tag that it announces.
        have: u32,
        /// The one known.
        known: u32,
        /// Both sides sent an INIT.
        collision: bool,
    },
    /// A second HEARTBEAT or HEARTBEAT ACK with a wrong tag in one packet, or one beside DATA.
    HeartbeatTag {
        /// The chunk's type.
        kind: u8,
        /// The packet's tag.
        have: u32,
        /// The one known.
        known: u32,
    },
}

/// A chunk type's name.
pub(super) struct Kind(pub(super) u8);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            chunk::DATA => "DATA",
            chunk::INIT => "INIT",
            chunk::INIT_ACK => "INIT ACK",
            chunk::SACK => "SACK",
            chunk::HEARTBEAT => "HEARTBEAT",
            chunk::HEARTBEAT_ACK => "HEARTBEAT ACK",
            chunk::ABORT => "ABORT",
            chunk::SHUTDOWN => "SHUTDOWN",
            chunk::SHUTDOWN_ACK => "SHUTDOWN ACK",
            chunk::ERROR => "ERROR",
            chunk::COOKIE_ECHO => "COOKIE ECHO",
            chunk::COOKIE_ACK => "COOKIE ACK",
            chunk::SHUTDOWN_COMPLETE => "SHUTDOWN COMPLETE",
            other => return write!(f, "chunk of type {other}"),
        };
        f.write_str(name)
    }
}

impl fmt::Display for SctpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SctpFault::NoChunk { have } => {
                write!(f, "SCTP without a chunk: {have} bytes behind the header")
            }
            SctpFault::ZeroLength { kind, place } => {
                write!(f, "SCTP {} (number {place}) of length 0", Kind(kind))
            }
            SctpFault::NotAlone { kind, place } => write!(
                f,
                "SCTP {} must stand alone, and there is a chunk number {place}",
                Kind(kind)
            ),
            SctpFault::NotFirst { kind, place } => write!(
                f,
                "SCTP {} must be the first chunk, and it is number {place}",
                Kind(kind)
            ),
            SctpFault::CannotStart { kind } => write!(
                f,
                "SCTP {} of no known association, and it cannot start one",
                Kind(kind)
            ),
            SctpFault::Tag {
                kind: None,
                have,
                need,
            } => write!(f, "SCTP verification tag {have:#x}, it must be {need:#x}"),
            SctpFault::Tag {
                kind: Some(kind),
                have,
                need,
            } => write!(
                f,
                "SCTP {} with verification tag {have:#x}, it must be {need:#x}",
                Kind(kind)
            ),
            SctpFault::Transition {
                kind,
                direction,
                state,
            } => write!(
                f,
                "SCTP {} in {} direction makes no sense in state {state}",
                Kind(kind),
                direction_word(direction)
            ),
            SctpFault::ShortInit { kind, have } => write!(
                f,
                "SCTP {} needs {} bytes behind its header, {have} are there",
                Kind(kind),
                Chunk::INIT_LEN
            ),
            SctpFault::InitAckTag {
                have,
                known,
                collision,
            } => write!(
                f,
                "SCTP INIT ACK announces tag {have:#x}, and its sender's is {known:#x}{}",
                if collision {
                    " (both sides sent an INIT)"
                } else {
                    ""
                }
            ),
            SctpFault::HeartbeatTag { kind, have, known } => write!(
                f,
                "SCTP {} with verification tag {have:#x}, which is {known:#x}, and nothing to excuse it",
                Kind(kind)
            ),
        }
    }
}

fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Original => "original",
        Direction::Reply => "reply",
    }
}

/// Why the tracker let an SCTP packet pass without renewing the timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SctpIgnored {
    /// A HEARTBEAT with a wrong tag: perhaps the association was begun anew on another path.
    Heartbeat {
        /// The packet's tag.
        have: u32,
        /// The one known.
        known: u32,
    },
    /// An INIT in CLOSED: the entry must not live on by repeated INITs.
    InitAgain,
}

impl fmt::Display for SctpIgnored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SctpIgnored::Heartbeat { have, known } => write!(
                f,
                "SCTP HEARTBEAT with verification tag {have:#x}, which is {known:#x}, is let pass and not believed"
            ),
            SctpIgnored::InitAgain => {
                f.write_str("SCTP INIT in state CLOSED does not renew the timeout")
            }
        }
    }
}
