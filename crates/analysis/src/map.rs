//! A ruleset laid out for the lints: decoded rules, who calls whom, and the way of one packet.

use std::cell::Cell;

use palisade_rules::{Counters, Family, Hook, Policy, Position, Rule, Ruleset, TableKind};

use crate::probe::Probe;
use crate::view::{self, Action, Conditions};

/// Steps that all walks over one ruleset may take together.
const BUDGET: u64 = 20_000_000;
/// Deepest nesting of chains that is followed.
const MAX_DEPTH: usize = 64;
/// Most ways to one chain that are looked at.
const MAX_WAYS: usize = 8;

/// A ruleset.
#[derive(Debug)]
pub(crate) struct Map<'a> {
    /// Address family.
    pub family: Family,
    /// Tables.
    pub tables: Vec<TableMap<'a>>,
    budget: Cell<u64>,
}

/// A table.
#[derive(Debug)]
pub(crate) struct TableMap<'a> {
    /// Which one.
    pub kind: TableKind,
    /// Chains, in the model's order.
    pub chains: Vec<ChainMap<'a>>,
}

/// A chain.
#[derive(Debug)]
pub(crate) struct ChainMap<'a> {
    /// Name.
    pub name: &'a str,
    /// Hook of a built-in chain.
    pub hook: Option<Hook>,
    /// Policy of a built-in chain.
    pub policy: Policy,
    /// Counters of the policy.
    pub counters: Counters,
    /// Rules.
    pub rules: Vec<RuleMap<'a>>,
    /// Rules that lead here, as (chain, rule).
    pub callers: Vec<(usize, usize)>,
    /// Whether a built-in chain leads here.
    pub reached: bool,
    /// Whether no packet comes back from it.
    pub ends: bool,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct RuleMap<'a> {
    /// The model.
    pub rule: &'a Rule,
    /// What it demands.
    pub conditions: Conditions,
    /// What it does.
    pub action: Action,
}

impl RuleMap<'_> {
    /// Where it stands.
    pub(crate) fn position(&self) -> Position {
        self.rule.position
    }
}

/// How a packet's way through a table ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// What ended it; a policy is `Accept` or `Drop`.
    pub action: Action,
    /// Chain and rule that ended it; no rule for a policy.
    pub end: (usize, Option<usize>),
    /// Jumps on the way to the end, then the end, as (chain, rule).
    pub steps: Vec<(usize, usize)>,
    /// Rules asked.
    pub visited: usize,
    /// Rules that would have decided if a test that is not looked into held.
    pub doubtful: Vec<(usize, usize)>,
    /// Rules that fitted and let it go on.
    pub passed: Vec<(usize, usize)>,
}

impl<'a> Map<'a> {
    /// Lays out a ruleset.
    pub(crate) fn new(ruleset: &'a Ruleset) -> Self {
        Map {
            family: ruleset.family,
            tables: ruleset.tables.iter().map(TableMap::new).collect(),
            budget: Cell::new(BUDGET),
        }
    }

    /// A table, when the text has it.
    pub(crate) fn table(&self, kind: TableKind) -> Option<&TableMap<'a>> {
        self.tables.iter().find(|t| t.kind == kind)
    }

    /// A table and the index of a built-in chain in it.
    pub(crate) fn hook(&self, kind: TableKind, hook: Hook) -> Option<(&TableMap<'a>, usize)> {
        let table = self.table(kind)?;
        let at = table.chains.iter().position(|c| c.hook == Some(hook))?;
        Some((table, at))
    }

    /// All rules of all tables.
    pub(crate) fn rules(
        &self,
    ) -> impl Iterator<Item = (&TableMap<'a>, &ChainMap<'a>, &RuleMap<'a>)> {
        self.tables.iter().flat_map(|t| {
            t.chains
                .iter()
                .flat_map(move |c| c.rules.iter().map(move |r| (t, c, r)))
        })
    }

    /// The way of a packet from a built-in chain. None, when the walks became too long.
    pub(crate) fn walk(
        &self,
        table: &TableMap<'_>,
        chain: usize,
        probe: &Probe,
        assumed: &[String],
    ) -> Option<Way> {
        self.walk_without(table, chain, probe, assumed, None)
    }

    /// The same as if one rule, given as (chain, rule), were not there.
    pub(crate) fn walk_without(
        &self,
        table: &TableMap<'_>,
        chain: usize,
        probe: &Probe,
        assumed: &[String],
        without: Option<(usize, usize)>,
    ) -> Option<Way> {
        let mut way = Way {
            action: Action::Accept,
            end: (chain, None),
            steps: Vec::new(),
            visited: 0,
            doubtful: Vec::new(),
            passed: Vec::new(),
        };
        // Frames of chain and next rule; a goto takes its own frame away.
        let mut stack: Vec<(usize, usize)> = vec![(chain, 0)];
        let mut jumps: Vec<Option<(usize, usize)>> = vec![None];
        while let Some(frame) = stack.last_mut() {
            let (at, number) = *frame;
            let Some(entry) = table.chains[at].rules.get(number) else {
                stack.pop();
                jumps.pop();
                continue;
            };
            frame.1 += 1;
            if without == Some((at, number)) {
                continue;
            }
            way.visited += 1;
            let left = self.budget.get().checked_sub(1)?;
            self.budget.set(left);
            if !probe.fits(&entry.conditions, assumed) {
                let decides = !matches!(
                    entry.action,
                    Action::Pass
                        | Action::Log
                        | Action::Change
                        | Action::Helper(_)
                        | Action::Return
                );
                if decides
                    && !entry.conditions.opaque.is_empty()
                    && probe.fits_plainly(&entry.conditions)
                {
                    way.doubtful.push((at, number));
                }
                continue;
            }
            match &entry.action {
                Action::Jump(to) | Action::Goto(to) => {
                    if stack.len() >= MAX_DEPTH {
                        return None;
                    }
                    if matches!(entry.action, Action::Goto(_)) {
                        stack.pop();
                        jumps.pop();
                    }
                    stack.push((*to, 0));
                    jumps.push(Some((at, number)));
                }
                Action::Return => {
                    stack.pop();
                    jumps.pop();
                }
                action if action.ends() => {
                    way.action = action.clone();
                    way.end = (at, Some(number));
                    way.steps = jumps.into_iter().flatten().collect();
                    way.steps.push((at, number));
                    return Some(way);
                }
                _ => way.passed.push((at, number)),
            }
        }
        way.action = match table.chains[chain].policy {
            Policy::Accept => Action::Accept,
            Policy::Drop => Action::Drop,
        };
        Some(way)
    }
}

