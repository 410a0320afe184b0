//! The observer: the same evaluator, watched. The ordinary path passes `()`, and everything here
//! compiles away.

use std::net::IpAddr;

use palisade_conntrack::Track;
use palisade_rules::{Hook, Rule, TableKind};

/// A rule being visited.
#[derive(Clone, Copy, Debug)]
pub struct RuleRef<'a> {
    /// Table.
    pub table: TableKind,
    /// Chain.
    pub chain: &'a str,
    /// Number from 1.
    pub number: u32,
    /// The rule as written.
    pub rule: &'a Rule,
    /// Packets counted before this visit.
    pub packets: u64,
    /// Bytes counted before this visit.
    pub bytes: u64,
}

/// The first test that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// `-s`.
    Source,
    /// `-d`.
    Destination,
    /// `-i`.
    InInterface,
    /// `-o`.
    OutInterface,
    /// `-p`.
    Protocol,
    /// `-f`.
    Fragment,
    /// A match, by its position in the rule.
    Match(usize),
}

/// Result of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Everything fits.
    Matched,
    /// Something does not.
    Failed(Failed),
    /// It may fit: a match that is not evaluated stands in it.
    Unknown,
    /// The packet is too broken for a match, which drops it.
    HotDrop,
    /// Likewise, but the test was negated: the rule counts, its target acts, then the packet is dropped.
    MatchedThenDrop,
}

/// Something a target did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Packet mark changed.
    Mark {
        /// Before.
        from: u32,
        /// After.
        to: u32,
    },
    /// Connection mark changed.
    ConnectionMark {
        /// Before.
        from: u32,
        /// After.
        to: u32,
    },
    /// Logged with a prefix.
    Logged(String),
    /// Exempted from tracking.
    NoTrack,
    /// Helper or zone set for the connection to come.
    Template(String),
    /// Addresses or ports translated, in words.
    Translated(String),
    /// Added to sets or deleted from them, in words.
    Sets(String),
    /// A field of a header changed, or was added.
    Changed {
        /// Its name.
        field: &'static str,
        /// Before; `None` if it was not there.
        from: Option<u32>,
        /// After.
        to: u32,
    },
    /// TCP options were overwritten with NOP.
    Stripped {
        /// How many.
        options: u32,
    },
    /// A copy was sent to another host.
    Copied(IpAddr),
    /// A target whose work neither packets nor rules see.
    Passed(String),
}

/// Watches a packet. All methods have empty bodies by default.
pub trait Observer {
    /// Whether anything is to be told at all.
    const ACTIVE: bool = true;

    /// Whether it is to be told of every rule that fails. Those that the compiled evaluator never asks can not be
    /// told of, so that rules are walked one by one.
    const FAILURES: bool = false;

    /// A table's chain is entered at a hook.
    fn enter(&mut self, _hook: Hook, _table: TableKind) {}

    /// A rule was visited; one that failed is told of for certain only with [`FAILURES`](Self::FAILURES).
    fn visit(&mut self, _rule: RuleRef<'_>, _visit: Visit) {}

    /// A target did something.
    fn effect(&mut self, _effect: Effect) {}

    /// A chain's policy decided.
    fn policy(&mut self, _table: TableKind, _chain: &str, _accept: bool) {}

    /// Connection tracking judged the packet.
    fn tracked(&mut self, _track: &Track) {}
}

impl Observer for () {
    const ACTIVE: bool = false;
}
