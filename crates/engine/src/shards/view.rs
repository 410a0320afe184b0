//! All shards as one.

use std::fmt::Debug;
use std::sync::MutexGuard;

use palisade_conntrack::{Conntrack, Entry, Expectation, Stats};
use palisade_rules::{Counters, Family, Ruleset};

use super::{Shards, locked};
use crate::Engine;

/// What all shards know; they stand still as long as it is there.
#[derive(Debug)]
pub struct View<'a> {
    all: Vec<MutexGuard<'a, Engine>>,
    shards: &'a Shards,
}

impl<'a> View<'a> {
    pub(super) fn new(all: Vec<MutexGuard<'a, Engine>>, shards: &'a Shards) -> Self {
        View { all, shards }
    }

    /// The tables, by the numbers of the shards. A handle of a connection is one of its table.
    pub fn tables(&self) -> impl Iterator<Item = &Conntrack> {
        self.all.iter().map(|engine| &engine.conntrack)
    }

    /// Confirmed entries with their shards, in no useful order.
    pub fn connections(&self) -> impl Iterator<Item = (usize, Entry<'_>)> {
        let tables = self.tables().enumerate();
        tables.flat_map(|(shard, table)| table.connections().map(move |entry| (shard, entry)))
    }

    /// Expectations, in no useful order.
    pub fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.tables().flat_map(Conntrack::expectations)
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.tables().map(Conntrack::len).sum()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sums of the tables' counts.
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for stats in self.tables().map(Conntrack::stats) {
            sum.inserted += stats.inserted;
            sum.invalid += stats.invalid;
            sum.table_full += stats.table_full;
            sum.early_drop += stats.early_drop;
            sum.expired += stats.expired;
            sum.peak += stats.peak;
        }
        if self.all.len() > 1 {
            sum.peak = self.shards.tally.peak() as u64;
        }
        sum
    }

    /// Flows that live in another shard than the one they are at home in.
    pub fn away(&self) -> usize {
        self.shards.registry.len()
    }

    /// The rules of a family with their counters, as `iptables-save -c` would print them.
    pub fn ruleset(&self, family: Family) -> Option<Ruleset> {
        let source = self.all[0].source(family)?;
        let mut sum = self.all[0].ruleset(family)?;
        for engine in &self.all[1..] {
            let more = engine.ruleset(family)?;
            // Each began with the counters that were given.
            for ((sum, more), began) in counters(&mut sum)
                .zip(counters(&mut more.clone()))
                .zip(counters(&mut source.clone()))
            {
                sum.packets = sum.packets.wrapping_add(more.packets - began.packets);
                sum.bytes = sum.bytes.wrapping_add(more.bytes - began.bytes);
            }
        }
        Some(sum)
    }

    /// What rules and reassembly remember, as [`Engine::remembered`] tells it.
    pub fn with_remembered<T>(&mut self, look: impl FnOnce(&dyn Debug) -> T) -> T {
        let shards = self.shards;
        shards.lending(&mut self.all[0], |engine| look(&engine.remembered()))
    }

    /// Bytes that fragments of a family occupy while they wait for the rest.
    pub fn fragments_held(&self, family: Family) -> u64 {
        self.all.iter().map(|e| e.fragments_held(family)).sum()
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        // A table that is lent is back before anybody can look.
        debug_assert!(locked(&self.shards.spare).iter().all(Conntrack::is_empty));
    }
}

/// All counters of a ruleset, in its order.
fn counters(rules: &mut Ruleset) -> impl Iterator<Item = &mut Counters> {
    let chains = rules.tables.iter_mut().flat_map(|table| &mut table.chains);
    chains.flat_map(|chain| {
        let rules = chain.rules.iter_mut().map(|rule| &mut rule.counters);
        std::iter::once(&mut chain.counters).chain(rules)
    })
}
