//! Expectations: connections that helpers announced.
//!
//! # Overview
//! An expectation is a tuple with wildcards. The first packet that fits makes a connection
//! that is RELATED, child of the announcing one.
//! # Life cycle
//! Made by [`crate::Conntrack::leave`] from a helper's proposal; removed when it is fulfilled, when it times
//! out, when a newer one takes its place (each helper has a limit a connection), or with its
//! parent.
//! # Locking
//! None: owned by the table, which is used by one thread at a time.

use std::net::IpAddr;

use palisade_wire::Timestamp;

use crate::connection::ConnId;
use crate::tuple::{Tuple, TupleProto, Zone};

/// A connection that is waited for (kernel `struct nf_conntrack_expect`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The announcing connection.
    pub(crate) master: ConnId,
    /// Its display number.
    pub parent: u64,
    /// Helper that announced it.
    pub helper: &'static str,
    /// Source address; `None`: any.
    pub source: Option<IpAddr>,
    /// Source port; `None`: any.
    pub source_port: Option<u16>,
    /// Destination address.
    pub destination: IpAddr,
    /// Destination port.
    pub destination_port: u16,
    /// Protocol.
    pub protocol: u8,
    /// Zone of the parent.
    pub zone: Zone,
    /// When it is given up.
    pub deadline: Timestamp,
    /// The announcing bytes, as text.
    pub announced: String,
}

impl Expectation {
    /// Whether a new connection's original tuple is the one waited for.
    pub fn fits(&self, tuple: &Tuple, zone: Zone) -> bool {
        let TupleProto::Ports {
            source,
            destination,
        } = tuple.proto
        else {
            return false;
        };
        self.protocol == tuple.protocol
            && self.zone == zone
            && self.destination == tuple.destination
            && self.destination_port == destination
            && self.source.is_none_or(|s| s == tuple.source)
            && self.source_port.is_none_or(|p| p == source)
    }

    /// Same tuple and wildcards (kernel `expect_matches`).
    fn same(&self, other: &Self) -> bool {
        self.source == other.source
            && self.source_port == other.source_port
            && self.destination == other.destination
            && self.destination_port == other.destination_port
            && self.protocol == other.protocol
            && self.zone == other.zone
    }

    /// Some tuple fits both (kernel `expect_clash`).
    fn clashes(&self, other: &Self) -> bool {
        let agree = |a: Option<IpAddr>, b: Option<IpAddr>| a.is_none() || b.is_none() || a == b;
        let ports = |a: Option<u16>, b: Option<u16>| a.is_none() || b.is_none() || a == b;
        agree(self.source, other.source)
            && ports(self.source_port, other.source_port)
            && self.destination == other.destination
            && self.destination_port == other.destination_port
            && self.protocol == other.protocol
            && self.zone == other.zone
    }
}

/// Why an expectation was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another connection expects the same or an overlapping tuple.
    Clash,
    /// `nf_conntrack_expect_max` reached.
    Full,
}

/// All expectations, bounded by `nf_conntrack_expect_max`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expectations {
    list: Vec<Expectation>,
}

impl Expectations {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.list.iter()
    }

    /// Adds one (kernel `nf_ct_expect_related_report`): an equal one of the same parent is
    /// replaced, the parent's oldest makes room at its helper's limit.
    pub(crate) fn add(
        &mut self,
        new: Expectation,
        per_parent: usize,
        max: u64,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.expire(now);
        if let Some(at) = self
            .list
            .iter()
            .position(|e| e.master == new.master && e.same(&new))
        {
            self.list.remove(at);
        } else if self.list.iter().any(|e| e.clashes(&new)) {
            return Err(Refused::Clash);
        }
        let of_parent = |e: &Expectation| e.master == new.master;
        if self.list.iter().filter(|e| of_parent(e)).count() >= per_parent
            && let Some(oldest) = self.list.iter().position(of_parent)
        {
            self.list.remove(oldest);
        }
        if self.list.len() as u64 >= max {
            return Err(Refused::Full);
        }
        self.list.push(new);
        Ok(())
    }

    /// Takes out the expectation that a new connection fulfils.
    pub(crate) fn take(
        &mut self,
        tuple: &Tuple,
        zone: Zone,
        now: Timestamp,
    ) -> Option<Expectation> {
        if self.list.is_empty() {
            return None;
        }
        self.expire(now);
        let at = self.list.iter().position(|e| e.fits(tuple, zone))?;
        Some(self.list.remove(at))
    }

    pub(crate) fn forget_parent(&mut self, master: ConnId) {
        self.list.retain(|e| e.master != master);
    }

    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.list.retain(|e| e.deadline > now);
    }
}
