//! Tables while commands change them: chains by name, who jumps where, and what the kernel says to
//! the whole (kernel `mark_source_chains`, `nft_chain_validate`).
//!
//! A chain keeps its slot for life, so that jumps need no renumbering; empty slots go when the text
//! is read to its end.

use std::collections::HashMap;

use palisade_wire::Family;

use super::rulelist::RuleList;
use crate::model::*;

/// Deepest nest of jumps of nf_tables (kernel `NFT_JUMP_STACK_SIZE`).
const NFT_DEPTH: usize = 16;

/// A set of hooks, one bit each.
pub(crate) type Hooks = u8;

/// The bit of a hook.
pub(crate) fn bit(hook: Hook) -> Hooks {
    1 << hook as u8
}

/// Why the kernel refuses a table.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Chains call each other in a circle, or too deep.
    Loop {
        /// The rule that closes it.
        position: Position,
        /// Chain it jumps to.
        to: String,
    },
    /// A rule can be reached from a hook where its target or match does not work.
    Hook {
        /// The rule.
        position: Position,
        /// Hook from which it is reached.
        hook: Hook,
        /// What does not work there.
        name: String,
        /// Where it works.
        works: Hooks,
    },
}

/// A chain at work.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) builtin: Option<Hook>,
    pub(crate) policy: Policy,
    pub(crate) counters: Counters,
    pub(crate) rules: RuleList,
    /// Rules anywhere in the table that jump here.
    pub(crate) references: usize,
    /// Whether nf_tables has it: a built-in chain is made by the first command about it.
    pub(crate) made: bool,
    /// Hooks from which it can be reached, when the table is not stale.
    hooks: Hooks,
    /// Whether a rule takes every packet, behind which ip_tables does not look.
    stopped: bool,
    /// Chains that its rules jump to, without those that are gone.
    jumps: Vec<usize>,
}

impl Slot {
    fn new(name: &str, builtin: Option<Hook>) -> Self {
        Slot {
            name: name.to_string(),
            builtin,
            policy: Policy::Accept,
            counters: Counters::default(),
            rules: RuleList::default(),
            references: 0,
            made: builtin.is_none(),
            hooks: builtin.map_or(0, bit),
            stopped: false,
            jumps: Vec::new(),
        }
    }
}

/// A table at work.
#[derive(Debug)]
pub(crate) struct Working {
    pub(crate) kind: TableKind,
    slots: Vec<Option<Slot>>,
    names: HashMap<String, usize>,
    /// Whether `hooks` of the chains may be wrong.
    stale: bool,
    /// Whether nf_tables has it: the first command that makes a chain makes it.
    pub(crate) made: bool,
}

/// Chain that a rule jumps or goes to.
fn jump(rule: &Rule) -> Option<usize> {
    match rule.target {
        Target::Jump(to) | Target::Goto(to) => Some(to),
        _ => None,
    }
}

/// Whether every packet that comes to the rule ends there (kernel `unconditional` with a standard
/// target).
fn takes_all(rule: &Rule) -> bool {
    rule.matches.is_empty()
        && rule.base == Base::default()
        && matches!(rule.target, Target::Accept | Target::Drop | Target::Return)
}

impl Working {
    pub(crate) fn new(kind: TableKind) -> Self {
        let slots: Vec<Option<Slot>> = kind
            .hooks()
            .iter()
            .map(|hook| Some(Slot::new(hook.name(), Some(*hook))))
            .collect();
        let names = slots
            .iter()
            .flatten()
            .enumerate()
            .map(|(i, s)| (s.name.clone(), i))
            .collect();
        Working {
            kind,
            slots,
            names,
            stale: false,
            made: false,
        }
    }

    /// A table that is there already.
    pub(crate) fn of(table: Table) -> Self {
        let mut working = Working {
            kind: table.kind,
            slots: Vec::new(),
            names: HashMap::new(),
            stale: true,
            made: true,
        };
        for (at, chain) in table.chains.iter().enumerate() {
            let mut slot = Slot::new(&chain.name, chain.builtin);
            (slot.policy, slot.counters) = (chain.policy, chain.counters);
            // That nf_tables lacks a chain of the table is not told by a ruleset.
            slot.made = true;
            working.names.insert(chain.name.clone(), at);
            working.slots.push(Some(slot));
        }
        for (at, chain) in table.chains.into_iter().enumerate() {
            for rule in chain.rules {
                working.put(at, None, rule);
            }
        }
        working
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Chains that exist, with their slots.
    pub(crate) fn chains(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(i, s)| s.as_ref().map(|s| (i, s)))
    }

