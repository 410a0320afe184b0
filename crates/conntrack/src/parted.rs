//! Tables that are one table together: each holds the connections of some flows, and a thread of its own works on it.
//!
//! # Overview
//! [`Name`] says which flow a packet is of, the same for both directions, and [`Name::part`] which of the tables that
//! flow is at home in. A connection lives in one table with both of its tuples. Where address translation gave it a
//! reply tuple that is at home elsewhere, or where it lives with the connection that announced it, whoever steers
//! packets must know; [`Conntrack::away`] tells the flows, and [`Conntrack::gone`] which of them ended.
//!
//! What all tables must agree about is asked of all: [`Conntrack::lend`] gives a table the others for as long as a
//! packet is worked on that may start a connection which is translated or has a helper. Then the choice of a free
//! port, the mappings that a source has, and what is expected are those of one table.
//!
//! # Locking
//! None here: who calls [`Conntrack::lend`] owns all tables.

use std::sync::Arc;

use palisade_wire::{Family, Packet, Plain, Timestamp, proto, tcp};

use crate::config::Config;
use crate::connection::{ConnId, Connection};
use crate::expect::{Expectation, Limits, Refused};
use crate::extract;
use crate::follow::{self, Flow};
use crate::hash;
use crate::proto::Context;
use crate::proto::icmp::{self, Message};
use crate::table::Conntrack;
use crate::tuple::{Direction, Key, Tuple, Zone};

mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
}

#[path = "tally.rs"]
mod tally;

#[cfg(test)]
mod tests;

pub use tally::Tally;

/// What a table knows of the others that it is one with.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    tally: Arc<Tally>,
    number: usize,
    of: usize,
    /// Hashes of flows that lived here, at home elsewhere, and ended.
    gone: Vec<u64>,
}

/// A connection that a flow's packets belong to.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// It has a helper.
    pub helped: bool,
}

/// Where a part of several begins in the hash: the index takes the bits on either side.
const SHIFT: u32 = 16;

/// A flow as it is known outside of its table: of packets of any kind, whole and outside of any zone.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    key: Key,
    hash: u64,
}

impl Flow {
    /// Which of `of` tables it is at home in.
    #[inline]
    pub fn part(&self, of: usize) -> usize {
        part(self.hash(), of)
    }
}

impl Name {
    /// The flow of a packet, or of the packet that an ICMP error quotes; `None`: of none that is tracked. It must be
    /// whole.
    pub fn of(config: &Config, packet: &Packet<'_>) -> Option<Name> {
        let tuple = match quoted(config, packet) {
            Some(quoted) => extract::tuple(&Packet::parse_truncated(quoted).ok()?).ok()?,
            None => extract::tuple(packet).ok()?,
        };
        let key = tuple.key();
        let hash = hash::of(config.hash_seed, &key, 0);
        Some(Name { key, hash })
    }

    /// The flow of a plain packet.
    #[inline]
    pub fn of_plain(config: &Config, plain: &Plain, bytes: &[u8]) -> Name {
        Name {
            key: follow::key(plain, bytes),
            hash: follow::hash(config.hash_seed, plain, bytes),
        }
    }

    /// The same in both directions, and for everybody who knows the seed.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Which of `of` tables it is at home in.
    #[inline]
    pub fn part(&self, of: usize) -> usize {
        part(self.hash(), of)
    }
}

/// Whether a packet is an ICMP error that quotes another, which starts no connection.
pub fn is_error(config: &Config, packet: &Packet<'_>) -> bool {
    quoted(config, packet).is_some()
}

/// Whether a packet of a connection that stands may end it and start another one in its place.
pub fn may_reopen(packet: &Packet<'_>) -> bool {
    packet.protocol() == proto::TCP
        && tcp::Tcp::new(packet.transport()).is_some_and(|t| t.flags() & tcp::flags::SYN != 0)
}

fn quoted<'a>(config: &Config, packet: &Packet<'a>) -> Option<&'a [u8]> {
    let context = Context {
        packet,
        config,
        verify: false,
    };
    let message = match (packet.protocol(), packet.family()) {
        (proto::ICMP, Family::V4) => icmp::classify_v4(&context),
        (proto::ICMPV6, Family::V6) => icmp::classify_v6(&context),
        _ => Message::Query,
    };
    match message {
        Message::Error { quoted } => Some(quoted),
        _ => None,
    }
}

#[inline]
pub(crate) fn part(hash: u64, of: usize) -> usize {
    (((hash >> SHIFT) & 0xffff) as usize * of) >> 16
}

impl Conntrack {
    /// Makes an empty table number `number` of `of` that are one.
    pub fn join(&mut self, tally: Arc<Tally>, number: usize, of: usize) {
        self.part = Some(Box::new(Part {
            tally,
            number,
            of,
            gone: Vec::new(),
        }));
    }

    /// Gives this table the others of its kind, or takes them back: what was there before is in `others`
    /// afterwards. What is drawn by chance is drawn from the first of them.
    pub fn lend(&mut self, others: &mut Vec<Conntrack>) {
        std::mem::swap(&mut self.others, others);
    }

    /// What the next choices by chance are made of goes over to another table.
    pub fn hand_chance_to(&mut self, other: &mut Conntrack) {
        std::mem::swap(&mut self.chance, &mut other.chance);
    }

