//! The connection table.
//!
//! # Overview
//! Entries live in a slab; every confirmed entry hangs in two chains of one hash table, under its
//! original and its reply tuple. The hash is keyed by a seed of the configuration.
//!
//! # Life cycle
//! [`Conntrack::track`] looks a packet up and makes an unconfirmed entry for a new connection.
//! [`Conntrack::leave`], after the last hook, asks the helper and puts the entry into the hash
//! (confirm). A packet that dies before calls [`Conntrack::discard`], which frees an unconfirmed
//! entry, so that a dropped first packet leaves nothing behind. Entries end by timeout (found dead on
//! lookup, or met by a sweep that looks at a few slots for each new connection), by RST before any reply,
//! by reuse, or by early drop when the table is full.
//!
//! # Bounds
//! `nf_conntrack_max` entries and `nf_conntrack_expect_max` expectations. When full, an unassured
//! entry within eight neighbouring buckets makes room (kernel `early_drop`); if there is none, the
//! packet is dropped.
//!
//! # Locking
//! None: one thread owns the table.

use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use palisade_wire::{Timestamp, proto};
use siphasher::sip::SipHasher13;

use crate::config::Config;
use crate::connection::{ConnId, Connection, Deadline, Status, Traffic};
use crate::expect::{Expectation, Expectations};
use crate::flow::initial;
use crate::helper::{self, Follower, HelperState};
use crate::nat::{Chance, NONE, Sources};
use crate::policy::{Policies, PolicyId};
use crate::proto::clash_allowed;
use crate::proto::gre::GreKeys;
use crate::track::Template;
use crate::tuple::{Direction, Tuple, Zone};

/// End of a hash chain.
const NIL: u32 = u32::MAX;

/// In one bucket the reply link stands before the original one (confirm puts it in front), so it goes
/// first: no link is ever left whose predecessor is gone.
const UNCHAIN_ORDER: [Direction; 2] = [Direction::Reply, Direction::Original];

/// Buckets that early drop looks at (kernel `NF_CT_EVICTION_RANGE`).
const EVICTION_RANGE: u32 = 8;

/// Slots that the sweep looks at for each new connection.
const SWEEP_STEP: usize = 8;

/// Slots that the sweep looks at when the table is full.
const SWEEP_FULL: usize = 256;

/// Counts since the table was made (kernel `struct ip_conntrack_stat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections confirmed.
    pub inserted: u64,
    /// Packets INVALID.
    pub invalid: u64,
    /// Packets dropped because the table was full.
    pub table_full: u64,
    /// Entries evicted to make room.
    pub early_drop: u64,
    /// Entries ended by timeout.
    pub expired: u64,
    /// Most entries at a time.
    pub peak: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) connection: Option<Box<Connection>>,
}

/// A connection table.
#[derive(Clone, Debug)]
pub struct Conntrack {
    pub(crate) config: Config,
    pub(crate) slots: Vec<Slot>,
    pub(crate) free: Vec<u32>,
    buckets: Vec<u32>,
    live: usize,
    sweep_at: usize,
    next_number: u64,
    pub(crate) expectations: Expectations,
    pub(crate) stats: Stats,
    pub(crate) explain: bool,
    pub(crate) sources: Sources,
    pub(crate) chance: Chance,
    pub(crate) gre_keys: GreKeys,
    pub(crate) policies: Policies,
}

impl Conntrack {
    /// An empty table. `nf_conntrack_buckets` chains are allocated at once (4 bytes each),
    /// entries as they come.
    pub fn new(config: Config) -> Self {
        let buckets = vec![NIL; config.buckets.clamp(1, 1 << 24) as usize];
        let chance = Chance::new(config.hash_seed);
        Conntrack {
            policies: Policies::new(&config),
            config,
            slots: Vec::new(),
            free: Vec::new(),
            buckets,
            live: 0,
            sweep_at: 0,
            next_number: 1,
            expectations: Expectations::default(),
            stats: Stats::default(),
            explain: false,
            sources: Sources::default(),
            chance,
            gre_keys: GreKeys::default(),
        }
    }

    /// Settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The timeout policy of a name, for a [`Template`].
    pub fn policy(&self, name: &str) -> Option<PolicyId> {
        self.policies.find(name)
    }

    /// Whether [`Track::tcp`](crate::Track::tcp) is filled in; costs an allocation a TCP packet.
    pub fn set_explain(&mut self, explain: bool) {
        self.explain = explain;
    }

