//! The compiled evaluator: finds the next rule that may match instead of asking one after the other.
//!
//! # Overview
//! A rule begins with tests that change nothing. [`entry`] makes a box of them: prefixes of both addresses, ranges of
//! ports, protocol, interfaces, states. A packet outside of a rule's box fails in that rule without a trace, so that
//! the rule may be left out; a packet within is handed to the rule as [`linear`] has it. What a chain
//! finds is therefore always a candidate, and the order of rules is kept; everything else (jumps, policies, what
//! cannot be known) is the walk of `linear` itself.
//!
//! Rules drop packets whose headers are cut short when they merely look at them, so that such packets, and later
//! fragments, visit every rule.
//!
//! The boxes of a chain with more than a few rules lie in [`tables`], chosen by [`build`], and take in rules that come
//! [later](append).
//!
//! # Measured
//! `cargo bench -p palisade-engine --bench classify` on a 2-core AMD EPYC that others used as well; one core; headers
//! aimed at rules drawn by chance; nanoseconds a look-up (rules in the order of ClassBench, shuffled), bytes a rule,
//! milliseconds to build:
//!
//! | rules | in order | shuffled | bytes | build |
//! |---|---|---|---|---|
//! | addresses 10 / 10,000 / 100,000 | 17 / 28 / 75 | | 94 / 48 / 55 | 13 for 100,000 |
//! | acl 10,000 / 100,000 | 31 / 68 | 48 | 67 / 61 | 4 / 29 |
//! | fw 10,000 / 100,000 | 71 / 174 | 104 | 61 / 57 | 5 / 29 |
//! | ipc 10,000 / 100,000 | 52 / 121 | 65 | 68 / 62 | 5 / 21 |
//! | 1,000 that differ in ranges of ports | 48 | | 44 | |
//!
//! A rule appended to 100,000 costs half a microsecond, and 5 ms when a large table grows. Greedy tables were the
//! first structure tried; they met every bound at once, so that cut trees, which need copies of rules to be as
//! fast, were not.
//!
//! # Not looked up
//! Negated tests, masks with holes, names of interfaces that end in `+`, marks, MAC addresses and everything else a rule
//! asks for are left to the rule. Ranges of ports are looked up by the first bits that all their ports share, and
//! compared box by box where those are none.

mod append;
mod build;
mod classifier;
mod describe;
mod entry;
#[cfg(test)]
mod equal;
mod key;
mod tables;
#[cfg(test)]
mod tests;

use palisade_rules::{Family, Rule};
use palisade_wire::Buffer;

use crate::linear::{self, Decision, Guide, Next};
use crate::matches::{Context, Facts, Shared};
use crate::observe::Observer;
use crate::program::ProgramTable;

pub use self::classifier::{Classifier, Fields};
pub use self::describe::{ChainShape, Shape};
use self::entry::Entry;
pub(crate) use self::key::Interfaces;
use self::key::{Address, Known};
use self::tables::Tables;

/// Rules that are visited one by one.
const SMALL: usize = 2;

/// How the rules of a chain are found.
#[derive(Clone, Debug)]
pub(crate) enum Finder {
    /// One after the other.
    Walk,
    V4(Tables<u32>),
    V6(Tables<u128>),
}

impl Finder {
    /// Of rules in their order.
    pub(crate) fn new<'a>(
        rules: impl ExactSizeIterator<Item = &'a Rule>,
        family: Family,
        interfaces: &mut Interfaces,
    ) -> Self {
        if rules.len() <= SMALL {
            return Finder::Walk;
        }
        match family {
            Family::V4 => Finder::V4(Tables::build(entries(rules, interfaces))),
            Family::V6 => Finder::V6(Tables::build(entries(rules, interfaces))),
        }
    }

    /// Of the same rules and one more, the last of them.
    pub(crate) fn append<'a>(
        &mut self,
        rules: impl ExactSizeIterator<Item = &'a Rule> + DoubleEndedIterator,
        family: Family,
        interfaces: &mut Interfaces,
    ) {
        let number = rules.len().saturating_sub(1) as u32;
        match self {
            Finder::Walk => *self = Finder::new(rules, family, interfaces),
            Finder::V4(tables) => tables.append(rules, number, interfaces),
            Finder::V6(tables) => tables.append(rules, number, interfaces),
        }
    }
}

fn entries<'a, A: Address>(
    rules: impl Iterator<Item = &'a Rule>,
    interfaces: &mut Interfaces,
) -> Vec<Entry<A>> {
    (0..)
        .zip(rules)
        .map(|(number, rule)| Entry::new(rule, number, interfaces))
        .collect()
}

/// Knows what a packet is looked up by.
pub(crate) struct Lookup {
    known: Known,
}

impl Lookup {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Lookup {
            known: Known::Stale,
        }
    }
}

impl Guide for Lookup {
    #[inline]
    fn next(
        &mut self,
        finder: &Finder,
        interfaces: &Interfaces,
        at: u32,
        context: &Context<'_>,
        shared: &Shared<'_>,
    ) -> Next {
        let one = Next {
            rule: at,
            sure: false,
        };
        if matches!(finder, Finder::Walk) {
            return one;
        }
        if matches!(self.known, Known::Stale) {
            self.known.look(context, shared, interfaces);
        }
        let found = match (finder, &self.known) {
            (Finder::V4(tables), Known::V4(key)) => tables.find(key, at),
            (Finder::V6(tables), Known::V6(key)) => tables.find(key, at),
            _ => return one,
        };
        match found {
            Some((rule, sure)) => Next { rule, sure },
            None => Next {
                rule: u32::MAX,
                sure: false,
            },
        }
    }

    fn changed(&mut self) {
        self.known = Known::Stale;
    }
}

/// Walks one table at one hook; see [`linear::run`], to which it is equal.
pub(crate) fn run<O: Observer>(
    table: &mut ProgramTable,
    stack: &mut Vec<(u32, u32)>,
    buffer: &mut Buffer<'_>,
    facts: &Facts<'_>,
    shared: &mut Shared<'_>,
    visited: &mut u32,
    observer: &mut O,
) -> Option<Decision> {
    let mut lookup = Lookup::new();
    linear::walk(
        table,
        stack,
        buffer,
        facts,
        shared,
        visited,
        observer,
        &mut lookup,
    )
}
