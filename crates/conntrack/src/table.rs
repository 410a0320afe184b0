//! The connection table.
//!
//! # Overview
//! Entries live in a slab (`slab.rs`). A confirmed entry is found through one index (`index.rs`) under a hash that
//! both of its tuples have; one whose tuples are not each other's inverse (translated, or with another zone in either
//! direction) stands there twice. The hash is keyed by a seed of the configuration (`hash.rs`): who does not know
//! it cannot make packets that meet in a line.
//!
//! # Life cycle
//! [`Conntrack::track`] looks a packet up and makes an unconfirmed entry for a new connection.
//! [`Conntrack::leave`], after the last hook, asks the helper and puts the entry into the index
//! (confirm). A packet that dies before calls [`Conntrack::discard`], which frees an unconfirmed
//! entry, so that a dropped first packet leaves nothing behind. Entries end by timeout (found dead on
//! lookup, or met by a sweep that looks at a few slots for each new connection), by RST before any reply,
//! by reuse, or by early drop when the table is full.
//!
//! # Bounds
//! `nf_conntrack_max` entries and `nf_conntrack_expect_max` expectations. When full, an unassured
//! entry whose links stand near makes room (kernel `early_drop`); if there is none, the packet is dropped.
//! The work for one packet is bounded: a line of the index or a few, 64 slots of the sweep with every fourth new
//! connection (and 64 when full),
//! two lines that move while the index grows.
//!
//! # Locking
//! None: one thread owns the table. How several are one is told in `parted.rs`.

use std::sync::Arc;

use palisade_wire::{Timestamp, proto};

use crate::config::Config;
use crate::connection::{ConnId, Connection, Status, Traffic};
use crate::entry::{Entry, fits, link, link_hash, unlink};
use crate::events::Events;
use crate::expect::{Expectation, Expectations};
use crate::hash;
use crate::helper::{self, Follower};
use crate::index::Index;
use crate::nat::{Chance, Sources};
use crate::parted::Part;
use crate::policy::{Policies, PolicyId};
use crate::proto::gre::GreKeys;
use crate::slab::{Cold, Slab};
use crate::track::Template;
use crate::tuple::{Direction, Key, Tuple, Zone};

/// Lines of the index that early drop looks at: about as many connections as in the eight buckets that the kernel
/// looks at (`NF_CT_EVICTION_RANGE`).
const EVICTION_LINES: usize = 2;

/// New connections for each of which the sweep goes on once.
const SWEEP_EACH: u32 = 4;

/// Slots that it looks at then: sixteen for each of them.
const SWEEP_STEP: usize = 64;

/// Slots that the sweep looks at when the table is full.
const SWEEP_FULL: usize = 64;

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
    /// Connections made by hand.
    pub made: u64,
}

/// A connection table.
#[derive(Clone, Debug)]
pub struct Conntrack {
    pub(crate) config: Config,
    pub(crate) slab: Slab,
    pub(crate) index: Index,
    /// Entries that stand in the index twice.
    pub(crate) doubles: usize,
    /// Of these, those with a zone in each direction.
    pub(crate) split: usize,
    live: usize,
    sweep_at: usize,
    /// Counts the connections that came since the sweep went on.
    turn: u32,
    next_number: u64,
    ended: Vec<u32>,
    /// The latest moment that a packet came at.
    pub(crate) latest: Timestamp,
    pub(crate) expectations: Expectations,
    pub(crate) stats: Stats,
    pub(crate) explain: bool,
    pub(crate) sources: Sources,
    pub(crate) chance: Chance,
    pub(crate) gre_keys: GreKeys,
    pub(crate) policies: Policies,
    pub(crate) part: Option<Box<Part>>,
    /// While somebody watches.
    pub(crate) events: Option<Box<Events>>,
    /// The others, while they are at hand.
    pub(crate) others: Vec<Conntrack>,
}

impl Conntrack {
    /// An empty table. The index for `nf_conntrack_buckets` is there at once, entries as they come.
    pub fn new(config: Config) -> Self {
        let chance = Chance::new(config.hash_seed);
        Conntrack {
            policies: Policies::new(&config),
            slab: Slab::new(config.acct != 0),
            index: Index::new(config.buckets.clamp(1, 1 << 24)),
            config,
            doubles: 0,
            split: 0,
            live: 0,
            sweep_at: 0,
            turn: 0,
            next_number: 1,
            ended: Vec::new(),
            latest: Timestamp::default(),
            expectations: Expectations::default(),
            stats: Stats::default(),
            explain: false,
            sources: Sources::default(),
            chance,
            gre_keys: GreKeys::default(),
            part: None,
            events: None,
            others: Vec::new(),
        }
    }

