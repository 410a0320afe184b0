//! Entries made, changed and taken out by hand (kernel `nf_conntrack_netlink.c`).

use palisade_wire::Timestamp;
use palisade_wire::translate::End;
use thiserror::Error;

use crate::connection::{ConnId, Connection, ProtoState, Status};
use crate::expect::ExpectId;
use crate::nat::Range;
use crate::proto::sctp::{SctpAssociation, machine::SctpState};
use crate::proto::tcp::{Peer, PeerFlags, TcpConnection, TcpState};
use crate::table::Conntrack;
use crate::tool::Kind;
use crate::tuple::{Direction, Tuple, Zone};

/// Status bits that only the table itself changes, whatever is asked for (kernel `IPS_UNCHANGEABLE_MASK`).
const UNCHANGEABLE: u32 = Status::EXPECTED.0 as u32
    | Status::CONFIRMED.0 as u32
    | Status::SRC_NAT.0 as u32
    | Status::DST_NAT.0 as u32
    | Status::SEQ_ADJUST.0 as u32
    | Status::SRC_NAT_DONE.0 as u32
    | Status::DST_NAT_DONE.0 as u32
    | Status::DYING.0 as u32
    // Template, untracked, offloaded in either way.
    | 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15;

/// Why an entry was not made or changed by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ManualError {
    /// Another entry has one of its tuples (`EEXIST`).
    #[error("another connection has one of its tuples")]
    Exists,
    /// `nf_conntrack_max` entries are there (`ENOMEM`).
    #[error("the connection table is full")]
    Full,
    /// What it says makes no connection (`EINVAL`).
    #[error("no connection can be like that")]
    Invalid,
    /// It asks for a status that only packets bring about or end (`EBUSY`).
    #[error("only packets change this status")]
    Busy,
    /// Its timeout was fixed (`EPERM`).
    #[error("its timeout is fixed")]
    Fixed,
    /// It is gone (`ENOENT`).
    #[error("there is no such connection")]
    Gone,
}

/// What is to be different about an entry; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Seconds from now.
    pub timeout: Option<u64>,
    /// Status bits.
    pub status: Option<u32>,
    /// State of a TCP connection.
    pub tcp: Option<TcpState>,
    /// A TCP connection's windows are not enforced from now on.
    pub liberal: bool,
    /// State of an SCTP association.
    pub sctp: Option<SctpState>,
    /// Verification tags of an SCTP association.
    pub tags: [Option<u32>; 2],
    /// Mark.
    pub mark: Option<u32>,
    /// Labels, all of them.
    pub labels: Option<u128>,
}

/// A connection to be made by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Original and reply tuple.
    pub tuples: [Tuple; 2],
    /// Zones in either direction.
    pub zones: [Zone; 2],
    /// What its source is translated to.
    pub source_nat: Option<Range>,
    /// What its destination is translated to.
    pub destination_nat: Option<Range>,
    /// Everything else; a timeout must be there.
    pub with: Change,
}

impl Conntrack {
    /// Makes a connection (kernel `ctnetlink_create_conntrack`). No packet is seen, so no helper is assigned and
    /// nothing that was expected comes about.
    ///
    /// # Errors
    /// [`ManualError::Exists`], [`ManualError::Full`], [`ManualError::Invalid`], [`ManualError::Busy`].
    pub fn make(&mut self, made: &Made, now: Timestamp) -> Result<ConnId, ManualError> {
        let [original, reply] = made.tuples;
        made.with.timeout.ok_or(ManualError::Invalid)?;
        let inverse = original.invert().ok_or(ManualError::Invalid)?;
        reply.invert().ok_or(ManualError::Invalid)?;
        if original.protocol != reply.protocol || original.family() != reply.family() {
            return Err(ManualError::Invalid);
        }
        if self.lookup(&original, made.zones, now).is_some() {
            return Err(ManualError::Exists);
        }
        let key = original.key();
        if !self.make_room(|table| table.hash(&key, made.zones[0]), now) {
            return Err(ManualError::Full);
        }
        let (index, generation) = self.slab.reserve();
        let id = ConnId { index, generation };
        let mut connection = Connection::new(&key, made.zones, generation, now);
        if reply != inverse {
            connection.set_reply(reply);
        }
        self.hold(index, |slot| *slot = connection, now);
        let nat = [
            (made.destination_nat, End::Destination),
            (made.source_nat, End::Source),
        ];
        if nat.iter().any(|(range, _)| range.is_some()) {
            for (range, end) in nat {
                match range {
                    Some(range) => self.nat_setup(id, &range, end),
                    None => self.nat_null(id, end),
                }
            }
        }
        let done =
            self.apply(id, &made.with, true, now)
                .and_then(|()| match self.confirm(id, now) {
                    Ok(None) => Ok(()),
                    Ok(Some(_)) | Err(()) => Err(ManualError::Exists),
                });
        if let Err(why) = done {
            if self.connection(id).is_some() {
                self.remove(index);
            }
            return Err(why);
        }
        self.slab.hasten(index);
        self.stats.made += 1;
        self.changed_by_hand(Kind::New, id, now);
        Ok(id)
    }