    /// The connection in the table that a flow's packets belong to, outside of any zone.
    pub fn standing(&mut self, flow: &Name, now: Timestamp) -> Option<Standing> {
        let (slot, _) = self.find_key(&flow.key, flow.hash, [0; 2], now)?;
        let connection = self.slot(slot)?;
        Some(Standing {
            helped: connection.helper().is_some(),
        })
    }

    /// When an expectation of this table was made that a first packet of a flow would fulfil, counted over all
    /// tables.
    pub fn expects(&self, flow: &Name, now: Timestamp) -> Option<u64> {
        let tuple = flow.key.tuple();
        let found = self.expectations.find(&tuple, 0, now)?;
        Some(found.id.0)
    }

    /// The hashes of a connection's flows that are at home in other tables.
    pub fn away(&self, id: ConnId) -> impl Iterator<Item = u64> + use<> {
        let connection = self.connection(id).filter(|c| c.confirmed());
        let away = connection.map(|c| self.hashes_away(c.connection()));
        away.into_iter().flatten().flatten()
    }

    /// The same of those that ended since this was asked last.
    pub fn gone(&mut self) -> Vec<u64> {
        let part = self.part.as_deref_mut();
        part.map(|p| std::mem::take(&mut p.gone))
            .unwrap_or_default()
    }

    /// Whether there is anything to be told by [`gone`](Self::gone).
    pub fn any_gone(&self) -> bool {
        self.part.as_deref().is_some_and(|p| !p.gone.is_empty())
    }

    fn hashes_away(&self, connection: &Connection) -> [Option<u64>; 2] {
        let Some(own) = self.part.as_deref() else {
            return [None; 2];
        };
        let hash = |direction: Direction| {
            let zone = 0;
            let hash = self.hash(&connection.tuple(direction).key(), zone);
            (part(hash, own.of) != own.number).then_some(hash)
        };
        let single = connection.single();
        [
            hash(Direction::Original),
            (!single).then(|| hash(Direction::Reply)).flatten(),
        ]
    }

    /// A connection goes.
    pub(crate) fn leaves_part(&mut self, index: u32) {
        if self.part.is_none() {
            return;
        }
        // What is plain lives at home.
        let away = match self.slot(index) {
            Some(c) if c.confirmed() && !c.is_plain() => self.hashes_away(c),
            _ => [None; 2],
        };
        if let Some(part) = self.part.as_deref_mut() {
            part.tally.leave();
            part.gone.extend(away.into_iter().flatten());
        }
    }

    /// Counts a new connection of this table, where that many tables count together; `None`: it counts alone.
    #[inline]
    pub(crate) fn enters_part(&self, max: usize) -> Option<bool> {
        self.part.as_deref().map(|p| p.tally.enter(max))
    }

    /// The number of a new connection, where numbers are given to several tables.
    #[inline]
    pub(crate) fn number_of_part(&self) -> Option<u64> {
        self.part.as_deref().map(|p| p.tally.number())
    }

    /// One of the tables at hand: this one, or one of the others.
    pub(crate) fn table_at(&self, which: Option<usize>) -> &Conntrack {
        which
            .and_then(|which| self.others.get(which))
            .unwrap_or(self)
    }

    /// The same, to be changed.
    pub(crate) fn table_at_mut(&mut self, which: Option<usize>) -> &mut Conntrack {
        match which {
            Some(which) if which < self.others.len() => &mut self.others[which],
            _ => self,
        }
    }

    /// Where a tuple stands: in this table or one of the others.
    pub(crate) fn search_all(
        &mut self,
        tuple: &Tuple,
        zone_at: Zone,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Option<(Option<usize>, u32, Direction)> {
        let key = tuple.key();
        let hash = self.hash(&key, zone_at);
        if let Some((index, direction)) = self.search(&key, hash, zones, now) {
            return Some((None, index, direction));
        }
        self.others
            .iter_mut()
            .enumerate()
            .find_map(|(which, other)| {
                let (index, direction) = other.search(&key, hash, zones, now)?;
                Some((Some(which), index, direction))
            })
    }

    /// Whether one of the other tables has a connection with one of an unconfirmed one's tuples.
    pub(crate) fn held_by_others(&mut self, id: ConnId, now: Timestamp) -> bool {
        let Some(connection) = self.slot(id.index) else {
            return false;
        };
        let (tuples, zones) = (connection.tuples(), connection.zones());
        tuples.iter().zip(zones).any(|(tuple, zone)| {
            let key = tuple.key();
            let hash = self.hash(&key, zone);
            let mut others = self.others.iter_mut();
            others.any(|other| other.search(&key, hash, zones, now).is_some())
        })
    }

    /// What expectations of the other tables say to a new one of this table, and what they leave of the limits.
    pub(crate) fn ask_others(
        &mut self,
        new: &Expectation,
        limits: Limits,
        now: Timestamp,
    ) -> Result<Limits, Refused> {
        let Conntrack {
            expectations,
            others,
            ..
        } = self;
        if others.is_empty() {
            return Ok(limits);
        }
        let all: Vec<_> = others.iter_mut().map(|o| &mut o.expectations).collect();
        expectations.beside(all, new, limits, now)
    }
}
