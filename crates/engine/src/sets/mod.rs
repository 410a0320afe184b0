//! Sets of addresses (ipset) as rules see and change them.
//!
//! # Overview
//! Made from what `ipset save` wrote; `-m set` asks whether a packet is in one, `-j SET` adds and deletes. Sets have
//! numbers, by which rules know them.
//! # Life cycle
//! Elements are those of the text, and those that rules add. One with a timeout goes when its time is over: it is no
//! longer seen from then on, and taken out when something is added to its set. The clock starts with the first packet.
//! # Bounds
//! `maxelem` of a set; a bitmap has its range. A list holds what the text gave it.
//! # Locking
//! None: owned by the engine.

mod add;
mod key;
mod set;
mod test;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use palisade_rules::ipset::{self, SkbInfo};
use palisade_rules::matches::set::{Count, SetRef};
use palisade_wire::{Family, Packet, Timestamp};

use crate::input::LinkInfo;
use crate::matches::Jiffies;

pub(crate) use add::{Addition, Changed};
use set::Set;

/// All sets.
#[derive(Clone, Debug, Default)]
pub struct Sets {
    jiffies: Jiffies,
    /// Tick of the first packet.
    started: Option<u64>,
    sets: Vec<Set>,
    names: HashMap<String, u32>,
}

/// What a set can look at.
pub(crate) struct Look<'a> {
    pub(crate) packet: &'a Packet<'a>,
    pub(crate) in_interface: &'a str,
    pub(crate) out_interface: &'a str,
    pub(crate) link: &'a LinkInfo,
    pub(crate) mark: u32,
    pub(crate) now: Timestamp,
}

impl Look<'_> {
    fn family(&self) -> Family {
        self.packet.family()
    }
}

/// `src` or `dst` for each part of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    /// How many were given.
    pub(crate) count: usize,
    /// Bit by bit, the first lowest: whether it is `src`.
    pub(crate) sources: u8,
}

impl Flags {
    pub(crate) fn of(set: &SetRef) -> Self {
        let bits = set.sources.iter().take(8).enumerate();
        Flags {
            count: set.sources.len(),
            sources: bits.fold(0, |all, (i, source)| all | u8::from(*source) << i),
        }
    }

    /// Kernel `IPSET_DIM_…_SRC`; what was not given is `dst`.
    fn source(self, at: usize) -> bool {
        self.sources >> at & 1 == 1
    }
}

/// How a set is asked (kernel `ip_set_adt_opt`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) flags: Flags,
    pub(crate) return_nomatch: bool,
    pub(crate) skip_counters: bool,
    pub(crate) skip_subcounters: bool,
    pub(crate) packets: Option<Count>,
    pub(crate) bytes: Option<Count>,
    /// What the element that fitted gives the packet.
    pub(crate) found: SkbInfo,
}

impl Ask {
    pub(crate) fn plain(flags: Flags) -> Self {
        Ask {
            flags,
            return_nomatch: false,
            skip_counters: false,
            skip_subcounters: false,
            packets: None,
            bytes: None,
            found: SkbInfo::default(),
        }
    }
}

impl Sets {
    /// From the language's model.
    pub fn new(model: &ipset::Sets) -> Self {
        let names: HashMap<String, u32> = model
            .sets
            .iter()
            .enumerate()
            .map(|(i, s)| (s.name.clone(), i as u32))
            .collect();
        let jiffies = Jiffies::default();
        let sets = model
            .sets
            .iter()
            .map(|s| Set::new(s, &names, jiffies))
            .collect();
        Sets {
            jiffies,
            started: None,
            sets,
            names,
        }
    }

    /// The names of the sets, in the order in which they were made.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sets.iter().map(|s| s.model.name.as_str())
    }

    /// The number of a set.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// What the sets hold at a moment, as `ipset save` would print it.
    pub fn contents(&self, now: Timestamp) -> ipset::Sets {
        let started = self.started.unwrap_or_else(|| self.jiffies.of(now));
        let tick = self.jiffies.of(now).saturating_sub(started);
        let names: Vec<&str> = self.sets.iter().map(|s| s.model.name.as_str()).collect();
        ipset::Sets {
            sets: self
                .sets
                .iter()
                .map(|s| s.contents(&names, tick, u64::from(self.jiffies.hz)))
                .collect(),
        }
    }

    /// Ticks since the first packet.
    fn tick(&mut self, now: Timestamp) -> u64 {
        let tick = self.jiffies.of(now);
        tick.saturating_sub(*self.started.get_or_insert(tick))
    }
}
