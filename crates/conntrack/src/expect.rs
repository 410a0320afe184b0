//! Expectations: connections that helpers announced.
//!
//! # Overview
//! An expectation is a tuple with wildcards. The first packet that fits makes a connection
//! that is RELATED, child of the announcing one.
//! # Life cycle
//! Made by a helper through [`crate::helper::Call::expect`]; removed when it is fulfilled (unless it is
//! permanent), when it times out, when a newer one takes its place (each helper has a limit a
//! connection and class), or with its parent.
//! # Bounds
//! `nf_conntrack_expect_max` in all. They are found by destination, so that a new connection is
//! compared only with those for its own destination.
//! # Locking
//! None: owned by the table, which is used by one thread at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::HashMap;
use palisade_wire::Timestamp;

use crate::config::Config;
use crate::connection::ConnId;
use crate::events::ExpectationEvents;
use crate::tool::Kind;
use crate::tuple::{Direction, Tuple, TupleProto, Zone};

/// Handle of an expectation; never used for another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Default)]
pub struct ExpectId(pub(crate) u64);

/// What is done with the connection that fulfils an expectation, before any rule sees it (kernel
/// `expectfn`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Follow {
    /// Nothing.
    #[default]
    Nothing,
    /// It is translated as its parent is (kernel `nf_nat_follow_master`).
    Master,
    /// Of the helper that announced it, see there.
    Sip,
    /// See [`Follow::Sip`].
    Pptp,
    /// See [`Follow::Sip`].
    Q931,
    /// See [`Follow::Sip`].
    CallForwarding,
}

/// A connection that is waited for (kernel `struct nf_conntrack_expect`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Handle.
    pub id: ExpectId,
    /// The announcing connection.
    pub(crate) master: ConnId,
    /// Its display number.
    pub parent: u64,
    /// Helper that announced it.
    pub helper: &'static str,
    /// Class among the helper's expectations; each has limits of its own.
    pub class: u8,
    /// Source address and how many of its leading bits must agree; `None`: any.
    pub source: Option<(IpAddr, u8)>,
    /// Source port or GRE key; `None`: any.
    pub source_port: Option<u16>,
    /// Destination address.
    pub destination: IpAddr,
    /// Destination port or GRE key.
    pub destination_port: u16,
    /// Protocol.
    pub protocol: u8,
    /// Zone of the parent.
    pub zone: Zone,
    /// When it is given up.
    pub deadline: Timestamp,
    /// Stays after it was fulfilled.
    pub permanent: bool,
    /// Waits to be activated.
    pub inactive: bool,
    /// Helper that the new connection gets.
    pub assign: Option<&'static str>,
    /// What is done with the new connection.
    pub follow: Follow,
    /// Direction of the parent in which the new connection comes (for translation).
    pub direction: Direction,
    /// Address that was announced, before translation.
    pub saved_address: Option<IpAddr>,
    /// Port or key that was announced, before translation.
    pub saved_port: u16,
    /// The announcing bytes, as text.
    pub announced: String,
}

/// Expectations are found by what every one of them says: where to.
type Place = (IpAddr, u16, u8);

impl Expectation {
    fn place(&self) -> Place {
        (self.destination, self.destination_port, self.protocol)
    }

    /// Whether a new connection's original tuple is the one waited for.
    pub fn fits(&self, tuple: &Tuple, zone: Zone) -> bool {
        if matches!(tuple.proto, TupleProto::Icmp { .. }) {
            return false;
        }
        self.place() == place_of(tuple)
            && self.zone == zone
            && self
                .source
                .is_none_or(|(net, length)| same_net(net, tuple.source, length))
            && self.source_port.is_none_or(|p| p == tuple.source_word())
    }

    /// Same tuple and wildcards (kernel `expect_matches`).
    fn same(&self, other: &Self) -> bool {
        self.source == other.source
            && self.source_port == other.source_port
            && self.place() == other.place()
            && self.zone == other.zone
    }

    /// Some tuple fits both (kernel `expect_clash`).
    fn clashes(&self, other: &Self) -> bool {
        let agree = match (self.source, other.source) {
            (Some((a, x)), Some((b, y))) => same_net(a, b, x.min(y)),
            _ => true,
        };
        let ports = match (self.source_port, other.source_port) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        agree && ports && self.place() == other.place() && self.zone == other.zone
    }
}

fn place_of(tuple: &Tuple) -> Place {
    (tuple.destination, tuple.destination_word(), tuple.protocol)
}

/// Whether the first `length` bits of two addresses agree.
fn same_net(a: IpAddr, b: IpAddr, length: u8) -> bool {
    let differ = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
        _ => return false,
    };
    differ >= u32::from(length)
}

