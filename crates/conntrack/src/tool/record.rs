//! What is shown of an entry: what netlink tells of it, with what it leaves out left out.

use palisade_wire::{Family, Timestamp, proto};

use super::protocol::DCCP;
use crate::config::Config;
use crate::connection::{Connection, ProtoState, Status, Traffic};
use crate::entry::Entry;
use crate::expect::Expectation;
use crate::tuple::{Direction, Tuple, Zone};

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It came into the table.
    New,
    /// It changed.
    Update,
    /// It left the table.
    Destroy,
}

impl Kind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::New => "NEW",
            Kind::Update => "UPDATE",
            Kind::Destroy => "DESTROY",
        }
    }
}

/// An entry as it is shown.
#[derive(Clone, Debug)]
pub struct Record {
    /// Original and reply tuple.
    pub tuples: [Tuple; 2],
    /// Zone in either direction.
    pub zones: [Zone; 2],
    /// Seconds left.
    pub timeout: Option<u32>,
    /// The state of TCP or SCTP.
    pub state: Option<&'static str>,
    /// Verification tags of SCTP.
    pub tags: Option<[u32; 2]>,
    /// Packets and bytes of either direction.
    pub traffic: Option<[Traffic; 2]>,
    /// Status bits.
    pub status: Status,
    /// Mark.
    pub mark: Option<u32>,
    /// When it began, and when it ended.
    pub start: Option<Timestamp>,
    /// See [`start`](Self::start).
    pub stop: Option<Timestamp>,
    /// Its helper.
    pub helper: Option<&'static str>,
    /// Who holds it.
    pub uses: Option<u32>,
    /// Its number.
    pub id: u32,
    /// Its labels.
    pub labels: u128,
}

impl Record {
    /// An entry as a list shows it (kernel `ctnetlink_fill_info`).
    pub fn of(entry: Entry<'_>, config: &Config, now: Timestamp, uses: u32) -> Record {
        let mut record = Record::bare(&entry, entry.number(), now);
        record.traffic = (config.acct != 0).then(|| entry.traffic());
        record.start = (config.timestamp != 0).then(|| entry.created());
        record.mark = Some(entry.mark);
        record.uses = Some(uses);
        record
    }

    /// What an event tells of a connection (kernel `ctnetlink_conntrack_event`); `number` is its display number. Its
    /// traffic and when it began are told at its end only.
    pub fn told(
        kind: Kind,
        connection: &Connection,
        number: u64,
        ended: Option<([Traffic; 2], Timestamp)>,
        config: &Config,
        now: Timestamp,
    ) -> Record {
        let mut record = Record::bare(connection, number, now);
        record.mark = (connection.mark != 0).then_some(connection.mark);
        if kind == Kind::Destroy
            && let Some((traffic, start)) = ended
        {
            record.traffic = (config.acct != 0).then_some(traffic);
            record.start = (config.timestamp != 0).then_some(start);
            record.stop = (config.timestamp != 0).then_some(now);
            // No time left is not told.
            record.timeout = record.timeout.filter(|left| *left != 0);
        }
        record
    }

    fn bare(connection: &Connection, number: u64, now: Timestamp) -> Record {
        let tags = match connection.proto() {
            ProtoState::Sctp(sctp) => Some(sctp.tags),
            _ => None,
        };
        Record {
            tuples: connection.tuples(),
            zones: connection.zones(),
            timeout: Some(u32::try_from(connection.timeout(now)).unwrap_or(u32::MAX)),
            state: connection.state_name(),
            tags,
            traffic: None,
            status: connection.status,
            mark: None,
            start: None,
            stop: None,
            helper: connection.helper(),
            uses: None,
            // As the kernel's, a number of 32 bits.
            id: number as u32,
            labels: connection.labels(),
        }
    }

    /// The zone, if it is one in both directions.
    pub fn zone(&self) -> Option<Zone> {
        let [a, b] = self.zones;
        (a == b && a != 0).then_some(a)
    }

    /// The zone of a direction, if it is one of that direction only.
    pub fn zone_of(&self, direction: Direction) -> Option<Zone> {
        let [a, b] = self.zones;
        let zone = self.zones[direction.index()];
        (a != b && zone != 0).then_some(zone)
    }