    pub(crate) fn slot(&self, at: usize) -> Option<&Slot> {
        self.slots.get(at)?.as_ref()
    }

    pub(crate) fn slot_mut(&mut self, at: usize) -> Option<&mut Slot> {
        self.slots.get_mut(at)?.as_mut()
    }

    /// A command about a chain makes it in nf_tables, and its table.
    pub(crate) fn make(&mut self, at: usize) {
        self.made = true;
        if let Some(slot) = self.slot_mut(at) {
            slot.made = true;
        }
    }

    /// Whether nf_tables has a chain.
    pub(crate) fn is_made(&self, at: usize) -> bool {
        self.slot(at).is_some_and(|s| s.made)
    }

    /// Makes a user chain; `None` if it exists.
    pub(crate) fn add(&mut self, name: &str) -> Option<usize> {
        if self.names.contains_key(name) {
            return None;
        }
        self.slots.push(Some(Slot::new(name, None)));
        let at = self.slots.len() - 1;
        self.names.insert(name.to_string(), at);
        Some(at)
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.clear(at);
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::take) {
            self.names.remove(&slot.name);
        }
    }

    pub(crate) fn rename(&mut self, at: usize, name: &str) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
            self.names.remove(&slot.name);
            slot.name = name.to_string();
            self.names.insert(name.to_string(), at);
        }
    }

    /// Deletes all rules of a chain.
    pub(crate) fn clear(&mut self, at: usize) {
        let Some(slot) = self.slot_mut(at) else {
            return;
        };
        let jumps: Vec<usize> = slot.rules.iter().filter_map(jump).collect();
        slot.rules.clear();
        slot.jumps.clear();
        slot.stopped = false;
        if !jumps.is_empty() {
            self.stale = true;
        }
        for to in jumps {
            self.unrefer(to);
        }
    }

    fn refer(&mut self, to: usize) {
        if let Some(slot) = self.slot_mut(to) {
            slot.references += 1;
        }
    }

    fn unrefer(&mut self, to: usize) {
        if let Some(slot) = self.slot_mut(to) {
            slot.references = slot.references.saturating_sub(1);
        }
    }

    /// Puts a rule at a position, or at the end, and keeps count of jumps. What the kernel says is
    /// another question.
    pub(crate) fn put(&mut self, at: usize, position: Option<usize>, rule: Rule) {
        let to = jump(&rule);
        let all = takes_all(&rule);
        let Some(slot) = self.slot_mut(at) else {
            return;
        };
        match position {
            Some(position) => {
                slot.rules.insert(position, rule);
                if all {
                    // What lies behind it is out of reach now.
                    self.stale = true;
                }
            }
            None => slot.rules.push(rule),
        }
        self.noted(at, to, all);
    }

    fn noted(&mut self, at: usize, to: Option<usize>, all: bool) {
        if let Some(slot) = self.slot_mut(at) {
            slot.stopped |= all;
            if let Some(to) = to
                && !slot.jumps.contains(&to)
            {
                slot.jumps.push(to);
            }
        }
        if let Some(to) = to {
            self.refer(to);
        }
    }

    pub(crate) fn take(&mut self, at: usize, position: usize) -> Option<Rule> {
        let rule = self.slot_mut(at)?.rules.remove(position)?;
        self.forgotten(&rule);
        Some(rule)
    }

    fn forgotten(&mut self, rule: &Rule) {
        if let Some(to) = jump(rule) {
            self.unrefer(to);
            self.stale = true;
        } else if takes_all(rule) {
            self.stale = true;
        }
    }

    pub(crate) fn swap(&mut self, at: usize, position: usize, rule: Rule) -> Option<Rule> {
        let (to, all) = (jump(&rule), takes_all(&rule));
        let old = self.slot_mut(at)?.rules.replace(position, rule)?;
        self.forgotten(&old);
        if all {
            self.stale = true;
        }
        self.noted(at, to, all);
        Some(old)
    }

    /// Whether a rule at a position takes every packet: what is behind it is out of reach.
    pub(crate) fn takes_all_at(&self, at: usize, position: usize) -> bool {
        self.slot(at)
            .and_then(|s| s.rules.iter().nth(position))
            .is_some_and(takes_all)
    }

    /// Whether the kernel takes one more rule in a chain, of a table that it takes as it is;
    /// `works` tells at which hooks a rule works, and what of it does not elsewhere. When more
    /// than the rule itself has to be looked at, the table [is stale](Self::is_stale) afterwards.
    pub(crate) fn takes(
        &mut self,
        at: usize,
        position: Option<usize>,
        rule: &Rule,
        tools: Tools,
        works: &Works<'_>,
    ) -> Result<(), Refusal> {
        let to = jump(rule);
        let limits = works(rule);
        if to.is_none() && limits.is_none() {
            return Ok(());
        }
        if self.stale {
            // What was wrong before is not this rule's fault.
            let _ = self.check(tools, works);
        }
        let Some(slot) = self.slot(at) else {
            return Ok(());
        };
        let hooks = slot.hooks;
        if slot.stopped && tools == Tools::Legacy {
            // Behind a rule that takes all it is not looked at; before one it is.
            if position.is_some() {
                self.stale = true;
            }
            return Ok(());
        }
        if hooks == 0 {
            return Ok(());
        }
        if let Some((name, good)) = limits {
            reached(rule.position, hooks, &name, good)?;
        }
        if let Some(to) = to {
            if to == at || self.leads(to, at) {
                return Err(self.circle(rule.position, to));
            }
            if self.slot(to).is_some_and(|s| hooks & !s.hooks != 0) {
                self.stale = true;
            }
        }
        Ok(())
    }

    fn circle(&self, position: Position, to: usize) -> Refusal {
        Refusal::Loop {
            position,
            to: self.slot(to).map_or(String::new(), |s| s.name.clone()),
        }
    }

    /// Whether jumps lead from one chain to another.
    fn leads(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![false; self.slots.len()];
        let mut stack = vec![from];
        while let Some(at) = stack.pop() {
            if at == to {
                return true;
            }
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            stack.extend(self.slot(at).iter().flat_map(|s| s.jumps.iter().copied()));
        }
        false
    }

    /// Whether a change left something to look at.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Looks at the whole table as the kernel does when it is loaded.
    pub(crate) fn check(&mut self, tools: Tools, works: &Works<'_>) -> Result<(), Refusal> {
        let count = self.slots.len();
        self.stale = true;
        for slot in self.slots.iter_mut().flatten() {
            slot.hooks = 0;
            let mut jumps: Vec<usize> = slot.rules.iter().filter_map(jump).collect();
            jumps.sort_unstable();
            jumps.dedup();
            slot.jumps = jumps;
            slot.stopped = slot.rules.iter().any(takes_all);
        }
        // Rules to visit of each chain: jumps only, with their place.
        let visited: Vec<Vec<(usize, Position)>> = (0..count)
            .map(|at| {
                let Some(slot) = self.slot(at) else {
                    return Vec::new();
                };
                let mut out = Vec::new();
                for rule in slot.rules.iter() {
                    if let Some(to) = jump(rule) {
                        out.push((to, rule.position));
                    }
                    if tools == Tools::Legacy && takes_all(rule) {
                        break;
                    }
                }
                out
            })
            .collect();
        // Heights below each chain, for the depth that nf_tables allows; 0: not seen.
        let mut height = vec![0usize; count];
        let starts: Vec<(usize, Hook)> = self
            .chains()
            .filter_map(|(i, s)| s.builtin.map(|h| (i, h)))
            .collect();
        for (start, hook) in starts {
            let mut colour = vec![0u8; count];
            // The walk keeps its own stack: user text decides its depth.
            let mut stack = vec![(start, 0usize)];
            colour[start] = 1;
            while let Some((chain, next)) = stack.pop() {
                let Some(&(to, position)) = visited[chain].get(next) else {
                    colour[chain] = 2;
                    height[chain] = 1 + visited[chain]
                        .iter()
                        .map(|(to, _)| height[*to])
                        .max()
                        .unwrap_or(0);
                    if let Some(slot) = self.slot_mut(chain) {
                        slot.hooks |= bit(hook);
                    }
                    continue;
                };
                stack.push((chain, next + 1));
                match colour[to] {
                    0 => {
                        colour[to] = 1;
                        stack.push((to, 0));
                    }
                    1 => return Err(self.circle(position, to)),
                    _ => {}
                }
            }
            if tools == Tools::Nft && height[start] > NFT_DEPTH {
                let deep = visited[start]
                    .iter()
                    .max_by_key(|(to, _)| height[*to])
                    .copied();
                if let Some((to, position)) = deep {
                    return Err(self.circle(position, to));
                }
            }
        }
        for slot in self.slots.iter().flatten() {
            if slot.hooks == 0 {
                continue;
            }
            for rule in slot.rules.iter() {
                if let Some((name, good)) = works(rule) {
                    reached(rule.position, slot.hooks, &name, good)?;
                }
                if tools == Tools::Legacy && takes_all(rule) {
                    break;
                }
            }
        }
        self.stale = false;
        Ok(())
    }

    /// The table as the model has it: no empty slots, jumps renumbered.
    pub(crate) fn finish(self) -> Table {
        let mut next = 0;
        let moved: Vec<usize> = self
            .slots
            .iter()
            .map(|s| {
                let at = next;
                next += usize::from(s.is_some());
                at
            })
            .collect();
        let holes = moved.last().is_some_and(|last| last + 1 != moved.len());
        let chains = self
            .slots
            .into_iter()
            .flatten()
            .map(|mut slot| {
                if holes {
                    for rule in slot.rules.iter_mut() {
                        if let Target::Jump(to) | Target::Goto(to) = &mut rule.target {
                            *to = moved.get(*to).copied().unwrap_or(0);
                        }
                    }
                }
                Chain {
                    name: slot.name,
                    builtin: slot.builtin,
                    policy: slot.policy,
                    counters: slot.counters,
                    rules: slot.rules.into_vec(),
                }
            })
            .collect();
        Table {
            kind: self.kind,
            chains,
        }
    }
}

