//! Entries as others see them, and as the index does: by links.

use std::ops::Deref;

use palisade_wire::Timestamp;

use crate::connection::{ConnId, Connection, Traffic};
use crate::hash;
use crate::index::{Link, Links};
use crate::slab::Slab;
use crate::tuple::{Direction, Key, Zone};

/// An entry with what stands beside it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    connection: &'a Connection,
    index: u32,
    slab: &'a Slab,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(slab: &'a Slab, index: u32) -> Option<Self> {
        Some(Entry {
            connection: slab.get(index)?,
            index,
            slab,
        })
    }

    /// Handle of this entry.
    pub fn id(self) -> ConnId {
        ConnId {
            index: self.index,
            generation: self.connection.generation,
        }
    }

    /// The connection itself.
    pub fn connection(self) -> &'a Connection {
        self.connection
    }

    /// 1, 2, 3 … in order of creation; for people and logs.
    pub fn number(self) -> u64 {
        self.slab.cold(self.index).number
    }

    /// When the first packet came.
    pub fn created(self) -> Timestamp {
        self.slab.cold(self.index).created
    }

    /// Traffic by [`Direction::index`]; nothing where it is not counted (`nf_conntrack_acct`).
    pub fn traffic(self) -> [Traffic; 2] {
        self.slab.traffic(self.index)
    }
}

impl Deref for Entry<'_> {
    type Target = Connection;

    #[inline]
    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// A link: slot and direction in one word.
pub(crate) fn link(index: u32, direction: Direction) -> Link {
    index << 1 | direction as u32
}

#[inline]
pub(crate) fn unlink(link: Link) -> (u32, Direction) {
    let direction = if link & 1 == 0 {
        Direction::Original
    } else {
        Direction::Reply
    };
    (link >> 1, direction)
}

/// What the index asks about links.
pub(crate) struct Known<'a> {
    pub(crate) slab: &'a Slab,
    pub(crate) seed: (u64, u64),
}

impl Links for Known<'_> {
    #[inline]
    fn fetch(&self, link: Link) {
        self.slab.fetch(unlink(link).0, false);
    }

    #[inline]
    fn hash(&self, link: Link) -> Option<u64> {
        link_hash(self.slab, self.seed, link)
    }
}

/// The hash that an entry's link stands under.
pub(crate) fn link_hash(slab: &Slab, seed: (u64, u64), link: Link) -> Option<u64> {
    let (index, direction) = unlink(link);
    let connection = slab.get(index)?;
    let key = match direction {
        Direction::Original => connection.key(),
        Direction::Reply => connection.tuple(Direction::Reply).key(),
    };
    let zone = connection.zones()[direction.index()];
    Some(hash::of(seed, &key, zone))
}

/// Whether a connection that stands under one of its tuples has a key, and in which direction. One whose tuples are
/// the same has it in the reply direction.
#[inline]
pub(crate) fn fits(
    connection: &Connection,
    under: Direction,
    key: &Key,
    inverse: &Key,
    zones: [Zone; 2],
) -> Option<Direction> {
    let direction = if connection.single() {
        if connection.has(inverse) {
            Direction::Reply
        } else if connection.has(key) {
            Direction::Original
        } else {
            return None;
        }
    } else {
        let fits = match under {
            Direction::Original => connection.has(key),
            Direction::Reply => connection.tuple(Direction::Reply).key() == *key,
        };
        if !fits {
            return None;
        }
        under
    };
    let at = direction.index();
    (connection.zones()[at] == zones[at]).then_some(direction)
}