impl<'a> TableMap<'a> {
    fn new(model: &'a palisade_rules::Table) -> Self {
        let mut chains: Vec<ChainMap<'a>> = model
            .chains
            .iter()
            .map(|c| ChainMap {
                name: &c.name,
                hook: c.builtin,
                policy: c.policy,
                counters: c.counters,
                rules: c
                    .rules
                    .iter()
                    .map(|rule| RuleMap {
                        rule,
                        conditions: view::conditions(rule),
                        action: view::action(rule),
                    })
                    .collect(),
                callers: Vec::new(),
                reached: c.builtin.is_some(),
                ends: false,
            })
            .collect();
        let calls: Vec<(usize, usize, usize)> = chains
            .iter()
            .enumerate()
            .flat_map(|(c, chain)| {
                chain
                    .rules
                    .iter()
                    .enumerate()
                    .filter_map(move |(r, rule)| match rule.action {
                        Action::Jump(to) | Action::Goto(to) => Some((c, r, to)),
                        _ => None,
                    })
            })
            .collect();
        for (c, r, to) in &calls {
            if let Some(chain) = chains.get_mut(*to) {
                chain.callers.push((*c, *r));
            }
        }
        let mut todo: Vec<usize> = (0..chains.len()).filter(|c| chains[*c].reached).collect();
        while let Some(at) = todo.pop() {
            for to in chains[at]
                .rules
                .iter()
                .filter_map(|r| match r.action {
                    Action::Jump(to) | Action::Goto(to) => Some(to),
                    _ => None,
                })
                .collect::<Vec<_>>()
            {
                if !chains[to].reached {
                    chains[to].reached = true;
                    todo.push(to);
                }
            }
        }
        // A chain ends every packet when it cannot be left by RETURN and its last rule takes all; each round
        // may find more.
        for _ in 0..MAX_DEPTH {
            let ends: Vec<bool> = chains.iter().map(|c| c.ends).collect();
            let mut more = false;
            for chain in chains.iter_mut().filter(|c| !c.ends) {
                let closed = chain.rules.iter().any(|r| {
                    r.conditions.is_empty()
                        && match r.action {
                            Action::Jump(to) | Action::Goto(to) => ends[to],
                            Action::Return => false,
                            _ => r.action.ends(),
                        }
                });
                let open = chain.rules.iter().any(|r| match r.action {
                    Action::Return => true,
                    Action::Goto(to) => !ends[to],
                    _ => false,
                });
                if closed && !open {
                    chain.ends = true;
                    more = true;
                }
            }
            if !more {
                break;
            }
        }
        TableMap {
            kind: model.kind,
            chains,
        }
    }

    /// Whether a packet that fits a rule never reaches the next rule of its chain.
    pub(crate) fn ends(&self, rule: &RuleMap<'_>) -> bool {
        match rule.action {
            Action::Jump(to) => self.chains[to].ends,
            _ => rule.action.ends(),
        }
    }

    /// Ways from a built-in chain to a chain: its index, and the jumps as (chain, rule).
    pub(crate) fn ways_to(&self, chain: usize) -> Vec<(usize, Vec<(usize, usize)>)> {
        let mut found = Vec::new();
        let mut todo: Vec<(usize, Vec<(usize, usize)>)> = vec![(chain, Vec::new())];
        while let Some((at, way)) = todo.pop() {
            if self.chains[at].hook.is_some() {
                let mut way = way.clone();
                way.reverse();
                found.push((at, way));
                if found.len() >= MAX_WAYS {
                    break;
                }
                continue;
            }
            if way.len() >= MAX_DEPTH {
                continue;
            }
            for caller in self.chains[at].callers.iter().take(MAX_WAYS) {
                let mut longer = way.clone();
                longer.push(*caller);
                if todo.len() < 4 * MAX_WAYS {
                    todo.push((caller.0, longer));
                }
            }
        }
        found
    }

    /// "INPUT 3 > services 2", as people number rules.
    pub(crate) fn describe(&self, steps: &[(usize, usize)]) -> String {
        steps
            .iter()
            .map(|(chain, rule)| format!("{} {}", self.chains[*chain].name, rule + 1))
            .collect::<Vec<_>>()
            .join(" > ")
    }
}
