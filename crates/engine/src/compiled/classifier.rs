//! A chain's rules to be looked up by fields alone: for measuring, and for whoever has no packet.

use std::net::IpAddr;

use palisade_rules::matches::conntrack::StateSet;
use palisade_rules::{Family, Rule};

use super::describe::Shape;
use super::key::{Address, Interfaces, Key, OTHER, misc};
use super::{Finder, SMALL};

/// What is looked up: a packet by no interface that a rule names, of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// Protocol.
    pub protocol: u8,
    /// Source port; 0 of a protocol without ports.
    pub source_port: u16,
    /// Destination port, likewise; of ICMP its type and code.
    pub destination_port: u16,
}

impl Fields {
    fn key<A: Address>(&self) -> Option<Key<A>> {
        Some(Key {
            source: A::of(self.source)?,
            destination: A::of(self.destination)?,
            source_port: self.source_port,
            destination_port: self.destination_port,
            misc: misc(self.protocol, OTHER, OTHER),
            state: StateSet::NEW,
        })
    }
}

/// The structure that finds rules of a chain.
#[derive(Clone, Debug)]
pub struct Classifier {
    finder: Finder,
    rules: usize,
}

impl Classifier {
    /// Of rules in their order.
    pub fn new(rules: &[Rule], family: Family) -> Self {
        let finder = Finder::new(rules.iter(), family, &mut Interfaces::default());
        Classifier::of(finder, rules.len())
    }

    pub(super) fn of(finder: Finder, rules: usize) -> Self {
        Classifier { finder, rules }
    }

    /// The first rule from `from` on that such a packet may match, from 0: those before it do not. Rules may ask for
    /// more than fields.
    #[inline]
    pub fn find(&self, fields: &Fields, from: u32) -> Option<u32> {
        let found = match &self.finder {
            Finder::Walk => return ((from as usize) < self.rules.min(SMALL)).then_some(from),
            Finder::V4(tables) => fields.key().and_then(|key| tables.find(&key, from)),
            Finder::V6(tables) => fields.key().and_then(|key| tables.find(&key, from)),
        };
        found.map(|(rule, _)| rule)
    }

    /// What it is made of.
    pub fn shape(&self) -> Shape {
        self.finder.shape()
    }
}
