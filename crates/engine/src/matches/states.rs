//! What matches and targets remember between packets, and what is prepared for them before the first.
//!
//! # Overview
//! A rule's match that needs something beside the model has a slot: a number that its own part of [`States`] gave
//! it. Everything is owned by the engine; what grows on behalf of strangers has its bound in its own file.

use palisade_conntrack::Config;
use palisade_rules::matches::statistic::Choice;
use palisade_rules::{Family, Match, Target};
use palisade_wire::Timestamp;

use super::connlimit::Connlimits;
use super::count::{Accounts, Counts, Draws};
use super::hashlimit::Hashlimits;
use super::rates::Estimators;
use super::{Limits, Patterns, RecentLists};
use crate::log::Logs;
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
    pub(crate) connlimits: Connlimits,
    pub(crate) hashlimits: Hashlimits,
    pub(crate) counts: Counts,
    pub(crate) draws: Draws,
    pub(crate) estimators: Estimators,
    pub(crate) accounts: Accounts,
    /// How far the wall's clock is ahead of packets' times, in nanoseconds.
    pub(crate) wall_ahead: i64,
    /// What rules said that log.
    pub(crate) logs: Logs,
    /// A rule used some of it.
    pub(crate) touched: Touched,
}

/// Whether something was used; no part of what is remembered.
#[derive(Clone, Copy, Default)]
pub(crate) struct Touched(pub(crate) bool);

impl std::fmt::Debug for Touched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

impl States {
    /// What does not hang on rules; of the rest nothing. The sets are left to the caller.
    pub(crate) fn without_rules(&self) -> States {
        States {
            cookies: self.cookies.clone(),
            draws: self.draws.clone(),
            accounts: self.accounts.clone(),
            wall_ahead: self.wall_ahead,
            ..States::default()
        }
    }

    /// Takes over what rules share by names that these, too, have.
    pub(crate) fn adopt(&mut self, old: &mut States) {
        self.recent.adopt(&mut old.recent);
        self.hashlimits.adopt(&mut old.hashlimits);
        self.estimators.adopt(&mut old.estimators);
        self.logs = std::mem::take(&mut old.logs);
    }

    /// Takes over what a match of a rule remembers for itself.
    pub(crate) fn inherit(&mut self, m: &Match, to: u32, old: &mut States, from: u32) {
        match m {
            Match::Connlimit(_) => self.connlimits.inherit(to, &mut old.connlimits, from),
            Match::Statistic(_) | Match::Quota(_) => self.counts.inherit(to, &old.counts, from),
            Match::Limit(_) => self.limits.inherit(to, &old.limits, from),
            _ => {}
        }
    }

    /// What the wall's clock shows when a packet comes.
    pub(crate) fn wall(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.wall_ahead))
    }

    /// Prepares a match; `None` if it needs nothing.
    pub(crate) fn prepare(&mut self, m: &Match, family: Family, config: &Config) -> Option<u32> {
        match m {
            Match::Connlimit(_) => Some(self.connlimits.add()),
            Match::Hashlimit(rule) => self.hashlimits.table(rule, family),
            Match::Statistic(rule) => match rule.0.value {
                Choice::Nth { .. } => Some(self.counts.add(Counts::begin(rule))),
                Choice::Random(_) => None,
            },
            Match::Quota(rule) => Some(self.counts.add(rule.0.value)),
            Match::Nfacct(rule) => Some(self.accounts.find(&rule.0)),
            Match::Limit(limit) => Some(self.limits.add(limit)),
            Match::Set(rule) => self.sets.number(&rule.set.value.name),
            Match::Recent(recent) => Some(self.recent.list(recent)),
            Match::String(rule) => Some(self.patterns.add(rule)),
            // The number that the label's name stands for.
            Match::Connlabel(rule) => config.label(&rule.label.value).map(u32::from),
            _ => None,
        }
    }

    /// What a rule shares with others by a name that they must agree about: why the kernel would refuse it.
    pub(crate) fn disagreement(&mut self, m: &Match, family: Family) -> Option<String> {
        match m {
            Match::Hashlimit(rule) if self.hashlimits.table(rule, family).is_none() => {
                Some(format!(
                    "the hashlimit table '{}' is used with and without --hashlimit-rate-match",
                    rule.name
                ))
            }
            Match::Rateest(rule) => [Some(&rule.name), rule.other.as_ref()]
                .into_iter()
                .flatten()
                .find(|name| !self.estimators.has(name))
                .map(|name| format!("no rule before this one feeds the estimator '{name}'")),
            _ => None,
        }
    }

    /// Likewise, of a target.
    pub(crate) fn target_disagreement(&mut self, target: &Target) -> Option<String> {
        match target {
            Target::Rateest(rule) if !self.estimators.add(rule) => Some(format!(
                "the estimator '{}' has another interval or average elsewhere",
                rule.name
            )),
            _ => None,
        }
    }
}
