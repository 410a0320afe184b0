//! What happens to connections and expectations, for whoever watches (`conntrack -E`).
//!
//! # Overview
//! With [`Conntrack::set_events`] the table records what the kernel would tell (`nf_conntrack_ecache.c`): a connection that
//! enters the table, one that a packet changed, and one that is gone; expectations that are made and removed. What changed is
//! found by comparing: a connection as it was before the first packet since the last event, and as it is when a packet
//! has come to the end of its way. A packet that is dropped tells nothing, and what it changed is told with the next
//! one that passes, as in the kernel.
//!
//! Who watches has packets take the long way ([`Conntrack::watched`]); with nobody watching nothing of this costs them
//! anything.
//!
//! # Bounds
//! [`MOST`] events wait; what comes when so many do is counted and lost. What is known of connections that changed and were not told
//! yet is at most as much as there are connections.
//!
//! # Time
//! A connection that ended by its timeout is told when it is collected: see [`Conntrack::expire`].

use std::collections::{HashMap, VecDeque};

use palisade_wire::Timestamp;

use crate::config::Config;
use crate::connection::{ConnId, Connection, ProtoState, Status, Traffic};
use crate::expect::Expectation;
use crate::nat::seqadj::Shift;
use crate::slab::Cold;
use crate::table::Conntrack;
use crate::tool::{Kind, Record};

/// Events that wait for somebody to take them.
pub const MOST: usize = 16_384;

/// What changed about a connection (kernel `enum ip_conntrack_events`, bits in its order).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes(pub u16);

impl Changes {
    /// It entered the table.
    pub const NEW: Changes = Changes(1);
    /// It entered the table, announced by another one.
    pub const RELATED: Changes = Changes(1 << 1);
    /// It is gone.
    pub const DESTROY: Changes = Changes(1 << 2);
    /// Its first reply came.
    pub const REPLY: Changes = Changes(1 << 3);
    /// It is safe from early drop from now on.
    pub const ASSURED: Changes = Changes(1 << 4);
    /// Its protocol's state.
    pub const PROTOINFO: Changes = Changes(1 << 5);
    /// Its helper.
    pub const HELPER: Changes = Changes(1 << 6);
    /// Its mark.
    pub const MARK: Changes = Changes(1 << 7);
    /// How far its sequence numbers are shifted.
    pub const SEQADJ: Changes = Changes(1 << 8);
    /// Its labels.
    pub const LABEL: Changes = Changes(1 << 10);

    /// Whether all of `other`'s are among them.
    pub fn has(self, other: Changes) -> bool {
        self.0 & other.0 == other.0
    }

    fn set(&mut self, other: Changes, when: bool) {
        if when {
            self.0 |= other.0;
        }
    }
}

/// Something that happened to a connection.
#[derive(Clone, Debug)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// When; of one that ended by its timeout the latest moment that a packet came at.
    pub time: Timestamp,
    /// What changed.
    pub changes: Changes,
    /// The connection as it is then.
    pub connection: Connection,
    /// Its display number.
    pub number: u64,
    /// When its first packet came.
    pub created: Timestamp,
    /// Traffic by direction; nothing where it is not counted.
    pub traffic: [Traffic; 2],
}

impl Event {
    /// What `conntrack -E` is told of it.
    pub fn record(&self, config: &Config) -> Record {
        let ended = Some((self.traffic, self.created));
        let (connection, number) = (&self.connection, self.number);
        Record::told(self.kind, connection, number, ended, config, self.time)
    }
}

/// Something that happened to an expectation: [`Kind::New`] or [`Kind::Destroy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectationEvent {
    /// What.
    pub kind: Kind,
    /// The expectation.
    pub expectation: Expectation,
}

/// One of both.
#[derive(Clone, Debug)]
pub enum Happened {
    /// To a connection.
    Connection(Box<Event>),
    /// To an expectation.
    Expectation(Box<ExpectationEvent>),
}

/// What was taken.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// In the order in which it happened; of expectations only among each other.
    pub happened: Vec<Happened>,
    /// How much happened beside it since the last time: there was no room for it.
    pub lost: u64,
}

/// What a connection is compared by.
#[derive(Clone, Copy, Debug)]
struct Look {
    status: Status,
    state: Option<&'static str>,
    tags: Option<[u32; 2]>,
    mark: u32,
    labels: u128,
    helper: Option<&'static str>,
    shifts: Option<[Shift; 2]>,
}

impl Look {
    fn at(connection: &Connection) -> Look {
        Look {
            status: connection.status,
            state: connection.state_name(),
            tags: match connection.proto() {
                ProtoState::Sctp(sctp) => Some(sctp.tags),
                _ => None,
            },
            mark: connection.mark,
            labels: connection.labels(),
            helper: connection.helper(),
            shifts: connection.rare().shifts,
        }
    }

    fn changes(&self, now: &Look) -> Changes {
        let mut changes = Changes::default();
        let begun = |bit| now.status.has(bit) && !self.status.has(bit);
        changes.set(Changes::REPLY, begun(Status::SEEN_REPLY));
        changes.set(Changes::ASSURED, begun(Status::ASSURED));
        let info = (self.state, self.tags) != (now.state, now.tags);
        changes.set(Changes::PROTOINFO, info);
        changes.set(Changes::MARK, self.mark != now.mark);
        changes.set(Changes::LABEL, self.labels != now.labels);
        changes.set(Changes::HELPER, self.helper != now.helper);
        changes.set(Changes::SEQADJ, self.shifts != now.shifts);
        changes
    }
}