    /// Its family.
    pub fn family(&self) -> Family {
        self.tuples[0].family()
    }

    fn set_up(&self, for_end: Status) -> bool {
        self.status.has(for_end)
    }

    /// Whether its source address was translated.
    pub(super) fn source_moved(&self) -> bool {
        let [original, reply] = &self.tuples;
        self.set_up(Status::SRC_NAT_DONE) && reply.destination != original.source
    }

    /// Whether its destination address was translated.
    pub(super) fn destination_moved(&self) -> bool {
        let [original, reply] = &self.tuples;
        self.set_up(Status::DST_NAT_DONE) && reply.source != original.destination
    }

    /// Whether its source port was translated. Of ICMP the tool takes type and code for a port.
    pub(super) fn source_port_moved(&self) -> bool {
        let [original, reply] = &self.tuples;
        self.set_up(Status::SRC_NAT_DONE) && reply.destination_word() != original.source_word()
    }

    /// Whether its destination port was translated.
    pub(super) fn destination_port_moved(&self) -> bool {
        let [original, reply] = &self.tuples;
        self.set_up(Status::DST_NAT_DONE) && reply.source_word() != original.destination_word()
    }
}

/// An expectation as it is shown.
#[derive(Clone, Debug)]
pub struct Expected {
    /// What is expected; 0 where anything is.
    pub tuple: Tuple,
    /// Which of its bits count.
    pub mask: Tuple,
    /// The original tuple of the connection that announced it.
    pub master: Tuple,
    /// Seconds left.
    pub timeout: u32,
    /// Zone.
    pub zone: Zone,
    /// Stays after it was fulfilled.
    pub permanent: bool,
    /// Waits to be activated.
    pub inactive: bool,
    /// Class among its helper's expectations.
    pub class: u8,
    /// The helper.
    pub helper: &'static str,
}

impl Expected {
    /// An expectation, with the original tuple of the connection that announced it.
    pub fn of(expectation: &Expectation, master: Tuple, now: Timestamp) -> Expected {
        use super::number::mask;
        use crate::tuple::TupleProto;
        let destination = expectation.destination;
        let nothing = mask(destination, 0);
        let everything = mask(destination, 128);
        let words = |source: u16, destination: u16| match expectation.protocol {
            proto::GRE => TupleProto::Gre {
                source,
                destination,
            },
            proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP => TupleProto::Ports {
                source,
                destination,
            },
            _ => TupleProto::Generic,
        };
        let any_port = expectation.source_port.is_none();
        let protocol = expectation.protocol;
        let whole = if destination.is_ipv4() { 32 } else { 128 };
        let source = expectation.source.map_or(nothing, |(address, _)| address);
        let source_mask = expectation.source.map_or(nothing, |(address, length)| {
            mask(address, u32::from(length).min(whole))
        });
        let left = expectation.deadline.since(now).as_secs();
        Expected {
            tuple: Tuple {
                source,
                destination,
                protocol,
                proto: words(
                    expectation.source_port.unwrap_or(0),
                    expectation.destination_port,
                ),
            },
            mask: Tuple {
                source: source_mask,
                destination: everything,
                protocol,
                proto: words(if any_port { 0 } else { u16::MAX }, u16::MAX),
            },
            master,
            timeout: u32::try_from(left).unwrap_or(u32::MAX),
            zone: expectation.zone,
            permanent: expectation.permanent,
            inactive: expectation.inactive,
            class: expectation.class,
            helper: expectation.helper,
        }
    }
}

/// A protocol's name in lists.
pub fn protocol_name(protocol: u8) -> &'static str {
    match protocol {
        proto::ICMP => "icmp",
        proto::TCP => "tcp",
        proto::UDP => "udp",
        proto::GRE => "gre",
        proto::ICMPV6 => "icmpv6",
        proto::SCTP => "sctp",
        proto::UDPLITE => "udplite",
        DCCP => "dccp",
        _ => "unknown",
    }
}

/// A family's name and number in lists.
pub(super) fn family_name(family: Family) -> (&'static str, u8) {
    match family {
        Family::V4 => ("ipv4", 2),
        Family::V6 => ("ipv6", 10),
    }
}