    /// Entries, unconfirmed and not yet collected ones included (as `nf_conntrack_count`).
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Counts.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// An entry, if it still exists.
    #[inline]
    pub fn connection(&self, id: ConnId) -> Option<&Connection> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.generation == id.generation)
            .then_some(slot.connection.as_deref())
            .flatten()
    }

    /// An entry, to set its mark.
    #[inline]
    pub fn connection_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.index as usize)?;
        (slot.generation == id.generation)
            .then_some(slot.connection.as_deref_mut())
            .flatten()
    }

    /// Confirmed entries, in no useful order, dead ones that were not collected included.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.slots
            .iter()
            .filter_map(|s| s.connection.as_deref())
            .filter(|c| c.confirmed() && !c.status.has(Status::DYING))
    }

    /// Expectations, oldest first.
    pub fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.expectations.iter()
    }

    /// Removes everything that ended by `now`.
    pub fn expire(&mut self, now: Timestamp) {
        self.sweep(self.slots.len(), now);
        self.expectations.expire(now);
    }

    /// The entry of a slot.
    pub(crate) fn slot(&self, index: u32) -> Option<&Connection> {
        self.slots.get(index as usize)?.connection.as_deref()
    }

    pub(crate) fn slot_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.slots
            .get_mut(index as usize)?
            .connection
            .as_deref_mut()
    }

    pub(crate) fn hash(&self, tuple: &Tuple, zone: Zone) -> u32 {
        let (k0, k1) = self.config.hash_seed;
        let mut hasher = SipHasher13::new_with_keys(k0 ^ u64::from(zone), k1);
        hasher.write(&tuple.key().0);
        hasher.finish() as u32
    }

    fn bucket(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    /// The connection in the table that has `tuple` in one of its directions (kernel `nf_conntrack_find_get`).
    pub fn lookup(&mut self, tuple: &Tuple, zones: [Zone; 2], now: Timestamp) -> Option<ConnId> {
        let (index, _) = self.find(tuple, zones, now)?;
        self.slot(index).map(Connection::id)
    }

    /// A confirmed, living entry that has `tuple` in one of its directions.
    pub(crate) fn find(
        &mut self,
        tuple: &Tuple,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Option<(u32, Direction)> {
        let key = tuple.key();
        let hash = self.hash(tuple, zones[0]);
        let found = self.find_chain(&key, hash, zones, now);
        if found.is_some() || zones[0] == zones[1] {
            return found;
        }
        let hash = self.hash(tuple, zones[1]);
        self.find_chain(&key, hash, zones, now)
    }

    pub(crate) fn find_chain(
        &mut self,
        key: &crate::tuple::Key,
        hash: u32,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Option<(u32, Direction)> {
        let bucket = self.bucket(hash);
        let mut link = self.buckets[bucket];
        while link != NIL {
            let (index, direction) = unlink(link);
            let connection = self.slots[index as usize].connection.as_deref()?;
            let next = connection.next[direction.index()];
            if connection.expired(now) {
                // Both of its links may stand in this chain: start over.
                self.stats.expired += 1;
                self.remove(index);
                link = self.buckets[bucket];
                continue;
            }
            if connection.hashes[direction.index()] == hash
                && connection.keys[direction.index()] == *key
                && connection.zones[direction.index()] == zones[direction.index()]
            {
                return Some((index, direction));
            }
            link = next;
        }
        None
    }

    /// Kernel `init_conntrack`.
    pub(crate) fn create(
        &mut self,
        tuple: &Tuple,
        template: Option<&Template>,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Result<u32, NoEntry> {
        let reply = tuple.invert().ok_or(NoEntry::NotInvertible)?;
        let hashes = [self.hash(tuple, zones[0]), self.hash(&reply, zones[1])];
        self.sweep(SWEEP_STEP, now);
        let max = self.config.max as usize;
        if max != 0 && self.live >= max {
            self.sweep(SWEEP_FULL, now);
            if self.live >= max && !self.early_drop(hashes[0], now) {
                self.stats.table_full += 1;
                return Err(NoEntry::Full);
            }
        }
        let number = self.next_number;
        self.next_number += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                connection: None,
            });
            (self.slots.len() - 1) as u32
        });
        let generation = self.slots[index as usize].generation;
        let mut connection = Connection {
            number,
            id: ConnId { index, generation },
            tuples: [*tuple, reply],
            keys: [tuple.key(), reply.key()],
            hashes,
            zones,
            status: Status::default(),
            deadline: Deadline::AfterConfirm(0),
            proto: initial(tuple, now),
            mark: 0,
            traffic: [Traffic::default(); 2],
            helper: None,
            helper_state: HelperState::None,
            master: None,
            master_id: None,
            master_helper: None,
            master_source: None,
            created: now,
            masquerade: None,
            // An announced connection too has the policy that a rule gives its first packet.
            policy: template.and_then(|t| t.policy),
            labels: None,
            announced: None,
            shifts: None,
            proxied: template.is_some_and(|t| t.proxied).then(Default::default),
            next: [NIL; 2],
            source_links: [NONE; 2],
        };
        let mut announced = None;
        let slots = &self.slots;
        let expectation =
            self.expectations
                .take(tuple, zones[0].max(zones[1]), now, |master: ConnId| {
                    slots
                        .get(master.index as usize)
                        .filter(|s| s.generation == master.generation)
                        .and_then(|s| s.connection.as_deref())
                        .is_some_and(|c| c.confirmed() && !c.status.has(Status::DYING))
                });
        if let Some(expectation) = expectation {
            connection.status.set(Status::EXPECTED);
            connection.master = Some(expectation.parent);
            connection.master_id = Some(expectation.master);
            let master = self.connection(expectation.master);
            connection.mark = master.map_or(0, |master| master.mark);
            connection.master_helper = master.and_then(|master| master.helper);
            connection.master_source = master.map(|master| Box::new(master.tuples[0].source));
            connection.helper = expectation.assign;
            let text = Arc::from(expectation.announced.as_str());
            connection.announced = Some(Box::new((expectation.helper, text)));
            announced = Some(expectation);
        } else if let Some(name) = template.and_then(|t| t.helper)
            && helper::for_tuple(name, tuple).is_some()
        {
            connection.helper = Some(name);
            connection.status.set(Status::HELPER);
        }
        let id = connection.id;
        self.slots[index as usize].connection = Some(Box::new(connection));
        self.live += 1;
        self.stats.peak = self.stats.peak.max(self.live as u64);
        if let Some(expectation) = &announced {
            let mut follower = Follower {
                table: self,
                id,
                master: expectation.master,
                now,
            };
            helper::arrived(&mut follower, expectation);
        }
        Ok(index)
    }

    /// Kernel `__nf_conntrack_confirm`: into the hash, unless a living entry holds a tuple. Of protocols that
    /// allow it, a packet whose very tuples another entry has, the same way or the other way round, becomes
    /// that entry's, which is returned (kernel `nf_ct_resolve_clash`).
    ///
    /// # Errors
    /// The clash cannot be resolved: the packet must be dropped. The entry is gone.
    pub(crate) fn confirm(&mut self, id: ConnId, now: Timestamp) -> Result<Option<ConnId>, ()> {
        let Some(connection) = self.connection(id) else {
            return Err(());
        };
        let (tuples, zones, hashes) = (connection.tuples, connection.zones, connection.hashes);
        let holder = [Direction::Original, Direction::Reply]
            .iter()
            .find_map(|d| {
                let hash = hashes[d.index()];
                self.find_chain(&tuples[d.index()].key(), hash, zones, now)
            });
        if let Some((holder, _)) = holder {
            self.remove(id.index);
            let same = self.slot(holder).filter(|holder| {
                let (theirs, [a, b]) = (holder.tuples, holder.zones);
                let alike = theirs == tuples && [a, b] == zones;
                let reverse = theirs == [tuples[1], tuples[0]] && [b, a] == zones;
                clash_allowed(tuples[0].protocol) && (alike || reverse)
            });
            return match same {
                Some(holder) => Ok(Some(holder.id)),
                None => Err(()),
            };
        }
        for direction in [Direction::Original, Direction::Reply] {
            let bucket = self.bucket(hashes[direction.index()]);
            let head = self.buckets[bucket];
            self.buckets[bucket] = link(id.index, direction);
            if let Some(connection) = self.connection_mut(id) {
                connection.next[direction.index()] = head;
            }
        }
        if let Some(connection) = self.connection_mut(id) {
            if let Deadline::AfterConfirm(seconds) = connection.deadline {
                connection.deadline = Deadline::At(now + Duration::from_secs(seconds));
            }
            connection.status.set(Status::CONFIRMED);
        }
        self.stats.inserted += 1;
        Ok(None)
    }

    /// Takes an entry out of hash and slab; its expectations go with it.
    pub(crate) fn remove(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let Some(connection) = slot.connection.take() else {
            return;
        };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.live -= 1;
        if connection.confirmed() && !connection.status.has(Status::DYING) {
            for direction in UNCHAIN_ORDER {
                self.unchain(
                    connection.hashes[direction.index()],
                    link(index, direction),
                    connection.next[direction.index()],
                    &connection,
                );
            }
        }
        self.unlink_source(&connection);
        if connection.helper.is_some() {
            self.expectations.forget_parent(connection.id);
            self.gre_keys.forget(connection.id);
            if connection.confirmed() {
                helper::ended(self, &connection);
            }
        }
        // With a call its control connection's keys are gone too (kernel `destroy_gre_conntrack`).
        if connection.tuples[0].protocol == proto::GRE
            && let Some(master) = connection.master_id
        {
            self.gre_keys.forget(master);
        }
    }

    /// Takes an entry out of the hash; it stays in the slab for the packet that ended it.
    pub(crate) fn detach(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let Some(mut connection) = slot.connection.take() else {
            return;
        };
        for direction in UNCHAIN_ORDER {
            self.unchain(
                connection.hashes[direction.index()],
                link(index, direction),
                connection.next[direction.index()],
                &connection,
            );
        }
        connection.status.set(Status::DYING);
        self.slots[index as usize].connection = Some(connection);
    }

    /// Removes one link of an entry that is already out of the slab from its chain.
    fn unchain(&mut self, hash: u32, target: u32, after: u32, gone: &Connection) {
        let bucket = self.bucket(hash);
        if self.buckets[bucket] == target {
            self.buckets[bucket] = after;
            return;
        }
        let mut at = self.buckets[bucket];
        while at != NIL {
            let (index, direction) = unlink(at);
            let Some(connection) = self.slots[index as usize].connection.as_deref_mut() else {
                // The entry's other link, standing earlier in this very chain.
                at = gone.next[direction.index()];
                continue;
            };
            let next = connection.next[direction.index()];
            if next == target {
                connection.next[direction.index()] = after;
                return;
            }
            at = next;
        }
    }

    /// Collects ended entries among the next `count` slots.
    fn sweep(&mut self, count: usize, now: Timestamp) {
        for _ in 0..count.min(self.slots.len()) {
            if self.sweep_at >= self.slots.len() {
                self.sweep_at = 0;
            }
            let index = self.sweep_at;
            self.sweep_at += 1;
            if self.slots[index]
                .connection
                .as_deref()
                .is_some_and(|c| c.expired(now))
            {
                self.stats.expired += 1;
                self.remove(index as u32);
            }
        }
    }

    /// Makes room near `hash`: all unassured entries of the first bucket that has any (kernel
    /// `early_drop`).
    fn early_drop(&mut self, hash: u32, now: Timestamp) -> bool {
        let first = self.bucket(hash);
        for step in 0..EVICTION_RANGE as usize {
            let bucket = (first + step) % self.buckets.len();
            let mut victims: Vec<u32> = Vec::new();
            let mut at = self.buckets[bucket];
            while at != NIL {
                let (index, direction) = unlink(at);
                let Some(connection) = self.slots[index as usize].connection.as_deref() else {
                    break;
                };
                if connection.expired(now) || !connection.assured() {
                    victims.push(index);
                }
                at = connection.next[direction.index()];
            }
            victims.dedup();
            if !victims.is_empty() {
                for index in victims {
                    if self.slots[index as usize].connection.is_some() {
                        self.stats.early_drop += 1;
                        self.remove(index);
                    }
                }
                return true;
            }
        }
        false
    }
}

/// A chain link: slot and direction in one word.
fn link(index: u32, direction: Direction) -> u32 {
    index << 1 | direction as u32
}

fn unlink(link: u32) -> (u32, Direction) {
    let direction = if link & 1 == 0 {
        Direction::Original
    } else {
        Direction::Reply
    };
    (link >> 1, direction)
}

/// Why a packet got no entry.
pub(crate) enum NoEntry {
    NotInvertible,
    Full,
}
