//! A table as bytes, and back: so that another process goes on with its connections.
//!
//! # Form
//! Eight bytes of [`MAGIC`], the version (two bytes), records, and a checksum over all of this (SipHash-1-3 with a key
//! that everybody knows, eight bytes). A record is its kind (a byte), its length (four bytes) and fields; a field is its
//! number, its length and its value (`codec.rs`). A field that says nothing is left out; one of an unknown number is an
//! error, since what it says would be lost. The last record says how many there are.
//!
//! # Time
//! What a connection or expectation has left is what it will have: the time between is no time to it.
//!
//! # What is in it
//! Of connections in the table everything that tracking knows (tuples, status, protocol's state, timeout, mark, labels,
//! zones, traffic, helper and its state, parent, translation, sequence shifts, policy by its name), expectations, and call
//! keys of PPTP. Not in it: connections that are not confirmed, fragments, sums.
//!
//! # Bounds
//! What is read takes no more memory than a small multiple of the bytes. No more connections and expectations are taken
//! than the table may hold.

mod codec;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use palisade_wire::Timestamp;
use siphasher::sip::SipHasher13;
use thiserror::Error;

use crate::connection::ConnId;
use crate::table::Conntrack;
use crate::tuple::{Direction, Tuple, Zone};

pub(crate) use codec::{In, Out};
use record::{Saved, SavedExpectation, SavedKey, kind};

/// How a snapshot begins.
pub const MAGIC: [u8; 8] = *b"PLSDCT\r\n";

/// The form that is written, and the only one that is read.
pub const VERSION: u16 = 1;

/// Bytes of the checksum.
const SUM: usize = 8;

/// Why a snapshot was not taken over. The table is as it was.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SnapshotError {
    /// It does not begin like one.
    #[error("this is no snapshot of connections")]
    NotOne,
    /// It was made by a version that writes another form.
    #[error("the snapshot has form {found}, this version reads form {VERSION}; start without it")]
    Version {
        /// Its form.
        found: u16,
    },
    /// Its checksum is wrong.
    #[error("the snapshot is damaged or cut short: its checksum is wrong; start without it")]
    Damaged,
    /// The checksum is right, and what is in it is not.
    #[error("the snapshot means nothing at byte {at}: {what}; start without it")]
    Nonsense {
        /// Byte of the record.
        at: usize,
        /// Which record.
        what: &'static str,
    },
    /// Two connections have one tuple.
    #[error(
        "connections {0} and another one of the snapshot have the same tuple; start without it"
    )]
    Twice(u64),
    /// More than may be.
    #[error(
        "the snapshot has {have} {what}, and {most} may be; raise {sysctl}, or start without it"
    )]
    TooMany {
        /// Connections or expectations.
        what: &'static str,
        /// How many there are.
        have: usize,
        /// How many may be.
        most: u64,
        /// The setting that says so.
        sysctl: &'static str,
    },
    /// The table has connections already.
    #[error("the table is not empty")]
    NotEmpty,
}

/// What was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Connections.
    pub connections: usize,
    /// Expectations.
    pub expectations: usize,
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    SipHasher13::new_with_keys(0, 0).hash(bytes).to_be_bytes()
}

impl Conntrack {
    /// The table as bytes.
    pub fn snapshot(&self, now: Timestamp) -> Vec<u8> {
        let mut out = Out(MAGIC.to_vec());
        out.u16(VERSION);
        let mut order: Vec<_> = self
            .connections()
            .filter(|c| !c.expired(now))
            .map(|c| (c.number(), c.id()))
            .collect();
        order.sort_unstable();
        let mut counts = [0u64; 3];
        for (_, id) in &order {
            if let Some(entry) = self.connection(*id) {
                let policy = entry.policy().and_then(|id| self.policies.name(id));
                out.field(kind::CONNECTION, |out| {
                    record::connection(entry, policy, now, out)
                });
                counts[0] += 1;
            }
        }
        let number = |id| self.connection(id).map(|c| c.number());
        for expectation in self.expectations.iter().filter(|e| e.deadline > now) {
            if let Some(master) = number(expectation.master) {
                out.field(kind::EXPECTATION, |out| {
                    record::expectation(expectation, master, now, out);
                });
                counts[1] += 1;
            }
        }
        for key in self.gre_keys.iter() {
            if let Some(master) = number(key.master) {
                out.field(kind::CALL_KEY, |out| record::call_key(key, master, out));
                counts[2] += 1;
            }
        }
        out.field(kind::END, |out| {
            counts.iter().for_each(|count| out.u64(*count))
        });
        let sum = sum(&out.0);
        out.0.extend(sum);
        out.0
    }

