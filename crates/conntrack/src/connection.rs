//! One connection: two tuples, what is known of its state, and when it ends.

mod rare;

use std::time::Duration;

use palisade_wire::{Family, Plain, Timestamp, proto};
use prefetch_index::prefetch_index;

use crate::proto::sctp::SctpAssociation;
use crate::proto::tcp::{TcpConnection, packed};
use crate::proto::udp;
use crate::tuple::{Direction, Key, Tuple, Zone};

pub use rare::Proxied;
pub(crate) use rare::Rare;

/// Handle of an entry in the table. Old handles never reach a newer entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Status bits (kernel `enum ip_conntrack_status`, same values).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Status(pub u16);

impl Status {
    /// Announced by another connection.
    pub const EXPECTED: Status = Status(1);
    /// Packets seen in both directions.
    pub const SEEN_REPLY: Status = Status(1 << 1);
    /// Never evicted early.
    pub const ASSURED: Status = Status(1 << 2);
    /// In the table.
    pub const CONFIRMED: Status = Status(1 << 3);
    /// Source is translated.
    pub const SRC_NAT: Status = Status(1 << 4);
    /// Destination is translated.
    pub const DST_NAT: Status = Status(1 << 5);
    /// Sequence numbers are shifted.
    pub const SEQ_ADJUST: Status = Status(1 << 6);
    /// Set up for its source, translated or not.
    pub const SRC_NAT_DONE: Status = Status(1 << 7);
    /// Set up for its destination, translated or not.
    pub const DST_NAT_DONE: Status = Status(1 << 8);
    /// Being removed.
    pub const DYING: Status = Status(1 << 9);
    /// Timeout is not renewed by packets.
    pub const FIXED_TIMEOUT: Status = Status(1 << 10);
    /// A helper was assigned by a rule.
    pub const HELPER: Status = Status(1 << 13);

    /// Whether all of `other`'s bits are set.
    #[inline]
    pub fn has(self, other: Status) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets `other`'s bits.
    #[inline]
    pub fn set(&mut self, other: Status) {
        self.0 |= other.0;
    }
}

/// What a protocol's tracker knows about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtoState {
    /// TCP.
    Tcp(TcpConnection),
    /// SCTP.
    Sctp(SctpAssociation),
    /// UDP and UDP-Lite.
    Udp {
        /// From this moment on, replies make the flow a stream.
        stream_from: Timestamp,
    },
    /// GRE: whether the stream timeout holds is told by the status alone.
    Gre,
    /// ICMP and ICMPv6 queries.
    Icmp,
    /// Anything else.
    Generic,
}

/// Packets and bytes seen in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes, by IP length.
    pub bytes: u64,
}

/// When an entry ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    /// Not confirmed: so many seconds from the confirmation.
    AfterConfirm(u64),
    /// Confirmed: at this moment.
    At(Timestamp),
}

/// An entry of the table: two lines of memory, the first of which is all that a UDP packet touches. What few
/// connections have stands apart, as does what packets do not touch (`slab.rs`).
///
/// ```text
/// line 1   source 16 | destination 16 | words 4 | protocol, family, status 4 | deadline 8 | mark 4 | generation 4 | remembered 8
/// line 2   the protocol's part 56 | what few have 8
/// ```
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Connection {
    source: [u64; 2],
    destination: [u64; 2],
    words: u32,
    protocol: u8,
    /// Family as in a key; 0 of a slot that is free. With `ZONED` zones stand in the rare part.
    family: u8,
    /// Status bits.
    pub status: Status,
    /// A moment, or with [`UNCONFIRMED`] the seconds from confirmation.
    ends: u64,
    /// Connection mark (CONNMARK).
    pub mark: u32,
    pub(crate) generation: u32,
    /// What the owner of the table remembers for packets of either direction; 0 at first.
    remembered: [u32; 2],
    /// By its protocol: TCP as packed; SCTP likewise; of UDP the moment from which replies make it a stream.
    part: [u32; 14],
    rare: Option<Box<Rare>>,
}

const _: () = assert!(size_of::<Connection>() == 128);

/// Bit of the family: zones are not 0.
const ZONED: u8 = 0x10;

/// Bit of the family: it has something that few have.
const RARE: u8 = 0x20;

/// Bits of the family that are no part of the key.
const MARKS: u8 = ZONED | RARE;

/// A word of the protocol's part that stands in the middle of the second line.
const SECOND_LINE: usize = 7;

/// Bit of the deadline: it counts from confirmation.
const UNCONFIRMED: u64 = 1 << 63;

/// Nanoseconds of a second.
const NANOSECONDS: u64 = 1_000_000_000;

impl Connection {
    /// A slot that nothing stands in.
    pub(crate) fn free() -> Self {
        Connection {
            source: [0; 2],
            destination: [0; 2],
            words: 0,
            protocol: 0,
            family: 0,
            status: Status::default(),
            ends: 0,
            mark: 0,
            generation: 0,
            remembered: [0; 2],
            part: [0; 14],
            rare: None,
        }
    }