/// What is recorded while somebody watches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    waiting: VecDeque<Box<Event>>,
    lost: u64,
    /// Connections as they were when they were told last, of those that packets have met since.
    before: HashMap<ConnId, Look>,
}

/// What happened to expectations, while somebody watches.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpectationEvents {
    waiting: VecDeque<Box<ExpectationEvent>>,
    lost: u64,
}

impl ExpectationEvents {
    pub(crate) fn add(&mut self, kind: Kind, expectation: &Expectation) {
        if self.waiting.len() >= MOST {
            self.lost += 1;
            return;
        }
        self.waiting.push_back(Box::new(ExpectationEvent {
            kind,
            expectation: expectation.clone(),
        }));
    }
}

impl Conntrack {
    /// Records what happens from now on, or no longer; what waits is forgotten with that.
    pub fn set_events(&mut self, on: bool) {
        if on == self.watched() {
            return;
        }
        self.events = on.then(Box::default);
        self.expectations.events = on.then(Box::default);
    }

    /// Whether what happens is recorded.
    #[inline]
    pub fn watched(&self) -> bool {
        self.events.is_some()
    }

    /// Hands out what happened since the last time.
    pub fn take_events(&mut self) -> Taken {
        let mut taken = Taken::default();
        if let Some(events) = &mut self.events {
            let waiting = events.waiting.drain(..).map(Happened::Connection);
            taken.happened.extend(waiting);
            taken.lost += std::mem::take(&mut events.lost);
        }
        if let Some(events) = &mut self.expectations.events {
            let waiting = events.waiting.drain(..).map(Happened::Expectation);
            taken.happened.extend(waiting);
            taken.lost += std::mem::take(&mut events.lost);
        }
        taken
    }

    /// A packet is about to do something to a connection.
    pub(crate) fn meets(&mut self, index: u32) {
        let Some(events) = &mut self.events else {
            return;
        };
        if let Some(connection) = self.slab.get(index).filter(|c| c.confirmed()) {
            let generation = connection.generation;
            let id = ConnId { index, generation };
            events
                .before
                .entry(id)
                .or_insert_with(|| Look::at(connection));
        }
    }

    /// A packet has come to the end of its way (kernel `nf_ct_deliver_cached_events`).
    pub(crate) fn passed(&mut self, id: ConnId, fresh: bool, now: Timestamp) {
        if self.events.is_none() {
            return;
        }
        let Some(connection) = self.slab.get(id.index) else {
            return;
        };
        let stands = connection.confirmed() && !connection.status.has(Status::DYING);
        if connection.generation != id.generation || !stands {
            return;
        }
        let changes = if fresh {
            let mut changes = Look::default().changes(&Look::at(connection));
            let announced = connection.master().is_some();
            changes.set(Changes::RELATED, announced);
            changes.set(Changes::NEW, !announced);
            changes
        } else {
            let before = self
                .events
                .as_mut()
                .and_then(|events| events.before.remove(&id));
            before.map_or(Changes::default(), |before| {
                before.changes(&Look::at(connection))
            })
        };
        if changes != Changes::default() {
            let kind = if fresh { Kind::New } else { Kind::Update };
            self.tell(kind, changes, id.index, now);
        }
    }

    /// Something was done to a connection by hand (kernel `ctnetlink_create_conntrack`, `ctnetlink_change_conntrack`).
    pub(crate) fn changed_by_hand(&mut self, kind: Kind, id: ConnId, now: Timestamp) {
        if let Some(events) = &mut self.events {
            events.before.remove(&id);
            let mut changes = Changes(
                Changes::REPLY.0
                    | Changes::ASSURED.0
                    | Changes::PROTOINFO.0
                    | Changes::HELPER.0
                    | Changes::MARK.0
                    | Changes::SEQADJ.0
                    | Changes::LABEL.0,
            );
            changes.set(Changes::NEW, kind == Kind::New);
            self.tell(kind, changes, id.index, now);
        }
    }

    /// A connection that was in the table goes.
    pub(crate) fn goes(&mut self, index: u32) {
        if let Some(events) = &mut self.events
            && let Some(connection) = self.slab.get(index)
        {
            let generation = connection.generation;
            events.before.remove(&ConnId { index, generation });
            if connection.confirmed() {
                self.tell(Kind::Destroy, Changes::DESTROY, index, self.latest);
            }
        }
    }

    fn tell(&mut self, kind: Kind, changes: Changes, index: u32, time: Timestamp) {
        let (Some(events), Some(connection)) = (&mut self.events, self.slab.get(index)) else {
            return;
        };
        if events.waiting.len() >= MOST {
            events.lost += 1;
            return;
        }
        let Cold { number, created } = self.slab.cold(index);
        events.waiting.push_back(Box::new(Event {
            kind,
            time,
            changes,
            connection: connection.clone(),
            number,
            created,
            traffic: self.slab.traffic(index),
        }));
    }
}

impl Default for Look {
    /// A connection that nobody was told of.
    fn default() -> Self {
        Look {
            status: Status::default(),
            state: None,
            tags: None,
            mark: 0,
            labels: 0,
            helper: None,
            shifts: None,
        }
    }
}