/// Tells at which hooks a rule works, when not at all of them, and what of it limits it.
pub(crate) type Works<'a> = dyn Fn(&Rule) -> Option<(String, Hooks)> + 'a;

fn reached(position: Position, hooks: Hooks, name: &str, good: Hooks) -> Result<(), Refusal> {
    use Hook::*;
    let bad = [Prerouting, Input, Forward, Output, Postrouting]
        .into_iter()
        .find(|h| hooks & bit(*h) & !good != 0);
    match bad {
        Some(hook) => Err(Refusal::Hook {
            position,
            hook,
            name: name.to_string(),
            works: good,
        }),
        None => Ok(()),
    }
}

/// The rulesets of both families at work.
#[derive(Debug, Default)]
pub(crate) struct Rulesets {
    of: [Option<Vec<Working>>; 2],
}

impl Rulesets {
    /// The tables of a family in the order of their first mention.
    pub(crate) fn tables(&mut self, family: Family) -> &mut Vec<Working> {
        self.of[family as usize].get_or_insert_with(Vec::new)
    }

    /// Rules that are there already.
    pub(crate) fn put(&mut self, ruleset: Ruleset) {
        let tables = ruleset.tables.into_iter().map(Working::of).collect();
        self.of[ruleset.family as usize] = Some(tables);
    }

    /// A table, made on first use.
    pub(crate) fn table(&mut self, family: Family, kind: TableKind) -> &mut Working {
        let tables = self.tables(family);
        let at = match tables.iter().position(|t| t.kind == kind) {
            Some(at) => at,
            None => {
                tables.push(Working::new(kind));
                tables.len() - 1
            }
        };
        &mut tables[at]
    }

    /// The rulesets as the model has them, IPv4 and IPv6.
    pub(crate) fn finish(self, tools: Tools) -> [Option<Ruleset>; 2] {
        let [v4, v6] = self.of;
        let build = |family, tables: Vec<Working>| Ruleset {
            family,
            tables: tables
                .into_iter()
                .filter(|t| tools == Tools::Legacy || t.made)
                .map(Working::finish)
                .collect(),
        };
        [
            v4.map(|t| build(Family::V4, t)),
            v6.map(|t| build(Family::V6, t)),
        ]
    }
}