    /// An unconfirmed connection.
    pub(crate) fn new(key: &Key, zones: [Zone; 2], generation: u32, now: Timestamp) -> Self {
        let mut connection = Connection::free();
        connection.begin(key, generation, now);
        if zones != [0; 2] {
            connection.set_zones(zones);
        }
        connection
    }

    /// Makes an unconfirmed connection of a free slot.
    #[inline]
    pub(crate) fn begin(&mut self, key: &Key, generation: u32, now: Timestamp) {
        self.source = key.source;
        self.destination = key.destination;
        self.words = key.words;
        self.protocol = key.protocol;
        self.family = key.family;
        self.ends = UNCONFIRMED;
        self.mark = 0;
        self.generation = generation;
        // The other trackers begin with their first packet.
        if key.protocol == proto::UDP {
            self.set_proto(&udp::start(now));
        }
    }

    /// Whether a connection stands here.
    #[inline]
    pub(crate) fn occupied(&self) -> bool {
        self.family != 0
    }

    /// Leaves the slot free for another one, which old handles do not reach.
    pub(crate) fn take(&mut self) -> Connection {
        let next = self.generation.wrapping_add(1);
        let taken = std::mem::replace(self, Connection::free());
        self.generation = next;
        taken
    }

    /// Has both lines brought near.
    #[inline]
    pub(crate) fn fetch(&self) {
        prefetch_index(self.source.as_slice(), 0);
        prefetch_index(self.part.as_slice(), SECOND_LINE);
    }

    /// The key of the original tuple.
    #[inline]
    pub(crate) fn key(&self) -> Key {
        Key {
            source: self.source,
            destination: self.destination,
            words: self.words,
            protocol: self.protocol,
            family: self.family & !MARKS,
        }
    }