/// Why an expectation was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The very same is expected already, by another connection or in another class (kernel
    /// `-EALREADY`).
    Already,
    /// Another one overlaps it (kernel `-EBUSY`).
    Clash,
    /// `nf_conntrack_expect_max` reached (kernel `-EMFILE`).
    Full,
    /// The port lies below the one that the configuration allows helpers to announce.
    Port,
    /// The announcing connection is gone.
    Gone,
}

impl Refused {
    /// Of a limit of the configuration, with its numbers.
    pub(crate) fn limit(self, port: u16, config: &Config) -> Option<String> {
        match self {
            Refused::Full => Some(format!(
                "nf_conntrack_expect_max = {} expectations are waiting already",
                config.expect_max
            )),
            Refused::Port => Some(format!(
                "it announces port {port}, below the least that helpers may announce, {}",
                config.helpers.least_expected_port
            )),
            Refused::Already | Refused::Clash | Refused::Gone => None,
        }
    }

    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Refused::Already | Refused::Clash => "another connection expects the same",
            Refused::Full => "nf_conntrack_expect_max expectations are waiting already",
            Refused::Port => "it announces a port below the least that helpers may announce",
            Refused::Gone => "the connection is gone",
        }
    }
}

/// How many expectations of a class a connection may have, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) per_class: usize,
    pub(crate) max: u64,
    /// Whether equal ones of other connections count as the same too.
    pub(crate) skip_master: bool,
}

/// What became of expectations (kernel `expect_new`, `expect_create`, `expect_delete`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that came as expected.
    pub fulfilled: u64,
    /// Expectations made.
    pub made: u64,
    /// Expectations removed, in whatever way.
    pub removed: u64,
}

/// All expectations, bounded by `nf_conntrack_expect_max`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expectations {
    all: BTreeMap<ExpectId, Expectation>,
    places: HashMap<Place, Vec<ExpectId>>,
    parents: HashMap<ConnId, Vec<ExpectId>>,
    next: u64,
    counts: Counts,
    /// While somebody watches.
    pub(crate) events: Option<Box<ExpectationEvents>>,
}