    /// Changes a connection (kernel `ctnetlink_change_conntrack`). What comes before what is refused stays changed.
    ///
    /// # Errors
    /// [`ManualError::Gone`], [`ManualError::Fixed`], [`ManualError::Busy`], [`ManualError::Invalid`].
    pub fn change(
        &mut self,
        id: ConnId,
        change: &Change,
        now: Timestamp,
    ) -> Result<(), ManualError> {
        self.apply(id, change, false, now)?;
        self.slab.hasten(id.index);
        self.changed_by_hand(Kind::Update, id, now);
        Ok(())
    }

    fn apply(
        &mut self,
        id: ConnId,
        change: &Change,
        fresh: bool,
        now: Timestamp,
    ) -> Result<(), ManualError> {
        let connection = self.connection_mut(id).ok_or(ManualError::Gone)?;
        // What was remembered for its packets may hang on any of this.
        connection.remember(Direction::Original, 0);
        connection.remember(Direction::Reply, 0);
        if let Some(seconds) = change.timeout {
            if !fresh && connection.status.has(Status::FIXED_TIMEOUT) {
                return Err(ManualError::Fixed);
            }
            // Timeouts are counted in 32 bits of ticks, of which there are up to a thousand a second.
            connection.renew(seconds.min(i32::MAX as u64 / 1_000), now);
        }
        if let Some(wanted) = change.status {
            let confirmed = u32::from(Status::CONFIRMED.0);
            let (old, wanted) = (
                u32::from(connection.status.0) | confirmed,
                wanted | confirmed,
            );
            let ended = old & !wanted;
            let begun = !old & wanted;
            let fixed = u32::from(Status::EXPECTED.0 | Status::CONFIRMED.0 | Status::DYING.0);
            let seen = u32::from(Status::SEEN_REPLY.0 | Status::ASSURED.0);
            if (ended | begun) & fixed != 0 || ended & seen != 0 {
                return Err(ManualError::Busy);
            }
            let bits = old & !(ended & !UNCHANGEABLE) | begun & !UNCHANGEABLE;
            let keep = u32::from(connection.status.0) & confirmed;
            connection.status = Status((bits & !confirmed | keep) as u16);
        }
        if let Some(mut tcp) = connection.tcp()
            && (change.tcp.is_some() || change.liberal)
        {
            if fresh {
                tcp = TcpConnection::new(Default::default());
            }
            tcp.state = change.tcp.unwrap_or(tcp.state);
            if change.liberal {
                tcp.peers
                    .iter_mut()
                    .for_each(|peer| liberate(peer, change.tcp));
            }
            connection.set_tcp(&tcp);
        }
        if let ProtoState::Sctp(sctp) = connection.proto() {
            let given = [
                change.sctp.is_some(),
                change.tags[0].is_some(),
                change.tags[1].is_some(),
            ];
            // All of it or none (kernel `nlattr_to_sctp`).
            if given != [true; 3] && given != [false; 3] {
                return Err(ManualError::Invalid);
            }
            let mut sctp = if fresh {
                SctpAssociation::new([0; 2])
            } else {
                sctp
            };
            sctp.state = change.sctp.unwrap_or(sctp.state);
            for (tag, new) in sctp.tags.iter_mut().zip(change.tags) {
                *tag = new.unwrap_or(*tag);
            }
            connection.set_sctp(&sctp);
        }
        if let Some(mark) = change.mark {
            connection.mark = mark;
        }
        if let Some(labels) = change.labels {
            connection.replace_labels(labels);
        }
        Ok(())
    }

    /// Slots of the table: each may hold an entry. For looking at a large table part by part.
    pub fn slots(&self) -> usize {
        self.slab.slots()
    }

    /// The confirmed entry of a slot.
    pub fn at_slot(&self, slot: usize) -> Option<crate::Entry<'_>> {
        let entry = self.entry(u32::try_from(slot).ok()?)?;
        (entry.confirmed() && !entry.status.has(Status::DYING)).then_some(entry)
    }

    /// Counts a connection's traffic anew from 0.
    pub fn zero_traffic(&mut self, id: ConnId) {
        if self.connection(id).is_some() {
            self.slab.zero_traffic(id.index);
        }
    }

    /// Takes an expectation back.
    pub fn unexpect(&mut self, id: ExpectId) -> bool {
        self.expectations.remove(id).is_some()
    }

    /// Takes all expectations back.
    pub fn unexpect_all(&mut self) {
        self.expectations.clear();
    }

    /// The expectation that a tuple would fulfil, active or not.
    pub fn expected(
        &self,
        tuple: &Tuple,
        zone: Zone,
        now: Timestamp,
    ) -> Option<&crate::Expectation> {
        self.expectations.find(tuple, zone, now)
    }

    /// How many expectations were made, fulfilled and removed since the table was made.
    pub fn expectation_counts(&self) -> crate::expect::Counts {
        self.expectations.counts()
    }

    /// The connection that announced an expectation, while it lives.
    pub fn announcer(&self, expectation: &crate::Expectation) -> Option<crate::Entry<'_>> {
        self.connection(expectation.master)
    }
}

/// The marks of an end whose window is not enforced, as the tool sets them on TCP connections that it makes or changes.
fn liberate(peer: &mut Peer, state: Option<TcpState>) {
    peer.flags.set(PeerFlags::BE_LIBERAL);
    peer.flags.set(PeerFlags::SACK_PERMITTED);
    if state.is_some_and(|s| s as usize >= TcpState::TimeWait as usize) {
        peer.flags.set(PeerFlags::CLOSE_INIT);
    }
}