    /// Whether it has a key as its original tuple.
    #[inline]
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.source == key.source
            && self.destination == key.destination
            && self.words == key.words
            && (self.protocol, self.family & !MARKS) == (key.protocol, key.family)
    }

    /// The direction in which it has the tuple of a plain packet, if it is a plain, confirmed, living connection.
    #[inline(always)]
    pub(crate) fn fits_plain(
        &self,
        plain: &Plain,
        bytes: &[u8],
        now: Timestamp,
    ) -> Option<Direction> {
        // A free slot has no family. An entry that is confirmed has a moment.
        const STANDS: u16 = Status::CONFIRMED.0 | Status::DYING.0;
        let kind = u16::from_le_bytes([self.protocol, self.family]);
        let wanted = u16::from_le_bytes([plain.protocol, Key::family(plain.family)]);
        if kind != wanted || self.status.0 & STANDS != Status::CONFIRMED.0 || self.ends <= now.0 {
            return None;
        }
        let (forth, back) = match plain.family {
            Family::V4 => {
                let own = self.source[0] << 32 | self.destination[0];
                (own ^ plain.ends, own ^ plain.ends.rotate_left(32))
            }
            Family::V6 => {
                let [source, destination] = plain.addresses(bytes);
                let differs = |a: [u64; 2], b: [u64; 2]| a[0] ^ b[0] | a[1] ^ b[1];
                (
                    differs(self.source, source) | differs(self.destination, destination),
                    differs(self.source, destination) | differs(self.destination, source),
                )
            }
        };
        let forth = forth | u64::from(self.words ^ plain.ports);
        let back = back | u64::from(self.words ^ plain.ports.rotate_left(16));
        // Which of them it is cannot be foreseen, so nothing branches on it.
        (forth.min(back) == 0).then_some(match back == 0 {
            true => Direction::Reply,
            false => Direction::Original,
        })
    }

    /// Whether it has nothing that few connections have: no translation, zone, helper, parent, policy, label.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.family & RARE == 0
    }

    /// The tuple of one direction.
    #[inline]
    pub fn tuple(&self, direction: Direction) -> Tuple {
        match direction {
            Direction::Original => self.key().tuple(),
            Direction::Reply => match self.rare().reply {
                Some(reply) => reply,
                // Only what can be inverted gets into the table.
                None => self.key().inverse().unwrap_or(self.key()).tuple(),
            },
        }
    }

    /// Original and reply tuple, by [`Direction::index`].
    pub fn tuples(&self) -> [Tuple; 2] {
        [
            self.tuple(Direction::Original),
            self.tuple(Direction::Reply),
        ]
    }

    /// IP protocol number.
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The protocol's part.
    pub fn proto(&self) -> ProtoState {
        match self.protocol {
            proto::TCP => ProtoState::Tcp(packed::unpack(&self.part)),
            proto::SCTP => ProtoState::Sctp(SctpAssociation::unpack(&self.part)),
            proto::UDP => ProtoState::Udp {
                stream_from: self.stream_from(),
            },
            proto::GRE => ProtoState::Gre,
            proto::ICMP | proto::ICMPV6 => ProtoState::Icmp,
            _ => ProtoState::Generic,
        }
    }

    pub(crate) fn set_proto(&mut self, proto: &ProtoState) {
        match proto {
            ProtoState::Tcp(tcp) => self.set_tcp(tcp),
            ProtoState::Sctp(sctp) => self.part = sctp.pack(),
            ProtoState::Udp { stream_from } => {
                (self.part[0], self.part[1]) = (stream_from.0 as u32, (stream_from.0 >> 32) as u32);
            }
            ProtoState::Gre | ProtoState::Icmp | ProtoState::Generic => {}
        }
    }

    /// The TCP part.
    #[inline]
    pub fn tcp(&self) -> Option<TcpConnection> {
        (self.protocol == proto::TCP).then(|| packed::unpack(&self.part))
    }

    #[inline]
    pub(crate) fn set_tcp(&mut self, tcp: &TcpConnection) {
        self.part = packed::pack(tcp);
    }

    /// The words of the protocol's part.
    pub(crate) fn part(&self) -> &[u32; 14] {
        &self.part
    }

    /// The words of the protocol's part.
    #[inline]
    pub(crate) fn part_mut(&mut self) -> &mut [u32; 14] {
        &mut self.part
    }

    /// The SCTP part.
    pub(crate) fn sctp(&self) -> Option<SctpAssociation> {
        (self.protocol == proto::SCTP).then(|| SctpAssociation::unpack(&self.part))
    }

    pub(crate) fn set_sctp(&mut self, sctp: &SctpAssociation) {
        self.part = sctp.pack();
    }

    /// From which moment on replies make a UDP flow a stream.
    #[inline]
    pub(crate) fn stream_from(&self) -> Timestamp {
        Timestamp(u64::from(self.part[0]) | u64::from(self.part[1]) << 32)
    }

    /// When the entry ends.
    #[inline]
    pub fn deadline(&self) -> Deadline {
        if self.ends & UNCONFIRMED != 0 {
            Deadline::AfterConfirm(self.ends & !UNCONFIRMED)
        } else {
            Deadline::At(Timestamp(self.ends))
        }
    }

    #[inline]
    pub(crate) fn set_deadline(&mut self, deadline: Deadline) {
        self.ends = match deadline {
            Deadline::At(end) => end.0.min(!UNCONFIRMED),
            Deadline::AfterConfirm(seconds) => seconds.min(!UNCONFIRMED) | UNCONFIRMED,
        };
    }

    /// Gives it so many seconds from now, or from confirmation.
    #[inline]
    pub(crate) fn renew(&mut self, seconds: u64, now: Timestamp) {
        self.set_deadline(if self.confirmed() {
            Deadline::At(now + Duration::from_secs(seconds))
        } else {
            Deadline::AfterConfirm(seconds)
        });
    }

    /// Gives a confirmed connection so many seconds from now; whether it ends earlier than it would have.
    #[inline]
    pub(crate) fn renew_confirmed(&mut self, seconds: u64, now: Timestamp) -> bool {
        let end = now.0.saturating_add(seconds.saturating_mul(NANOSECONDS));
        let before = std::mem::replace(&mut self.ends, end.min(!UNCONFIRMED));
        self.ends < before
    }

    /// What was remembered for packets of a direction; 0: nothing.
    #[inline]
    pub fn remembered(&self, direction: Direction) -> u32 {
        self.remembered[direction.index()]
    }

    /// Remembers something for packets of a direction.
    #[inline]
    pub fn remember(&mut self, direction: Direction, what: u32) {
        self.remembered[direction.index()] = what;
    }

    /// Whether the entry is in the table.
    #[inline]
    pub fn confirmed(&self) -> bool {
        self.status.has(Status::CONFIRMED)
    }

    /// Whether packets were seen in both directions.
    #[inline]
    pub fn replied(&self) -> bool {
        self.status.has(Status::SEEN_REPLY)
    }

    /// Whether addresses or ports are translated.
    #[inline]
    pub fn translated(&self) -> bool {
        self.status.has(Status::SRC_NAT) || self.status.has(Status::DST_NAT)
    }

    /// Whether the entry is safe from early drop.
    #[inline]
    pub fn assured(&self) -> bool {
        self.status.has(Status::ASSURED)
    }

    /// Whole seconds until the entry ends, as `conntrack -L` shows them.
    pub fn timeout(&self, now: Timestamp) -> u64 {
        match self.deadline() {
            Deadline::AfterConfirm(seconds) => seconds,
            Deadline::At(end) => end.since(now).as_secs(),
        }
    }

    /// Whether the entry has ended (kernel `nf_ct_is_expired`).
    #[inline]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.ends & UNCONFIRMED == 0 && self.ends <= now.0
    }

    /// Name of the protocol's state, for protocols that have states.
    pub fn state_name(&self) -> Option<&'static str> {
        match self.protocol {
            proto::TCP => Some(packed::state(&self.part).name()),
            proto::SCTP => self.sctp().map(|sctp| sctp.state.name()),
            _ => None,
        }
    }
}