    /// Takes over the connections of a snapshot into an empty table.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing was taken over then.
    pub fn restore(&mut self, bytes: &[u8], now: Timestamp) -> Result<Restored, SnapshotError> {
        if !self.is_empty() || !self.expectations.is_empty() {
            return Err(SnapshotError::NotEmpty);
        }
        let read = Read::of(bytes, self, now)?;
        let restored = Restored {
            connections: read.connections.len(),
            expectations: read.expectations.len(),
        };
        let mut ids: BTreeMap<u64, ConnId> = BTreeMap::new();
        for saved in read.connections {
            let master = saved.connection.rare().master;
            let number = saved.cold.number;
            let id = self.admit(saved.connection, saved.cold, saved.traffic);
            ids.insert(number, id);
            // Parents are older than what they announced.
            if let Some(master) = master.and_then(|number| ids.get(&number))
                && let Some(connection) = self.connection_mut(id)
            {
                connection.rare_mut().master_id = Some(*master);
            }
        }
        for saved in read.expectations {
            if let Some(master) = ids.get(&saved.expectation.parent) {
                self.expectations.keep(saved.expectation, *master);
            }
        }
        for saved in read.keys {
            if let Some(master) = ids.get(&saved.master) {
                self.gre_keys.keep(saved.key, *master);
            }
        }
        self.latest = self.latest.max(now);
        Ok(restored)
    }
}

/// What a snapshot says.
struct Read {
    connections: Vec<Saved>,
    expectations: Vec<SavedExpectation>,
    keys: Vec<SavedKey>,
}

impl Read {
    fn of(bytes: &[u8], table: &Conntrack, now: Timestamp) -> Result<Read, SnapshotError> {
        let Some(body) = bytes.strip_prefix(&MAGIC) else {
            return Err(SnapshotError::NotOne);
        };
        let found = In(body).u16().ok_or(SnapshotError::Damaged)?;
        if found != VERSION {
            return Err(SnapshotError::Version { found });
        }
        let (all, given) = bytes
            .split_last_chunk::<SUM>()
            .filter(|(all, _)| all.len() >= MAGIC.len() + 2)
            .ok_or(SnapshotError::Damaged)?;
        if sum(all) != *given {
            return Err(SnapshotError::Damaged);
        }
        let mut input = In(all.get(MAGIC.len() + 2..).unwrap_or_default());
        let mut read = Read {
            connections: Vec::new(),
            expectations: Vec::new(),
            keys: Vec::new(),
        };
        let mut ended = false;
        while !input.is_empty() {
            let at = all.len() - input.0.len();
            let nonsense = |what| SnapshotError::Nonsense { at, what };
            let (kind, fields) = input.field().ok_or(nonsense("a record"))?;
            if ended {
                return Err(nonsense("behind the end"));
            }
            match kind {
                kind::CONNECTION => {
                    let saved = Saved::read(fields, table, now);
                    read.connections
                        .push(saved.ok_or(nonsense("a connection"))?);
                }
                kind::EXPECTATION => {
                    let saved = SavedExpectation::read(fields, now);
                    read.expectations
                        .push(saved.ok_or(nonsense("an expectation"))?);
                }
                kind::CALL_KEY => {
                    let saved = SavedKey::read(fields);
                    read.keys.push(saved.ok_or(nonsense("a call's key"))?);
                }
                kind::END => {
                    read.is_all(fields).ok_or(nonsense("the end"))?;
                    ended = true;
                }
                _ => return Err(nonsense("a record of an unknown kind")),
            }
        }
        if !ended {
            let at = all.len();
            let what = "the end is missing";
            return Err(SnapshotError::Nonsense { at, what });
        }
        read.fits(table)?;
        Ok(read)
    }

    fn is_all(&self, mut counts: In<'_>) -> Option<()> {
        let have = [
            self.connections.len(),
            self.expectations.len(),
            self.keys.len(),
        ];
        for have in have {
            (counts.u64()? == have as u64).then_some(())?;
        }
        counts.ends()
    }

    /// Whether the table has room, and every tuple one connection.
    fn fits(&self, table: &Conntrack) -> Result<(), SnapshotError> {
        let (max, most) = (table.config.max, table.config.expect_max);
        if max != 0 && self.connections.len() as u64 > max {
            return Err(SnapshotError::TooMany {
                what: "connections",
                have: self.connections.len(),
                most: max,
                sysctl: "nf_conntrack_max",
            });
        }
        if self.expectations.len() as u64 > most {
            return Err(SnapshotError::TooMany {
                what: "expectations",
                have: self.expectations.len(),
                most,
                sysctl: "nf_conntrack_expect_max",
            });
        }
        let mut tuples: HashSet<(Tuple, Zone)> = HashSet::new();
        let mut numbers: HashSet<u64> = HashSet::new();
        for saved in &self.connections {
            let (connection, number) = (&saved.connection, saved.cold.number);
            let zones = connection.zones();
            let both = [Direction::Original, Direction::Reply]
                .map(|d| (connection.tuple(d), zones[d.index()]));
            // A zone in each direction allows a tuple twice; one whose tuples are alike has it twice.
            let new = connection.split()
                || tuples.insert(both[0]) && (both[0] == both[1] || tuples.insert(both[1]));
            if !new || !numbers.insert(number) {
                return Err(SnapshotError::Twice(number));
            }
        }
        Ok(())
    }
}