    /// Settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Counts the traffic of connections from now on (kernel `nf_ct_set_acct`). Those that there are begin with nothing;
    /// the kernel never counts theirs.
    pub fn count_traffic(&mut self) {
        self.config.acct = 1;
        self.slab.count_traffic();
    }

    /// The timeout policy of a name, for a [`Template`].
    pub fn policy(&self, name: &str) -> Option<PolicyId> {
        self.policies.find(name)
    }

    /// Whether [`Track::tcp`](crate::Track::tcp) is filled in; costs an allocation a TCP packet.
    pub fn set_explain(&mut self, explain: bool) {
        self.explain = explain;
    }

    /// Whether [`Track::tcp`](crate::Track::tcp) is filled in.
    pub fn explains(&self) -> bool {
        self.explain
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

    /// Bytes that entries and their index hold.
    pub fn memory(&self) -> usize {
        self.slab.memory() + self.index.memory()
    }

    /// An entry, if it still exists.
    #[inline]
    pub fn connection(&self, id: ConnId) -> Option<Entry<'_>> {
        self.entry(id.index)
            .filter(|entry| entry.generation == id.generation)
    }

    /// An entry, to set its mark.
    #[inline]
    pub fn connection_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        let connection = self.slab.get_mut(id.index)?;
        (connection.generation == id.generation).then_some(connection)
    }

    /// Confirmed entries, in no useful order, dead ones that were not collected included.
    pub fn connections(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.slab.slots() as u32)
            .filter_map(|index| self.entry(index))
            .filter(|c| c.confirmed() && !c.status.has(Status::DYING))
    }

    /// Expectations, oldest first.
    pub fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.expectations.iter()
    }

    /// Removes everything that ended by `now`.
    pub fn expire(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
        self.sweep(self.slab.slots(), now);
        self.expectations.expire(now);
    }

    /// The entry of a slot.
    pub(crate) fn entry(&self, index: u32) -> Option<Entry<'_>> {
        Entry::new(&self.slab, index)
    }

    #[inline]
    pub(crate) fn slot(&self, index: u32) -> Option<&Connection> {
        self.slab.get(index)
    }

    /// Remembers something for a connection's packets of a direction, which [`Connection::remembered`] tells.
    pub fn remember(&mut self, slot: u32, direction: Direction, what: u32) {
        if let Some(connection) = self.slab.get_mut(slot) {
            connection.remember(direction, what);
        }
    }

    /// The handle of a slot's connection.
    #[inline]
    pub fn id(&self, slot: u32) -> Option<ConnId> {
        let generation = self.slab.get(slot)?.generation;
        let index = slot;
        Some(ConnId { index, generation })
    }

    #[inline]
    pub(crate) fn hash(&self, key: &Key, zone: Zone) -> u64 {
        hash::of(self.config.hash_seed, key, zone)
    }

    /// The connection in the table that has `tuple` in one of its directions (kernel `nf_conntrack_find_get`).
    pub fn lookup(&mut self, tuple: &Tuple, zones: [Zone; 2], now: Timestamp) -> Option<ConnId> {
        let (index, _) = self.find(tuple, zones, now)?;
        self.id(index)
    }

    /// A confirmed, living entry that has `tuple` in one of its directions.
    #[inline]
    pub(crate) fn find(
        &mut self,
        tuple: &Tuple,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Option<(u32, Direction)> {
        let key = tuple.key();
        self.find_key(&key, self.hash(&key, zones[0]), zones, now)
    }

    /// As [`find`](Self::find), by the hash with the first zone.
    pub(crate) fn find_key(
        &mut self,
        key: &Key,
        hash: u64,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Option<(u32, Direction)> {
        let found = self.search(key, hash, zones, now);
        if found.is_some() || zones[0] == zones[1] {
            return found;
        }
        self.search(key, self.hash(key, zones[1]), zones, now)
    }

    /// Those of a hash. One that ended and is met ends here. Of two with the tuple, which only a zone in each direction
    /// allows, it is the younger one, as the kernel puts it before the other.
    pub(crate) fn search(
        &mut self,
        key: &Key,
        hash: u64,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Option<(u32, Direction)> {
        let inverse = key.inverse()?;
        loop {
            let slab = &self.slab;
            let fitting = |link| {
                let (index, under) = unlink(link);
                let direction = fits(slab.get(index)?, under, key, &inverse, zones)?;
                Some((index, direction))
            };
            let (index, direction) = if self.split == 0 {
                self.index.find(hash, fitting)?
            } else {
                let mut youngest = None;
                let number = |&(index, _): &(u32, Direction)| slab.cold(index).number;
                let _: Option<()> = self.index.find(hash, |link| {
                    youngest = youngest.into_iter().chain(fitting(link)).max_by_key(number);
                    None
                });
                youngest?
            };
            let ended = self.slab.get(index).is_none_or(|c| c.expired(now));
            if !ended {
                return Some((index, direction));
            }
            self.stats.expired += 1;
            self.remove(index);
        }
    }

    /// Collects what ended, and makes sure that an entry more has a place.
    #[inline]
    pub(crate) fn make_room(&mut self, hash: impl FnOnce(&Self) -> u64, now: Timestamp) -> bool {
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(SWEEP_EACH) {
            self.sweep(SWEEP_STEP, now);
        }
        let max = self.config.max as usize;
        if self.counts_one_more(max) {
            return true;
        }
        self.sweep(SWEEP_FULL, now);
        let hash = hash(self);
        let room =
            self.counts_one_more(max) || self.early_drop(hash, now) && self.counts_one_more(max);
        self.stats.table_full += u64::from(!room);
        room
    }

    #[inline]
    fn counts_one_more(&self, max: usize) -> bool {
        let alone = || max == 0 || self.live < max;
        self.enters_part(max).unwrap_or_else(alone)
    }

    fn number(&mut self) -> u64 {
        self.number_of_part().unwrap_or_else(|| {
            self.next_number += 1;
            self.next_number - 1
        })
    }

    /// As [`create`](Self::create), of a TCP or UDP flow that nothing is said of and nobody expects; `None` when the
    /// table is full.
    pub(crate) fn open(&mut self, key: &Key, hash: u64, now: Timestamp) -> Option<u32> {
        if !self.make_room(|_| hash, now) {
            return None;
        }
        let (index, generation) = self.slab.reserve();
        self.hold(index, |slot| slot.begin(key, generation, now), now);
        Some(index)
    }

    /// Has a new connection begin in the slot that was reserved for it.
    #[inline(always)]
    pub(crate) fn hold(&mut self, index: u32, begin: impl FnOnce(&mut Connection), now: Timestamp) {
        let cold = Cold {
            number: self.number(),
            created: now,
        };
        self.slab.begin(index, begin, cold);
        self.live += 1;
        self.stats.peak = self.stats.peak.max(self.live as u64);
    }

    /// Puts a connection with a past into the slot that was reserved for it.
    pub(crate) fn keep(
        &mut self,
        index: u32,
        connection: Connection,
        cold: Cold,
        traffic: [Traffic; 2],
    ) {
        self.slab.put(index, connection, cold);
        self.slab.set_traffic(index, traffic);
        self.live += 1;
        self.stats.peak = self.stats.peak.max(self.live as u64);
        self.next_number = self.next_number.max(cold.number.saturating_add(1));
    }

    /// Kernel `init_conntrack`.
    pub(crate) fn create(
        &mut self,
        tuple: &Tuple,
        template: Option<&Template>,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Result<u32, NoEntry> {
        let key = tuple.key();
        key.inverse().ok_or(NoEntry::NotInvertible)?;
        if !self.make_room(|table| table.hash(&key, zones[0]), now) {
            return Err(NoEntry::Full);
        }
        let (index, generation) = self.slab.reserve();
        let id = ConnId { index, generation };
        let mut connection = Connection::new(&key, zones, generation, now);
        if let Some(template) = template {
            // An announced connection too has the policy that a rule gives its first packet.
            if template.policy.is_some() {
                connection.rare_mut().policy = template.policy;
            }
            if template.proxied {
                connection.set_proxied();
            }
        }
        let mut announced = None;
        let slab = &self.slab;
        let expectation =
            self.expectations
                .take(tuple, zones[0].max(zones[1]), now, |master: ConnId| {
                    slab.get(master.index)
                        .filter(|c| c.generation == master.generation)
                        .is_some_and(|c| c.confirmed() && !c.status.has(Status::DYING))
                });
        if let Some(expectation) = expectation {
            connection.status.set(Status::EXPECTED);
            let master = self.connection(expectation.master);
            connection.mark = master.map_or(0, |master| master.mark);
            let tuple = master.map(|master| master.tuple(Direction::Original));
            let helper = master.and_then(|master| master.helper());
            let rare = connection.rare_mut();
            rare.master = Some(expectation.parent);
            rare.master_id = Some(expectation.master);
            rare.master_helper = helper;
            rare.master_tuple = tuple;
            rare.helper = expectation.assign;
            let text = Arc::from(expectation.announced.as_str());
            rare.announced = Some((expectation.helper, text));
            announced = Some(expectation);
        } else if let Some(name) = template.and_then(|t| t.helper)
            && helper::for_tuple(name, tuple).is_some()
        {
            connection.rare_mut().helper = Some(name);
            connection.status.set(Status::HELPER);
        }
        self.hold(index, |slot| *slot = connection, now);
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

    /// Takes an entry out of index and slab; its expectations go with it.
    pub(crate) fn remove(&mut self, index: u32) {
        let Some(connection) = self.slab.get(index) else {
            return;
        };
        let id = ConnId {
            index,
            generation: connection.generation,
        };
        if connection.confirmed() && !connection.status.has(Status::DYING) {
            self.unlink(index);
        }
        if self.watched() {
            self.goes(index);
        }
        self.unlink_source(index);
        self.leaves_part(index);
        let Some(connection) = self.slab.take(index) else {
            return;
        };
        self.live -= 1;
        if connection.helper().is_some() {
            self.expectations.forget_parent(id);
            self.gre_keys.forget(id);
            if connection.confirmed() {
                helper::ended(self, &connection);
            }
        }
        // With a call its control connection's keys are gone too (kernel `destroy_gre_conntrack`).
        if connection.protocol() == proto::GRE
            && let Some(master) = connection.rare().master_id
        {
            self.gre_keys.forget(master);
        }
    }

    /// Takes an entry out of the index; it stays in the slab for the packet that ended it.
    pub(crate) fn detach(&mut self, index: u32) {
        self.unlink(index);
        if let Some(connection) = self.slab.get_mut(index) {
            connection.status.set(Status::DYING);
        }
    }

    /// Whether no tuple can have more than one connection.
    #[inline]
    pub(crate) fn unambiguous(&self) -> bool {
        self.split == 0
    }

    /// Takes an entry's links out of the index.
    fn unlink(&mut self, index: u32) {
        let connection = self.slab.get(index);
        let single = connection.is_none_or(Connection::single);
        let split = connection.is_some_and(Connection::split);
        self.doubles = self.doubles.saturating_sub(usize::from(!single));
        self.split = self.split.saturating_sub(usize::from(split));
        for direction in [Direction::Original, Direction::Reply] {
            let link = link(index, direction);
            if (direction == Direction::Original || !single)
                && let Some(hash) = link_hash(&self.slab, self.config.hash_seed, link)
            {
                self.index.remove(hash, link);
            }
        }
    }

    /// Collects ended entries among the next `count` slots.
    #[inline]
    fn sweep(&mut self, count: usize, now: Timestamp) {
        let mut ended = std::mem::take(&mut self.ended);
        self.sweep_at = self.slab.ended(self.sweep_at, count, now, &mut ended);
        if ended.is_empty() {
            self.ended = ended;
            return;
        }
        for index in ended.drain(..) {
            // With one of them others may have gone.
            if self.slab.get(index).is_some_and(|c| c.expired(now)) {
                self.stats.expired += 1;
                self.remove(index);
            }
        }
        self.ended = ended;
    }

    /// Makes room near `hash`: the first entry that ended or is not assured (kernel `early_drop`).
    fn early_drop(&mut self, hash: u64, now: Timestamp) -> bool {
        let slab = &self.slab;
        let victim = self.index.near(hash, EVICTION_LINES, |link| {
            let (index, _) = unlink(link);
            let connection = slab.get(index)?;
            (connection.expired(now) || !connection.assured()).then_some(index)
        });
        if let Some(index) = victim {
            self.stats.early_drop += 1;
            self.remove(index);
        }
        victim.is_some()
    }
}

/// Why a packet got no entry.
pub(crate) enum NoEntry {
    NotInvertible,
    Full,
}
