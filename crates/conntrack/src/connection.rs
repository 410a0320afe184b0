//! One connection: two tuples, what is known of its state, and when it ends.

use std::net::IpAddr;
use std::sync::Arc;

use palisade_wire::{Packet, Timestamp};

use crate::helper::HelperState;
use crate::nat::seqadj::Shift;
use crate::policy::PolicyId;
use crate::proto::sctp::SctpAssociation;
use crate::proto::tcp::TcpConnection;
use crate::tuple::{Direction, Key, Tuple, Zone};

/// Handle of an entry in the table. Old handles never reach a newer entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Status bits (kernel `enum ip_conntrack_status`, same values).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Status(pub u32);

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

/// What SYNPROXY remembers of a connection that it opened (kernel `struct nf_conn_synproxy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxied {
    /// The sequence number that the client was told as the server's first.
    pub isn: u32,
    /// The time stamp that it was told.
    pub stamp: u32,
    /// How far the server's time stamps are ahead of those that the client is told.
    pub ahead: u32,
}

/// An entry of the table.
#[derive(Clone, Debug)]
pub struct Connection {
    /// 1, 2, 3 … in order of creation; for people and logs.
    pub number: u64,
    pub(crate) id: ConnId,
    /// Original and reply tuple, by [`Direction::index`].
    pub tuples: [Tuple; 2],
    pub(crate) keys: [Key; 2],
    pub(crate) hashes: [u32; 2],
    /// Zone id as seen in original and reply direction.
    pub zones: [Zone; 2],
    /// Status bits.
    pub status: Status,
    /// When the entry ends.
    pub deadline: Deadline,
    /// The protocol's part.
    pub proto: ProtoState,
    /// Connection mark (CONNMARK).
    pub mark: u32,
    /// Traffic by direction.
    pub traffic: [Traffic; 2],
    /// The helper that reads this connection's payload.
    pub helper: Option<&'static str>,
    pub(crate) helper_state: HelperState,
    /// Display number of the connection that announced this one.
    pub master: Option<u64>,
    pub(crate) master_id: Option<ConnId>,
    /// The helper of the connection that announced this one: known even when that one is gone, as the
    /// kernel keeps it for as long as this one lives.
    pub master_helper: Option<&'static str>,
    /// The original source of the connection that announced this one, kept likewise.
    pub(crate) master_source: Option<Box<IpAddr>>,
    /// When the first packet came.
    pub created: Timestamp,
    /// The interface whose address it is masqueraded with.
    pub masquerade: Option<Arc<str>>,
    /// The timeout policy that a rule gave it; none: the sysctls hold.
    pub policy: Option<PolicyId>,
    /// The helper that announced it, and the announcing bytes as text.
    pub(crate) announced: Option<Box<(&'static str, Arc<str>)>>,
    /// Labels (`-m connlabel --set`), a bit each; few connections have any.
    pub(crate) labels: Option<Box<u128>>,
    /// How far a helper shifted either direction's sequence numbers.
    pub(crate) shifts: Option<Box<[Shift; 2]>>,
    /// What SYNPROXY remembers of it, if it opened it.
    pub proxied: Option<Box<Proxied>>,
    pub(crate) next: [u32; 2],
    /// Neighbours in the chain of its original source: newer, older.
    pub(crate) source_links: [u32; 2],
}

impl Connection {
    /// Handle of this entry.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The tuple of one direction.
    #[inline]
    pub fn tuple(&self, direction: Direction) -> &Tuple {
        &self.tuples[direction.index()]
    }

    /// The zone's id, whichever direction it holds in.
    pub fn zone_id(&self) -> Zone {
        self.zones[0].max(self.zones[1])
    }

    /// The original source of the connection that announced this one, and without one its own.
    pub fn first_source(&self) -> IpAddr {
        self.master_source
            .as_deref()
            .copied()
            .unwrap_or(self.tuples[0].source)
    }

    /// Whether the entry is in the table.
    #[inline]
    pub fn confirmed(&self) -> bool {
        self.status.has(Status::CONFIRMED)
    }

    /// Counts a packet of a direction (`nf_ct_acct_update`).
    #[inline]
    pub(crate) fn count(&mut self, direction: Direction, packet: &Packet<'_>) {
        let traffic = &mut self.traffic[direction.index()];
        traffic.packets += 1;
        traffic.bytes += packet.declared_len() as u64;
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
        match self.deadline {
            Deadline::AfterConfirm(seconds) => seconds,
            Deadline::At(end) => end.since(now).as_secs(),
        }
    }

    /// Whether the entry has ended (kernel `nf_ct_is_expired`).
    #[inline]
    pub fn expired(&self, now: Timestamp) -> bool {
        matches!(self.deadline, Deadline::At(end) if end <= now)
    }

    /// Labels: bit 0 is label 0.
    pub fn labels(&self) -> u128 {
        self.labels.as_deref().copied().unwrap_or(0)
    }

    /// Adds labels; none is ever taken away.
    pub fn set_labels(&mut self, bits: u128) {
        if bits != 0 {
            **self.labels.get_or_insert_default() |= bits;
        }
    }

    /// Shifts all sequence numbers of a direction (kernel `nf_ct_seqadj_init`); by 0 nothing changes, not even a
    /// shift from before.
    pub fn shift(&mut self, direction: Direction, by: i32) {
        if by == 0 {
            return;
        }
        self.status.set(Status::SEQ_ADJUST);
        let shift = &mut self.shifts.get_or_insert_with(Default::default)[direction.index()];
        (shift.before, shift.after) = (by, by);
    }

    /// Name of the protocol's state, for protocols that have states.
    pub fn state_name(&self) -> Option<&'static str> {
        match &self.proto {
            ProtoState::Tcp(tcp) => Some(tcp.state.name()),
            ProtoState::Sctp(sctp) => Some(sctp.state.name()),
            _ => None,
        }
    }
}
