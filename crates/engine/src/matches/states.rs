//! What matches and targets remember between packets, and what is prepared for them before the first.
//!
//! # Overview
//! A rule's match that needs something beside the model has a slot: a number that its own part of [`States`] gave
//! it. Everything is owned by the engine; what grows on behalf of strangers has its bound in its own file.

use palisade_conntrack::Config;
use palisade_rules::Match;

use super::{Limits, Patterns, RecentLists};
use crate::sets::Sets;
use crate::synproxy::Cookies;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct States {
    pub(crate) limits: Limits,
    pub(crate) recent: RecentLists,
    /// Of SYNPROXY.
    pub(crate) cookies: Cookies,
    pub(crate) sets: Sets,
    pub(crate) patterns: Patterns,
}

impl States {
    /// Prepares a match; `None` if it needs nothing.
    pub(crate) fn prepare(&mut self, m: &Match, config: &Config) -> Option<u32> {
        match m {
            Match::Limit(limit) => Some(self.limits.add(limit)),
            Match::Set(rule) => self.sets.number(&rule.set.value.name),
            Match::Recent(recent) => Some(self.recent.list(recent)),
            Match::String(rule) => Some(self.patterns.add(rule)),
            // The number that the label's name stands for.
            Match::Connlabel(rule) => config.label(&rule.label.value).map(u32::from),
            _ => None,
        }
    }
}