impl Expectations {
    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.all.values()
    }

    /// What became of them.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes all back.
    pub(crate) fn clear(&mut self) {
        let all: Vec<ExpectId> = self.all.keys().copied().collect();
        for id in all {
            self.remove(id);
        }
    }

    pub(crate) fn get(&self, id: ExpectId) -> Option<&Expectation> {
        self.all.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ExpectId) -> Option<&mut Expectation> {
        self.all.get_mut(&id)
    }

    /// Those of one connection, oldest first.
    pub(crate) fn of_parent(
        &self,
        master: ConnId,
    ) -> impl DoubleEndedIterator<Item = &Expectation> {
        self.parents
            .get(&master)
            .into_iter()
            .flatten()
            .filter_map(|id| self.all.get(id))
    }

    /// Adds one (kernel `nf_ct_expect_related_report`): an equal one of the same parent is
    /// replaced, the parent's oldest of the class makes room at its helper's limit.
    pub(crate) fn add(
        &mut self,
        mut new: Expectation,
        limits: Limits,
        now: Timestamp,
    ) -> Result<ExpectId, Refused> {
        self.expire_place(new.place(), now);
        let there = self.places.get(&new.place()).cloned().unwrap_or_default();
        // Newest first, as the kernel's chain stands.
        for id in there.into_iter().rev() {
            let Some(old) = self.all.get(&id) else {
                continue;
            };
            if (limits.skip_master || old.master == new.master) && old.same(&new) {
                if old.class != new.class || old.master != new.master {
                    return Err(Refused::Already);
                }
                self.remove(id);
                break;
            }
            if old.clashes(&new) {
                return Err(Refused::Clash);
            }
        }
        let of_class: Vec<ExpectId> = self
            .of_parent(new.master)
            .filter(|e| e.class == new.class)
            .map(|e| e.id)
            .collect();
        if limits.per_class > 0 && of_class.len() >= limits.per_class {
            let ended: Vec<ExpectId> = self
                .of_parent(new.master)
                .filter(|e| e.deadline <= now)
                .map(|e| e.id)
                .collect();
            for id in &ended {
                self.remove(*id);
            }
            let left = of_class.iter().filter(|id| !ended.contains(id));
            if left.clone().count() >= limits.per_class
                && let Some(oldest) = left.min()
            {
                self.remove(*oldest);
            }
        }
        if self.all.len() as u64 >= limits.max {
            self.expire(now);
            if self.all.len() as u64 >= limits.max {
                return Err(Refused::Full);
            }
        }
        self.next += 1;
        new.id = ExpectId(self.next);
        self.places.entry(new.place()).or_default().push(new.id);
        self.parents.entry(new.master).or_default().push(new.id);
        let id = new.id;
        if let Some(events) = &mut self.events {
            events.add(Kind::New, &new);
        }
        self.all.insert(id, new);
        self.counts.made += 1;
        Ok(id)
    }

    /// Keeps an expectation of a snapshot.
    pub(crate) fn keep(&mut self, mut new: Expectation, master: ConnId) {
        new.master = master;
        self.next = self.next.max(new.id.0);
        self.places.entry(new.place()).or_default().push(new.id);
        self.parents.entry(new.master).or_default().push(new.id);
        self.all.insert(new.id, new);
    }

    /// What expectations of other tables say to a new one of this table, as [`add`](Self::add) would of its own,
    /// and what they leave of the limits. Ids are given in the order of all.
    pub(crate) fn beside(
        &mut self,
        mut others: Vec<&mut Expectations>,
        new: &Expectation,
        limits: Limits,
        now: Timestamp,
    ) -> Result<Limits, Refused> {
        let place = new.place();
        self.expire_place(place, now);
        let mut there: Vec<(ExpectId, bool, &Expectation)> = Vec::new();
        for other in &mut others {
            other.expire_place(place, now);
            self.next = self.next.max(other.next);
        }
        let of = |one: &Expectations| one.places.get(&place).cloned().unwrap_or_default();
        for (own, one) in
            std::iter::once((true, &*self)).chain(others.iter().map(|other| (false, &**other)))
        {
            let here = of(one).into_iter();
            there.extend(here.filter_map(|id| Some((id, own, one.all.get(&id)?))));
        }
        there.sort_by_key(|(id, ..)| std::cmp::Reverse(*id));
        for (_, own, old) in there {
            let own = own && old.master == new.master;
            if (limits.skip_master || own) && old.same(new) {
                if old.class != new.class || !own {
                    return Err(Refused::Already);
                }
                break;
            }
            if old.clashes(new) {
                return Err(Refused::Clash);
            }
        }
        let count = |one: &Expectations| one.all.len() as u64;
        let total = count(self) + others.iter().map(|other| count(other)).sum::<u64>();
        if total >= limits.max {
            others.iter_mut().for_each(|other| other.expire(now));
        }
        let theirs: u64 = others.iter().map(|other| count(other)).sum();
        Ok(Limits {
            max: limits.max.saturating_sub(theirs),
            ..limits
        })
    }

    /// The expectation that a tuple would fulfil, active or not (kernel `__nf_ct_expect_find`).
    pub(crate) fn find(&self, tuple: &Tuple, zone: Zone, now: Timestamp) -> Option<&Expectation> {
        self.places
            .get(&place_of(tuple))?
            .iter()
            .rev()
            .filter_map(|id| self.all.get(id))
            .find(|e| e.deadline > now && e.fits(tuple, zone))
    }

    /// Takes out the expectation that a new connection fulfils; a permanent one stays. `confirmed` says
    /// whether a parent is in the table: before that nobody can know of what it expects.
    pub(crate) fn take(
        &mut self,
        tuple: &Tuple,
        zone: Zone,
        now: Timestamp,
        confirmed: impl Fn(ConnId) -> bool,
    ) -> Option<Expectation> {
        if self.all.is_empty() {
            return None;
        }
        let place = place_of(tuple);
        self.expire_place(place, now);
        let found = self
            .places
            .get(&place)?
            .iter()
            .rev()
            .filter_map(|id| self.all.get(id))
            .find(|e| !e.inactive && e.fits(tuple, zone))?;
        if !confirmed(found.master) {
            return None;
        }
        let (id, permanent) = (found.id, found.permanent);
        self.counts.fulfilled += 1;
        if permanent {
            self.all.get(&id).cloned()
        } else {
            self.remove(id)
        }
    }

    pub(crate) fn remove(&mut self, id: ExpectId) -> Option<Expectation> {
        let gone = self.all.remove(&id)?;
        if let Some(events) = &mut self.events {
            events.add(Kind::Destroy, &gone);
        }
        self.counts.removed += 1;
        let place = gone.place();
        if let Some(list) = self.places.get_mut(&place) {
            list.retain(|other| *other != id);
            if list.is_empty() {
                self.places.remove(&place);
            }
        }
        if let Some(list) = self.parents.get_mut(&gone.master) {
            list.retain(|other| *other != id);
            if list.is_empty() {
                self.parents.remove(&gone.master);
            }
        }
        Some(gone)
    }

    pub(crate) fn forget_parent(&mut self, master: ConnId) {
        for id in self.parents.get(&master).cloned().unwrap_or_default() {
            self.remove(id);
        }
    }

    fn expire_place(&mut self, place: Place, now: Timestamp) {
        for id in self.places.get(&place).cloned().unwrap_or_default() {
            if self.all.get(&id).is_some_and(|e| e.deadline <= now) {
                self.remove(id);
            }
        }
    }

    pub(crate) fn expire(&mut self, now: Timestamp) {
        let ended: Vec<ExpectId> = self
            .all
            .values()
            .filter(|e| e.deadline <= now)
            .map(|e| e.id)
            .collect();
        for id in ended {
            self.remove(id);
        }
    }
}
